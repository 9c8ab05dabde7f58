//! The input of the toolkit: the arguments of a hook, or the requests of a batch.

use std::io;

use crate::cli::error::CliError;
use crate::cli::message::print_message;
use crate::plugin::config::provider::ProviderConfig;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::toolkit::batch;
use crate::toolkit::provider;
use crate::toolkit::request::{HookRequest, RequestError};

/// Reads the requests on stdin that allow a provider.
pub(super) fn requests(provider: &str, settings: &Settings) -> Result<Vec<HookRequest>, CliError> {
    let complain = |diagnostic: String| print_message(&format!("warning: stdin: {diagnostic}"));
    batch::requests(io::stdin().lock(), provider, settings.home.as_deref(), complain)
        .map_err(|error| CliError::setup(format!("cannot read stdin: {error}")))
}

/// Parses the request in a hook's arguments.
pub(super) fn parse(arguments: &[String], settings: &Settings) -> Result<HookRequest, CliError> {
    Ok(HookRequest::parse(arguments, settings.home.as_deref())?)
}

/// Reads what the provider's `config.json` states.
pub(super) fn config(provider: &str, settings: &Settings) -> Result<ProviderConfig, CliError> {
    provider::config(provider, settings).map_err(CliError::setup)
}

/// Arguments that are not a request are a usage error.
impl From<RequestError> for CliError {
    fn from(error: RequestError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Notes the signals that interrupt the toolkit.
pub(super) fn interrupt() -> Result<Interrupt, CliError> {
    Interrupt::install().map_err(CliError::setup)
}
