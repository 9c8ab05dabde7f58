//! `rigup plugin`: the plugins that are catalog.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::diagnostics;
use crate::cli::error::CliError;
use crate::cli::message::print_event;
use crate::cli::output::Output;
use crate::engine::catalog::{Catalog, no_such_plugin};
use crate::engine::{ExitStatus, session};
use crate::hook::command::is_secret;
use crate::model::PolicySupport;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::plugin::config::enabled::PluginStatus;
use crate::plugin::config::value::Setting;
use crate::plugin::discovery::Plugin;
use crate::plugin::hook_name::BINARY_REQUEST;
use crate::plugin::requirement::Requirement;
use crate::process::run_dir::MASKED;
use crate::report::table::{Cell, Column, Table};

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List all plugins and providers with their folders and requirements
    List,
    /// Show one plugin: hooks, requirements and settings
    Show {
        /// Name of the plugin
        name: String,
    },
}

/// Runs `rigup plugin`.
pub(crate) fn run(command: PluginCommand, context: &mut Context) -> Result<ExitStatus, CliError> {
    let mut catalog = Catalog::read(&context.settings, &[], &print_event)?;
    if let Some((_, machine)) = session::open_to_read_with_machine(&context.settings, &print_event)? {
        catalog.apply_machine_config(&machine.config);
    }
    match command {
        PluginCommand::List => list(&catalog, &mut context.output)?,
        PluginCommand::Show { name } => match catalog.plugin(&name) {
            Some(plugin) => show(plugin, &catalog, &mut context.output)?,
            None => {
                return Err(CliError::NotFound(no_such_plugin(&name, &catalog.discovery, &context.settings)));
            }
        },
    }
    Ok(diagnostics::print(&catalog))
}

fn list(catalog: &Catalog, output: &mut Output) -> Result<(), CliError> {
    let plugins = &catalog.discovery.plugins;
    let rows = plugins.iter().map(|plugin| {
        let requires: Vec<&str> =
            requirements(plugin, catalog).map(|requirement| requirement.name.as_str()).collect();
        let enabled = if disabled_reason(plugin, catalog).is_some() { "disabled" } else { "" };
        let hooks = plugin.hooks.len().to_string();
        let path = plugin.path.to_string_lossy();
        [plugin.name.as_str(), enabled, &hooks, &requires.join(", "), &path].map(Cell::plain)
    });
    let columns = [
        Column::new("PLUGIN"),
        Column::new("").optional(1),
        Column::new("HOOKS").optional(2),
        Column::new("REQUIRES").cut_end(20),
        Column::new("PATH").cut_start(20),
    ];
    output.list(plugins.iter().map(|plugin| record(plugin, catalog)), || Table::with_rows(columns, rows))
}

fn show(plugin: &Plugin, catalog: &Catalog, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.record(&record(plugin, catalog));
    }
    let disabled = disabled_reason(plugin, catalog);
    output.record(
        &json!({ "name": plugin.name, "path": plugin.path.to_string_lossy(), "disabled": disabled }),
    )?;
    for hook in &plugin.hooks {
        output.record(&json!({ "hook": hook.name.file_name }))?;
    }
    let rows = requirements(plugin, catalog).map(|requirement| {
        let providers = requirement.providers.to_string();
        [requirement.name.as_str(), &providers, &requirement.min_version, &overrides(requirement)]
            .map(Cell::plain)
    });
    let columns = [
        Column::new("REQUIRES").cut_end(20),
        Column::new("PROVIDERS"),
        Column::new("MIN VERSION"),
        Column::new("OVERRIDES").wrap(20),
    ];
    output.table(&Table::with_rows(columns, rows))?;
    if is_provider(plugin) {
        let support = policy_support(plugin, catalog);
        let rows = [
            (MIN_RELEASE_AGE_KEY, support.min_release_age),
            (POSTINSTALL_SCRIPTS_KEY, support.postinstall_scripts),
        ]
        .map(|(key, is_enforced)| [key, enforcement(is_enforced)]);
        output.table(&Table::with_rows([Column::new("POLICY"), Column::new("ENFORCED")], rows))?;
    }
    let rows = catalog.settings[&plugin.name].iter().map(|setting| {
        [setting.name.clone(), displayed_value(setting).to_string(), setting.origin.to_string()]
    });
    let columns =
        [Column::new("SETTING"), Column::new("VALUE").cut_end(20), Column::new("ORIGIN").cut_start(12)];
    output.table(&Table::with_rows(columns, rows))
}

fn is_provider(plugin: &Plugin) -> bool {
    plugin.hooks.iter().any(|hook| hook.name.event == BINARY_REQUEST)
}

fn policy_support(plugin: &Plugin, catalog: &Catalog) -> PolicySupport {
    catalog.configs.schema(&plugin.name).map(|schema| schema.provider.enforces).unwrap_or_default()
}

/// Describes whether a provider enforces a part of the policy.
fn enforcement(is_enforced: Option<bool>) -> &'static str {
    match is_enforced {
        Some(true) => "yes",
        Some(false) => "no: warns by default, rejects an explicit request",
        None => "no: rejects an explicit request",
    }
}

/// Returns why a plugin is disabled, or `None` if it is enabled or not selected.
fn disabled_reason<'a>(plugin: &Plugin, catalog: &'a Catalog) -> Option<&'a str> {
    match &catalog.statuses[&plugin.name] {
        PluginStatus::Disabled(reason) => Some(reason),
        PluginStatus::Enabled | PluginStatus::NotChosen => None,
    }
}

/// Returns the value of a setting, masked if it is secret.
pub(crate) fn displayed_value(setting: &Setting) -> Value {
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

fn record(plugin: &Plugin, catalog: &Catalog) -> Value {
    let support = is_provider(plugin).then(|| policy_support(plugin, catalog)).map(|support| {
        json!({
            MIN_RELEASE_AGE_KEY: support.min_release_age,
            POSTINSTALL_SCRIPTS_KEY: support.postinstall_scripts,
        })
    });
    json!({
        "type": "Plugin",
        "name": plugin.name,
        "path": plugin.path.to_string_lossy(),
        "enabled": catalog.is_enabled(&plugin.name),
        "disabled_because": disabled_reason(plugin, catalog),
        "hooks": plugin.hooks.iter().map(|hook| hook.name.file_name.as_str()).collect::<Vec<_>>(),
        "requirements": requirements(plugin, catalog).map(|requirement| requirement.name.as_str()).collect::<Vec<_>>(),
        "enforces": support,
        "settings": catalog.settings[&plugin.name]
            .iter()
            .map(|setting| {
                json!({
                    "name": setting.name,
                    "value": displayed_value(setting),
                    "origin": setting.origin.to_string(),
                })
            })
            .collect::<Vec<_>>(),
    })
}

fn requirements<'a>(plugin: &'a Plugin, catalog: &'a Catalog) -> impl Iterator<Item = &'a Requirement> {
    catalog
        .requirements
        .iter()
        .chain(&catalog.provider_requirements)
        .filter(|requirement| requirement.plugin.as_ref() == Some(&plugin.name))
}
