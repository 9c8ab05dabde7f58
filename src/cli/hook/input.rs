//! The input of the toolkit: the arguments of a hook, or the requests of a batch.

use std::fmt::Display;
use std::io;

use crate::cli::error::CliError;
use crate::cli::message::warning;
use crate::plugin::builtin;
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::config::schema;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::toolkit::batch;
use crate::toolkit::request::HookRequest;
use crate::trust::Inspection;

/// Reads the requests on stdin that allow a provider.
pub(super) fn requests(provider: &str, settings: &Settings) -> Result<Vec<HookRequest>, CliError> {
    let complain = |diagnostic: String| warning!("stdin: {diagnostic}");
    batch::requests(io::stdin().lock(), provider, settings.home.as_deref(), complain)
        .map_err(|error| CliError::setup(format!("cannot read stdin: {error}")))
}

/// Parses the request in a hook's arguments.
pub(super) fn parse(arguments: &[String], settings: &Settings) -> Result<HookRequest, CliError> {
    HookRequest::parse(arguments, settings.home.as_deref()).map_err(usage)
}

/// Reads what the `config.json` of a provider states about it: of the first plugin of this name on the search path, as
/// discovery finds it. A provider that does not exist takes no options.
pub(super) fn config(provider: &str, settings: &Settings) -> Result<ProviderConfig, CliError> {
    let folder = settings.plugin_path.iter().map(|root| root.join(provider)).find(|folder| folder.is_dir());
    let schema = match folder {
        Some(folder) => schema::read(&folder, &mut Inspection::new(&settings.trust))
            .map_err(|(path, error)| CliError::setup(format!("{}: {error}", path.display())))?,
        None => builtin::config(provider).map_err(|error| CliError::setup(format!("{provider}: {error}")))?,
    };
    Ok(schema.map(|schema| schema.provider).unwrap_or_default())
}

/// Returns the error of arguments that cannot be used.
pub(super) fn usage(error: impl Display) -> CliError {
    CliError::Usage(error.to_string())
}

/// Notes the signals that interrupt the toolkit.
pub(super) fn interrupt() -> Result<Interrupt, CliError> {
    Interrupt::install().map_err(CliError::setup)
}
