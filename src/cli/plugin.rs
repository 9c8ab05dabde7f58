//! `rigup plugin`: what lies in the plugin folders.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::search::{self, Found};
use crate::plugin::folder::Plugin;
use crate::plugin::requirement::Requirement;
use crate::report::human::Tone;
use crate::settings::Settings;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// All plugins and providers, with where they are and what they require
    List,
    /// One plugin: its hooks and its requirements
    Show {
        /// The plugin's name
        name: String,
    },
}

/// Runs it.
pub(crate) fn run(
    command: PluginCommand,
    settings: &Settings,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let found = search::search(settings, &[])?;
    match command {
        PluginCommand::List => list(&found, output)?,
        PluginCommand::Show { name } => match found.plugin(&name) {
            Some(plugin) => show(plugin, &found, output)?,
            None => {
                return Err(CliError::NotFound(search::no_such_plugin(&name, &found.discovery, settings)));
            }
        },
    }
    Ok(found.complain())
}

fn list(found: &Found, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.records(found.discovery.plugins.iter().map(|plugin| record(plugin, found)));
    }
    let rows = found.discovery.plugins.iter().map(|plugin| {
        let requires: Vec<&str> = requirements(plugin, found).map(|it| it.name.as_str()).collect();
        let cells = [
            plugin.name.clone(),
            plugin.hooks.len().to_string(),
            requires.join(", "),
            plugin.path.display().to_string(),
        ];
        cells.map(|text| (text, Tone::Plain)).into()
    });
    output.table(&["PLUGIN", "HOOKS", "REQUIRES", "PATH"], rows.collect())
}

fn show(plugin: &Plugin, found: &Found, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.record(&record(plugin, found));
    }
    output.record(&json!({ "name": plugin.name, "path": plugin.path.to_string_lossy() }))?;
    for hook in &plugin.hooks {
        output.record(&json!({ "hook": hook.name.file_name }))?;
    }
    let rows = requirements(plugin, found).map(|it| {
        let cells = [it.name.to_string(), it.providers.to_string(), it.min_version.clone(), overrides(it)];
        cells.map(|text| (text, Tone::Plain)).into()
    });
    output.table(&["REQUIRES", "PROVIDERS", "MIN VERSION", "OVERRIDES"], rows.collect())
}

fn overrides(requirement: &Requirement) -> String {
    if requirement.overrides.is_empty() {
        String::new()
    } else {
        Value::Object(requirement.overrides.clone()).to_string()
    }
}

fn record(plugin: &Plugin, found: &Found) -> Value {
    json!({
        "type": "Plugin",
        "name": plugin.name,
        "path": plugin.path.to_string_lossy(),
        "enabled": true,
        "hooks": plugin.hooks.iter().map(|hook| hook.name.file_name.as_str()).collect::<Vec<_>>(),
        "requirements": requirements(plugin, found).map(|it| it.name.as_str()).collect::<Vec<_>>(),
    })
}

fn requirements<'a>(plugin: &'a Plugin, found: &'a Found) -> impl Iterator<Item = &'a Requirement> {
    found.requirements.iter().chain(&found.needs).filter(|it| it.plugin == plugin.name)
}
