//! What every command works with.

use crate::cli::error::CliError;
use crate::cli::message::{message, print_event};
use crate::cli::output::Output;
use crate::engine::session::{self, Session};
use crate::engine::{Engine, OnEvent};
use crate::settings::Settings;
use crate::store::Store;

/// The settings, standard output and verbosity of a command.
#[derive(Debug)]
pub(crate) struct Context {
    /// Folders, environment and flags.
    pub(crate) settings: Settings,
    /// Standard output.
    pub(crate) output: Output,
    /// How much to print to standard error.
    pub(crate) verbosity: Verbosity,
}

/// How much to print to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verbosity {
    /// Errors and warnings only.
    pub(crate) quiet: bool,
    /// Every attempt.
    pub(crate) verbose: bool,
}

impl Verbosity {
    /// Prints a note, unless only errors are wanted.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            message!("{text}");
        }
    }
}

impl Context {
    /// Opens the data dir, and creates it if it does not exist.
    pub(crate) fn engine<'e>(&self, on_event: OnEvent<'e>) -> Result<Engine<'e>, CliError> {
        Ok(Engine::open_with(self.settings.clone(), on_event)?)
    }

    /// Opens the data dir like [`Context::engine`], for a command that prints events at once.
    pub(crate) fn session(&self) -> Result<Session<'static>, CliError> {
        Ok(Session::open(self.settings.clone(), &print_event)?)
    }

    /// Opens the store to read it, or returns `None` if nothing was ever recorded.
    pub(crate) fn store(&self) -> Result<Option<Store>, CliError> {
        Ok(session::open_to_read(&self.settings, &print_event)?)
    }
}
