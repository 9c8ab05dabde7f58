//! `rigup plugin`: the plugins on the search path.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::message::{print_diagnostics, print_event};
use crate::cli::output::Output;
use crate::engine::catalog::{Catalog, no_such_plugin};
use crate::engine::completion;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::model::secret::MASKED;
use crate::model::{PolicySupport, VersionRange};
use crate::plugin::config::enabled::PluginStatus;
use crate::plugin::config::value::Setting;
use crate::plugin::discovery::Plugin;
use crate::plugin::requirement::Requirement;
use crate::report::table::{Cell, Column, Table};

/// The subcommands of `rigup plugin`.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List all plugins and providers with their folders and requirements
    #[command(after_help = include_str!("help/plugin_list.txt"))]
    List,
    /// Show one plugin: hooks, requirements and settings
    #[command(after_help = include_str!("help/plugin_show.txt"))]
    Show {
        /// Name of the plugin
        #[arg(add = values(completion::plugins))]
        name: String,
    },
}

/// Runs `rigup plugin`.
pub(crate) fn run(command: PluginCommand, context: &mut Context) -> CommandResult {
    let catalog = context.with_machine_config(Catalog::read(&context.settings, &[], &print_event)?)?;
    match command {
        PluginCommand::List => list(&catalog, &mut context.output),
        PluginCommand::Show { name } => {
            let plugin = catalog.plugin(&name).ok_or_else(|| {
                CliError::not_found(no_such_plugin(&name, &catalog.discovery, &context.settings))
            })?;
            show(plugin, &catalog, &mut context.output);
        }
    }
    Ok(print_diagnostics(&catalog))
}

fn list(catalog: &Catalog, output: &mut Output) {
    let plugins = &catalog.discovery.plugins;
    let rows = plugins.iter().map(|plugin| {
        let enabled = if disabled_reason(plugin, catalog).is_some() { "disabled" } else { "" };
        let hooks = plugin.hooks.len().to_string();
        let path = plugin.path.to_string_lossy();
        [plugin.name.as_str(), enabled, &hooks, &required_names(plugin, catalog).join(", "), &path]
            .map(Cell::plain)
    });
    let columns = [
        Column::new("PLUGIN"),
        Column::new("").optional(1),
        Column::new("HOOKS").optional(2),
        Column::new("REQUIRES").cut_end(20),
        Column::new("PATH").cut_start(20),
    ];
    output.list(plugins.iter().map(|plugin| record(plugin, catalog)), "no plugins", || {
        Table::with_rows(columns, rows)
    });
}

fn show(plugin: &Plugin, catalog: &Catalog, output: &mut Output) {
    if output.is_json() {
        return output.record(&record(plugin, catalog));
    }
    let disabled = disabled_reason(plugin, catalog);
    output
        .record(&json!({ "name": plugin.name, "path": plugin.path.to_string_lossy(), "disabled": disabled }));
    for hook in &plugin.hooks {
        output.record(&json!({ "hook": hook.name.file_name }));
    }
    let rows = requirements(plugin, catalog).map(|requirement| {
        let providers = requirement.providers.to_string();
        let versions = VersionRange { min: &requirement.min_version, max: &requirement.max_version };
        let versions = versions.to_string();
        [requirement.name.as_str(), &providers, &versions, &overrides(requirement)].map(Cell::plain)
    });
    let columns = [
        Column::new("REQUIRES").cut_end(20),
        Column::new("PROVIDERS"),
        Column::new("VERSION"),
        Column::new("OVERRIDES").wrap(20),
    ];
    output.table(&Table::with_rows(columns, rows));
    if let Some(support) = policy_support(plugin, catalog) {
        let rows = [
            (MIN_RELEASE_AGE_KEY, support.min_release_age),
            (POSTINSTALL_SCRIPTS_KEY, support.postinstall_scripts),
        ]
        .map(|(key, is_enforced)| [key, enforcement(is_enforced)]);
        output.table(&Table::with_rows([Column::new("POLICY"), Column::new("ENFORCED")], rows));
    }
    let rows = catalog.settings[&plugin.name].iter().map(|setting| {
        [setting.name.clone(), displayed_value(setting).to_string(), setting.origin.to_string()]
    });
    let columns =
        [Column::new("SETTING"), Column::new("VALUE").cut_end(20), Column::new("ORIGIN").cut_start(12)];
    output.table(&Table::with_rows(columns, rows));
}

/// Returns which parts of the policy a provider enforces, or `None` if the plugin is not a provider.
fn policy_support(plugin: &Plugin, catalog: &Catalog) -> Option<PolicySupport> {
    let schema = catalog.configs.schema(&plugin.name);
    plugin.is_provider().then(|| schema.map(|schema| schema.provider.enforces).unwrap_or_default())
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
        PluginStatus::Disabled(reason) | PluginStatus::Incomplete(reason) => Some(reason),
        PluginStatus::Enabled | PluginStatus::NotSelected => None,
    }
}

/// Returns a setting as JSON: its name, its value and the origin of the value.
pub(crate) fn setting_record(setting: &Setting) -> Value {
    json!({
        "name": setting.name,
        "value": displayed_value(setting),
        "origin": setting.origin.to_string(),
    })
}

/// Returns the value of a setting, masked if it is secret.
pub(crate) fn displayed_value(setting: &Setting) -> Value {
    if setting.is_secret && !setting.value.is_null() && setting.value != "" {
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
    json!({
        "type": "Plugin",
        "name": plugin.name,
        "path": plugin.path.to_string_lossy(),
        "enabled": catalog.is_enabled(&plugin.name),
        "disabled_because": disabled_reason(plugin, catalog),
        "hooks": plugin.hooks.iter().map(|hook| hook.name.file_name.as_str()).collect::<Vec<_>>(),
        "requirements": required_names(plugin, catalog),
        "enforces": policy_support(plugin, catalog),
        "settings": catalog.settings[&plugin.name].iter().map(setting_record).collect::<Vec<_>>(),
    })
}

fn required_names<'a>(plugin: &'a Plugin, catalog: &'a Catalog) -> Vec<&'a str> {
    requirements(plugin, catalog).map(|requirement| requirement.name.as_str()).collect()
}

fn requirements<'a>(plugin: &'a Plugin, catalog: &'a Catalog) -> impl Iterator<Item = &'a Requirement> {
    catalog
        .requirements
        .iter()
        .chain(&catalog.provider_requirements)
        .filter(|requirement| requirement.plugin.as_ref() == Some(&plugin.name))
}
