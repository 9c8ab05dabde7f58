//! The errors of the engine, and the exit codes that users may rely on.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use crate::exhaustion;
use crate::hook::run::RunError;
use crate::model::ProcessExit;
use crate::process::spawn::SpawnError;
use crate::runs::gc::GcError;
use crate::runs::start::StartError;
use crate::store::StoreError;

/// An error that ends a call of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A name, a version or a combination of arguments is invalid.
    #[error("{0}")]
    InvalidRequest(String),
    /// A record, a plugin or a file that the call names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The data dir cannot be used.
    #[error("cannot use the data dir {}: {reason}; choose another with --data-dir or RIGUP_DATA_DIR", path.display())]
    DataDir {
        /// The data dir.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A value of a setting cannot be used, or its name is misspelled.
    #[error("{0}")]
    Setting(String),
    /// A plugin that is selected by name or something else that the call needs cannot be used.
    #[error("{0}")]
    Setup(String),
    /// A lock file cannot be used.
    #[error(
        "{}: {reason}",
        match line {
            Some(line) => format!("{}:{line}: cannot use the lock file", path.display()),
            None => format!("cannot use the lock file {}", path.display()),
        }
    )]
    Lockfile {
        /// The lock file.
        path: PathBuf,
        /// The line, from 1; `None` for the whole file.
        line: Option<usize>,
        /// The reason, and the next step.
        reason: String,
    },
    /// The signal handlers cannot be installed.
    #[error(transparent)]
    Signals(io::Error),
    /// A path cannot be resolved.
    #[error("cannot find the current folder: {0}; change to an existing folder, or use an absolute path")]
    CurrentDir(io::Error),
    /// The records cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A hook cannot be run.
    #[error(transparent)]
    Hook(#[from] RunError),
    /// A command cannot be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A run cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The data dir cannot be cleaned up.
    #[error(transparent)]
    Gc(#[from] GcError),
    /// A signal with this number interrupted the call.
    #[error("interrupted")]
    Interrupted(i32),
}

impl EngineError {
    /// Returns the error for an invalid name, version or combination of arguments.
    pub(crate) fn invalid(error: impl Display) -> Self {
        Self::InvalidRequest(error.to_string())
    }

    /// Returns the exit status of a command that ends with this error.
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::InvalidRequest(_) | Self::Start(StartError::Cwd(_) | StartError::Variable(..)) => {
                ExitStatus::Usage
            }
            Self::NotFound(_) | Self::Start(StartError::TooMany { .. }) => ExitStatus::Incomplete,
            Self::Interrupted(signal) => ExitStatus::Interrupted(*signal),
            _ => ExitStatus::Setup,
        }
    }
}

/// The exit status of a rigup command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: all of the requested work is done.
    Success,
    /// 1: some of the requested work could not be done.
    Incomplete,
    /// 2: the command line is invalid.
    Usage,
    /// 3: the data dir, a setting or a plugin selected by name is unusable.
    Setup,
    /// Signal N interrupted rigup, which then dies of it; 128+N if it cannot.
    Interrupted(i32),
    /// The exit code of a hook or a command that rigup ran.
    Code(u8),
}

impl ExitStatus {
    /// Returns the exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Incomplete => 1,
            Self::Usage => 2,
            Self::Setup => 3,
            Self::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            Self::Code(code) => code,
        }
    }

    /// Returns the exit status that passes on the exit code of a process. An unknown exit code is never a success.
    pub(crate) fn of_exit_code(code: Option<i32>) -> Self {
        match code {
            Some(0) => Self::Success,
            Some(code) => Self::Code(u8::try_from(code).unwrap_or(u8::MAX)),
            None => Self::Incomplete,
        }
    }

    /// Returns the exit status that passes on the exit of a command in the foreground. A signal that killed the command
    /// and interrupted rigup, too, counts as the one that ended rigup.
    pub(crate) fn of_foreground(exit: &ProcessExit, interrupted_by: Option<i32>) -> Self {
        interrupted_by.map_or_else(|| Self::of_exit_code(exit.exit_code), Self::Interrupted)
    }

    /// Returns [`Incomplete`](Self::Incomplete) instead of [`Success`](Self::Success), and any other status unchanged.
    #[must_use]
    pub fn or_incomplete(self) -> Self {
        if self == Self::Success { Self::Incomplete } else { self }
    }
}

impl From<rayon::ThreadPoolBuildError> for EngineError {
    fn from(error: rayon::ThreadPoolBuildError) -> Self {
        let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        let cause = cause.map_or_else(|| error.to_string(), exhaustion::explain);
        Self::Setup(format!("cannot start a thread: {cause}"))
    }
}
