//! The errors that end a command.

use std::error::Error;
use std::io;

use crate::engine::{EngineError, ExitStatus};
use crate::store::StoreError;

/// Why a command ended before its work was done.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The arguments make no sense together, or a name is invalid.
    Usage(String),
    /// What the arguments name does not exist.
    NotFound(String),
    /// rigup cannot work: a file, a folder or a setting is unusable.
    Setup(Box<dyn Error>),
    /// The engine cannot do what it was called for.
    Engine(EngineError),
    /// The reader of standard output closed it, which is not an error.
    OutputClosed,
}

impl CliError {
    /// Returns the error of something that rigup cannot work without.
    pub(crate) fn setup(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Setup(error.into())
    }

    /// Returns the message for the user, if there is one.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Usage(message) | Self::NotFound(message) => Some(message.clone()),
            Self::Setup(error) => Some(error.to_string()),
            Self::Engine(error) => Some(error.to_string()),
            Self::OutputClosed => None,
        }
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

/// An error of a write to standard output.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::setup(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}
