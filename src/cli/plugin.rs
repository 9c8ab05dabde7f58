//! `rigup plugin`: what lies in the plugin folders.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::search::{self, Found};
use crate::cli::session::Session;
use crate::hook::command::is_secret;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY, PolicySupport};
use crate::plugin::config::enabled::PluginStatus;
use crate::plugin::config::value::Setting;
use crate::plugin::discovery::Plugin;
use crate::plugin::hook_name::BINARY_REQUEST;
use crate::plugin::requirement::Requirement;
use crate::process::run_dir::MASKED;
use crate::report::table::{Column, Table};
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
    let mut found = search::search(settings, &[])?;
    if let Some(session) = Session::read_known(settings)? {
        found.learn(&session.machine.config);
    }
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
        let enabled = if is_disabled(plugin, found).is_some() { "disabled" } else { "" };
        [
            plugin.name.to_string(),
            enabled.to_owned(),
            plugin.hooks.len().to_string(),
            requires.join(", "),
            plugin.path.display().to_string(),
        ]
    });
    let columns = [
        Column::new("PLUGIN"),
        Column::new("").optional(1),
        Column::new("HOOKS").optional(2),
        Column::new("REQUIRES").cut_end(20),
        Column::new("PATH").cut_start(20),
    ];
    output.table(&Table::with_rows(columns, rows))
}

fn show(plugin: &Plugin, found: &Found, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.record(&record(plugin, found));
    }
    let disabled = is_disabled(plugin, found);
    output.record(
        &json!({ "name": plugin.name, "path": plugin.path.to_string_lossy(), "disabled": disabled }),
    )?;
    for hook in &plugin.hooks {
        output.record(&json!({ "hook": hook.name.file_name }))?;
    }
    let rows = requirements(plugin, found)
        .map(|it| [it.name.to_string(), it.providers.to_string(), it.min_version.clone(), overrides(it)]);
    let columns = [
        Column::new("REQUIRES").cut_end(20),
        Column::new("PROVIDERS"),
        Column::new("MIN VERSION"),
        Column::new("OVERRIDES").wrap(20),
    ];
    output.table(&Table::with_rows(columns, rows))?;
    if is_provider(plugin) {
        let enforces = enforces(plugin, found);
        let rows = [
            (MIN_RELEASE_AGE_KEY, enforces.min_release_age),
            (POSTINSTALL_SCRIPTS_KEY, enforces.postinstall_scripts),
        ]
        .map(|(key, is_enforced)| [key, spelled(is_enforced)]);
        output.table(&Table::with_rows([Column::new("POLICY"), Column::new("ENFORCED")], rows))?;
    }
    let rows = found.settings[&plugin.name]
        .iter()
        .map(|it| [it.name.clone(), shown(it).to_string(), it.origin.to_string()]);
    let columns =
        [Column::new("SETTING"), Column::new("VALUE").cut_end(20), Column::new("FROM").cut_start(12)];
    output.table(&Table::with_rows(columns, rows))
}

fn is_provider(plugin: &Plugin) -> bool {
    plugin.hooks.iter().any(|hook| hook.name.event == BINARY_REQUEST)
}

fn enforces(plugin: &Plugin, found: &Found) -> PolicySupport {
    found.configuration.schema(&plugin.name).map(|schema| schema.provider.enforces).unwrap_or_default()
}

/// Whether a provider can keep a rule.
fn spelled(is_kept: Option<bool>) -> &'static str {
    match is_kept {
        Some(true) => "yes",
        Some(false) => "no: a warning, and refused where it is asked for",
        None => "not by default: refused where it is asked for",
    }
}

/// Why a plugin does not count, where it was not merely left out by a choice.
fn is_disabled<'a>(plugin: &Plugin, found: &'a Found) -> Option<&'a str> {
    match &found.plugin_statuses[&plugin.name] {
        PluginStatus::Disabled(reason) => Some(reason),
        PluginStatus::Enabled | PluginStatus::NotChosen => None,
    }
}

/// A setting's value, unless it is nobody's to see.
pub(crate) fn shown(setting: &Setting) -> Value {
    let is_secret = setting.is_secret || is_secret(&setting.name);
    if is_secret && !setting.value.is_null() && setting.value != "" {
        MASKED.into()
    } else {
        setting.value.clone()
    }
}

fn overrides(requirement: &Requirement) -> String {
    if requirement.overrides.is_empty() {
        String::new()
    } else {
        Value::Object(requirement.overrides.to_json()).to_string()
    }
}

fn record(plugin: &Plugin, found: &Found) -> Value {
    let enforces = is_provider(plugin).then(|| enforces(plugin, found)).map(|it| {
        json!({MIN_RELEASE_AGE_KEY: it.min_release_age, POSTINSTALL_SCRIPTS_KEY: it.postinstall_scripts})
    });
    json!({
        "type": "Plugin",
        "name": plugin.name,
        "path": plugin.path.to_string_lossy(),
        "enabled": found.is_enabled(&plugin.name),
        "disabled_because": is_disabled(plugin, found),
        "hooks": plugin.hooks.iter().map(|hook| hook.name.file_name.as_str()).collect::<Vec<_>>(),
        "requirements": requirements(plugin, found).map(|it| it.name.as_str()).collect::<Vec<_>>(),
        "enforces": enforces,
        "settings": found.settings[&plugin.name]
            .iter()
            .map(|it| json!({"name": it.name, "value": shown(it), "origin": it.origin.to_string()}))
            .collect::<Vec<_>>(),
    })
}

fn requirements<'a>(plugin: &'a Plugin, found: &'a Found) -> impl Iterator<Item = &'a Requirement> {
    found.requirements.iter().chain(&found.needs).filter(|it| it.plugin.as_ref() == Some(&plugin.name))
}
