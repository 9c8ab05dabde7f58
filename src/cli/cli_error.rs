//! The error that ends a command.

use std::fmt::Display;

use crate::engine::{EngineError, ExitStatus, job};
use crate::report::job_report::Place;
use crate::settings::SettingsError;
use crate::store::StoreError;

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct CliError {
    text: String,
    /// The file, or the line of it, that the error is about.
    pub(crate) place: Option<Place>,
    /// The exit status of the command.
    pub(crate) status: ExitStatus,
}

impl CliError {
    /// Returns the error for an invalid command line, such as an invalid name or conflicting arguments.
    pub(crate) fn usage(text: impl Display) -> Self {
        Self { text: text.to_string(), place: None, status: ExitStatus::Usage }
    }

    /// Returns the error for an argument that names a missing record, file or setting.
    pub(crate) fn not_found(text: impl Display) -> Self {
        Self { text: text.to_string(), place: None, status: ExitStatus::Incomplete }
    }

    /// Returns the error for a file, a folder or a setting that rigup needs but cannot use.
    pub(crate) fn setup(text: impl Display) -> Self {
        Self { text: text.to_string(), place: None, status: ExitStatus::Setup }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        let place = match &error {
            EngineError::Lockfile { path, line, .. } => job::place_of_file(path, *line),
            _ => None,
        };
        Self { text: error.to_string(), place, status: error.exit_status() }
    }
}

impl From<SettingsError> for CliError {
    fn from(error: SettingsError) -> Self {
        let place = match &error {
            SettingsError::File { path, line, .. } => job::place_of_file(path, *line),
            _ => None,
        };
        Self { place, ..Self::setup(error) }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        EngineError::from(error).into()
    }
}
