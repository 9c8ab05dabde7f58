//! What a hook hands to its toolkit: its own arguments, or the requests of a batch.

use std::io;

use crate::cli::error::CliError;
use crate::cli::message::print_message;
use crate::plugin::config::provider::ProviderConfig;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::toolkit::batch;
use crate::toolkit::provider;
use crate::toolkit::request::{HookRequest, RequestError};

/// The requests on standard input that a provider may be asked for.
pub(super) fn requests(provider: &str, settings: &Settings) -> Result<Vec<HookRequest>, CliError> {
    let complain = |diagnostic: String| print_message(&format!("warning: standard input: {diagnostic}"));
    batch::requests(io::stdin().lock(), provider, settings.home.as_deref(), complain)
        .map_err(|error| CliError::setup(format!("standard input cannot be read: {error}")))
}

/// The request in a hook's own arguments.
pub(super) fn parse(arguments: &[String], settings: &Settings) -> Result<HookRequest, CliError> {
    Ok(HookRequest::parse(arguments, settings.home.as_deref())?)
}

/// What the provider's `config.json` states.
pub(super) fn config(provider: &str, settings: &Settings) -> Result<ProviderConfig, CliError> {
    provider::config(provider, settings).map_err(CliError::setup)
}

/// Arguments that a hook should not have been given, or should not have passed on.
impl From<RequestError> for CliError {
    fn from(error: RequestError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Whether the toolkit is asked to stop.
pub(super) fn interrupt() -> Result<Interrupt, CliError> {
    Interrupt::install().map_err(CliError::setup)
}
