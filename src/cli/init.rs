//! `rigup init`: writes a new plugin or provider.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::message::message;
use crate::engine::ExitStatus;
use crate::plugin::hook_name::HookName;
use crate::plugin::template::{Template, TemplateError};

const PLUGIN_EXAMPLES: &str = "\
Examples:
  rigup init plugin notes                    Create plugins/notes
  rigup hook test plugins/notes/on_Snapshot__50_notes.sh -- --url=https://example.org
  rigup run Snapshot --url=https://example.org";

const PROVIDER_EXAMPLES: &str = "\
Examples:
  rigup init provider shelf --lang python    Create providers/shelf
  rigup hook test providers/shelf/on_BinaryRequest__50_shelf.py
  rigup install sh --binproviders shelf

The new provider works as is: it copies programs from a folder. Replace that step with your own
installation code.";

/// What to write.
#[derive(Debug, Subcommand)]
pub(crate) enum InitCommand {
    /// Create a plugin with a requirement, a setting and a Snapshot hook
    #[command(after_help = PLUGIN_EXAMPLES)]
    Plugin {
        /// Name of the plugin and its folder
        name: String,
        /// Create the folder in DIR
        #[arg(long, value_name = "DIR", default_value = "plugins")]
        dir: PathBuf,
    },
    /// Create a provider with a setting and a hook that installs binaries
    #[command(after_help = PROVIDER_EXAMPLES)]
    Provider {
        /// Name of the provider and its folder
        name: String,
        /// Language of the hook
        #[arg(long, value_enum, default_value = "sh")]
        lang: Lang,
        /// Create the folder in DIR
        #[arg(long, value_name = "DIR", default_value = "providers")]
        dir: PathBuf,
    },
}

/// The languages of the examples. Hooks can be written in any other language, too.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Lang {
    Sh,
    Python,
    Node,
}

/// Runs `rigup init`.
pub(crate) fn run(command: InitCommand, context: &mut Context) -> Result<ExitStatus, CliError> {
    let output = &mut context.output;
    let (template, name, dir) = match command {
        InitCommand::Plugin { name, dir } => (Template::Plugin, name, dir),
        InitCommand::Provider { name, lang, dir } => {
            let template = match lang {
                Lang::Sh => Template::ShProvider,
                Lang::Python => Template::PythonProvider,
                Lang::Node => Template::NodeProvider,
            };
            (template, name, dir)
        }
    };
    let files = template.write(&name, &dir).map_err(|error| match error {
        TemplateError::Name(_) => CliError::usage(error),
        TemplateError::Exists(_) => CliError::NotFound(error.to_string()),
        TemplateError::Io(..) => CliError::setup(error),
    })?;
    if output.is_json() {
        output.records(files.iter().map(|file| json!({"type": "File", "path": file.to_string_lossy()})))?;
    } else {
        for file in &files {
            output.raw(format!("{}\n", file.display()).as_bytes())?;
        }
    }
    output.flush()?;
    if let Some(hook) = files.iter().find(|file| HookName::of_file(file).is_some()) {
        message!("next: rigup hook test {}", hook.display());
    }
    Ok(ExitStatus::Success)
}
