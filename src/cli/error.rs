//! The errors that end a command.

use std::error::Error;
use std::fmt::Display;
use std::io;

use crate::engine::{EngineError, ExitStatus};
use crate::store::StoreError;

/// Why a command ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The arguments make no sense together, or a name is invalid.
    #[error("{0}")]
    Usage(String),
    /// What the arguments name does not exist.
    #[error("{0}")]
    NotFound(String),
    /// rigup cannot work: a file, a folder or a setting is unusable.
    #[error("{0}")]
    Setup(Box<dyn Error>),
    /// The engine cannot do what it was called for.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The reader of standard output closed it, which is not an error.
    #[error("standard output is closed")]
    OutputClosed,
}

impl CliError {
    /// Returns the error of invalid arguments.
    pub(crate) fn usage(error: impl Display) -> Self {
        Self::Usage(error.to_string())
    }

    /// Returns the error of something that rigup cannot work without.
    pub(crate) fn setup(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Setup(error.into())
    }

    /// Returns the exit status of the command.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Usage(_) => ExitStatus::Usage,
            Self::NotFound(_) => ExitStatus::Incomplete,
            Self::Setup(_) => ExitStatus::Setup,
            Self::Engine(error) => error.exit_status(),
            Self::OutputClosed => ExitStatus::Success,
        }
    }
}

/// Returns the result of a write, for which a reader that closed standard output early is a success.
pub(crate) fn unless_closed(written: Result<(), CliError>) -> Result<(), CliError> {
    match written {
        Err(CliError::OutputClosed) => Ok(()),
        written => written,
    }
}

/// An error of a write to standard output.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::setup(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}
