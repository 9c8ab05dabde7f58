//! Exit codes, and the errors that lead to them.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use crate::exhaustion;

/// The exit codes that users may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: all well.
    Well,
    /// 1: something asked for was not got.
    Missing,
    /// 2: wrong use.
    Usage,
    /// 3: rigup cannot work at all.
    Unusable,
    /// 128+N: interrupted by signal N.
    Interrupted(i32),
    /// What a hook or a command that runs for it ended with.
    Code(u8),
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Missing => 1,
            Self::Usage => 2,
            Self::Unusable => 3,
            Self::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            Self::Code(code) => code,
        }
    }

    /// The same, where something was not got after all.
    pub(crate) fn or_missing(self) -> Self {
        if self == Self::Well { Self::Missing } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What ends a command before its work is done.
#[derive(Debug)]
pub(crate) enum CliError {
    /// Arguments that make no sense together, or a name that is none.
    Usage(String),
    /// What was asked for is not there.
    NotFound(String),
    /// The data dir, a setting, or a plugin asked for by name.
    Unusable(Box<dyn Error>),
    /// A signal came while something else was waited for.
    Interrupted(i32),
    /// Whoever read standard output is gone, which is not an error.
    OutputClosed,
}

impl CliError {
    /// rigup cannot work at all.
    pub(crate) fn unusable(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Unusable(error.into())
    }

    /// What a person is told, if anything.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Usage(message) | Self::NotFound(message) => Some(message.clone()),
            Self::Unusable(error) => Some(error.to_string()),
            Self::Interrupted(_) => Some("interrupted".to_owned()),
            Self::OutputClosed => None,
        }
    }

    /// The exit code it leads to.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::NotFound(_) => Exit::Missing,
            Self::Unusable(_) => Exit::Unusable,
            Self::Interrupted(signal) => Exit::Interrupted(*signal),
            Self::OutputClosed => Exit::Well,
        }
    }
}

/// An error of writing to standard output.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::unusable(format!("standard output cannot be written: {error}")),
        }
    }
}

/// No thread to work on.
impl From<rayon::ThreadPoolBuildError> for CliError {
    fn from(error: rayon::ThreadPoolBuildError) -> Self {
        let of_system = error.source().and_then(|it| it.downcast_ref::<io::Error>());
        let reason = of_system.map_or_else(|| error.to_string(), exhaustion::explained);
        Self::unusable(format!("no thread can be started: {reason}"))
    }
}

impl From<crate::store::StoreError> for CliError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::unusable(error)
    }
}
