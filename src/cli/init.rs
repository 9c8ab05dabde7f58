//! `rigup init`: writes a new plugin or provider.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::message::message;
use crate::engine::ExitStatus;
use crate::plugin::hook_name::HookName;
use crate::plugin::template::{self, TemplateError};
use crate::shell;

/// The subcommands of `rigup init`.
#[derive(Debug, Subcommand)]
pub(crate) enum InitCommand {
    /// Create a plugin with a requirement, a setting and a Snapshot hook
    #[command(after_help = include_str!("help/init_plugin.txt"))]
    Plugin {
        /// Name of the plugin and its folder
        name: String,
        /// Create the folder in DIR
        #[arg(long, value_name = "DIR", default_value = "plugins")]
        dir: PathBuf,
    },
    /// Create a provider with a setting and a hook that installs binaries
    #[command(after_help = include_str!("help/init_provider.txt"))]
    Provider {
        /// Name of the provider and its folder
        name: String,
        /// Language of the hook
        #[arg(long, value_parser = ["sh", "python", "node"], default_value = "sh")]
        lang: String,
        /// Create the folder in DIR
        #[arg(long, value_name = "DIR", default_value = "providers")]
        dir: PathBuf,
    },
}

/// Runs `rigup init`.
pub(crate) fn run(command: InitCommand, context: &mut Context) -> CommandResult {
    let output = &mut context.output;
    let (template, name, dir) = match command {
        InitCommand::Plugin { name, dir } => ("plugin".to_owned(), name, dir),
        InitCommand::Provider { name, lang, dir } => (format!("provider/{lang}"), name, dir),
    };
    let files = template::write(&template, &name, &dir).map_err(|error| match error {
        TemplateError::Name(_) => CliError::usage(error),
        TemplateError::Exists(_) => CliError::not_found(error),
        TemplateError::Io(..) => CliError::setup(error),
    })?;
    for file in &files {
        if output.is_json() {
            output.record(&json!({"type": "File", "path": file.to_string_lossy()}));
        } else {
            output.path(file);
        }
    }
    output.flush();
    if let Some(hook) = files.iter().find(|file| HookName::of_file(file).is_some()) {
        message!("next: rigup hook test {}", shell::quote_path(hook));
    }
    Ok(ExitStatus::Success)
}
