//! The arguments with which a hook passes its provider and its request on.

use std::io::{self, Read};

use crate::cli::command::CliError;
use crate::cli::message::{message, warning};
use crate::cli::standard_stream::StandardStream;
use crate::plugin::builtin;
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::config::schema;
use crate::settings::Settings;
use crate::toolkit::batch;
use crate::toolkit::request::HookRequest;
use crate::trust::Inspection;

/// A provider and a request.
#[derive(Debug, clap::Args)]
pub(crate) struct ProviderArgs {
    /// Name of the provider
    #[arg(long, value_name = "NAME")]
    pub(super) provider: String,
    /// Arguments of the hook
    #[arg(last = true, value_name = "HOOK ARGUMENTS")]
    pub(super) arguments: Vec<String>,
}

impl ProviderArgs {
    /// Parses the request in the arguments of the hook.
    pub(super) fn request(&self, settings: &Settings) -> Result<HookRequest, CliError> {
        HookRequest::parse(&self.arguments, settings.home.as_deref()).map_err(CliError::usage)
    }

    /// Reads the input of a batch hook. Returns it with the requests that allow the provider.
    pub(super) fn input(&self, settings: &Settings) -> Result<(String, Vec<HookRequest>), CliError> {
        let error = |error: io::Error| CliError::setup(format!("cannot read stdin: {error}"));
        let warn = |diagnostic: String| warning!("stdin: {diagnostic}");
        let mut input = Vec::new();
        StandardStream(io::stdin()).read_to_end(&mut input).map_err(error)?;
        let home = settings.home.as_deref();
        let requests = batch::requests(&input[..], &self.provider, home, warn).map_err(error)?;
        Ok((String::from_utf8_lossy(&input).into_owned(), requests))
    }

    /// Whether a request allows the provider. Prints a message if it does not.
    pub(super) fn is_accepted_by(&self, request: &HookRequest) -> bool {
        let HookRequest { providers, .. } = request;
        let is_accepted = providers.allows(&self.provider);
        if !is_accepted {
            message!("{} is not one of the providers that the request allows: {providers}", self.provider);
        }
        is_accepted
    }

    /// Reads the configuration of the provider from its `config.json`. Like discovery, it uses the first plugin of this
    /// name on the search path. A provider that does not exist has the default configuration. A `pin` replaces its format
    /// of versions.
    pub(super) fn config(
        &self,
        settings: &Settings,
        pin: Option<String>,
    ) -> Result<ProviderConfig, CliError> {
        let folders = settings.plugin_path.iter().map(|root| root.join(&self.provider));
        let schema = match folders.into_iter().find(|folder| folder.is_dir()) {
            Some(folder) => {
                schema::read(&folder, &mut Inspection::new(&settings.trust)).map_err(|error| {
                    let path = folder.join(schema::FILE_NAME);
                    CliError::setup(format!("{}: {error}", path.display()))
                })?
            }
            None => builtin::config(&self.provider)
                .map_err(|error| CliError::setup(format!("{}: {error}", self.provider)))?,
        };
        let mut config = schema.map(|schema| schema.provider).unwrap_or_default();
        config.version_format = pin.or(config.version_format);
        Ok(config)
    }
}
