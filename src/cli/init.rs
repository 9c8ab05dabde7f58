//! `rigup init`: a plugin or a provider to begin with.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, say};
use crate::plugin::hook_name::HookName;
use crate::plugin::template::{Language, Template, TemplateError};

const PLUGIN_EXAMPLES: &str = "\
Examples:
  rigup init plugin notes                    writes plugins/notes
  rigup hook test plugins/notes/on_Snapshot__50_notes.sh -- --url=https://example.org
  rigup run Snapshot --url=https://example.org";

const PROVIDER_EXAMPLES: &str = "\
Examples:
  rigup init provider shelf --lang python    writes providers/shelf
  rigup hook test providers/shelf/on_BinaryRequest__50_shelf.py
  rigup install sh --binproviders shelf

What is written works: it copies programs out of one folder. Put your installer in the place of the copy.";

/// What to write.
#[derive(Debug, Subcommand)]
pub(crate) enum InitCommand {
    /// A plugin: what it requires, its settings, and a hook for Snapshot
    #[command(after_help = PLUGIN_EXAMPLES)]
    Plugin {
        /// Its name, which is that of its folder
        name: String,
        /// Where plugins are
        #[arg(long, value_name = "DIR", default_value = "plugins")]
        dir: PathBuf,
    },
    /// A provider: its settings, and a hook that gets binaries
    #[command(after_help = PROVIDER_EXAMPLES)]
    Provider {
        /// Its name, which is that of its folder
        name: String,
        /// The language of its hook
        #[arg(long, value_enum, default_value = "sh")]
        lang: Lang,
        /// Where providers are
        #[arg(long, value_name = "DIR", default_value = "providers")]
        dir: PathBuf,
    },
}

/// The languages that there is an example in. Any other does as well.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Lang {
    /// POSIX shell
    Sh,
    /// Python 3
    Python,
    /// Node.js
    Node,
}

/// Writes it.
pub(crate) fn run(command: InitCommand, output: &mut Output) -> Result<Exit, CliError> {
    let (template, name, dir) = match command {
        InitCommand::Plugin { name, dir } => (Template::Plugin, name, dir),
        InitCommand::Provider { name, lang, dir } => {
            let language = match lang {
                Lang::Sh => Language::Sh,
                Lang::Python => Language::Python,
                Lang::Node => Language::Node,
            };
            (Template::Provider(language), name, dir)
        }
    };
    let files = template.write(&name, &dir).map_err(|error| match error {
        TemplateError::Name(_) => CliError::Usage(error.to_string()),
        TemplateError::Exists(_) => CliError::NotFound(error.to_string()),
        TemplateError::Io { .. } => CliError::unusable(error),
    })?;
    if output.is_json() {
        output.records(files.iter().map(|it| json!({"type": "File", "path": it.to_string_lossy()})))?;
    } else {
        for file in &files {
            output.raw(format!("{}\n", file.display()).as_bytes())?;
        }
    }
    output.flush()?;
    if let Some(hook) = files.iter().find(|it| is_hook(it)) {
        say(&format!("Next: rigup hook test {}", hook.display()));
    }
    Ok(Exit::Well)
}

fn is_hook(file: &Path) -> bool {
    file.file_name().is_some_and(|it| HookName::parse(&it.to_string_lossy()).is_some())
}
