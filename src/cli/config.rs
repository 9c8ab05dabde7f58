//! `rigup config`: every setting with its value and origin.

use serde_json::json;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::message::{print_diagnostics, print_event};
use crate::cli::plugin::displayed_value;
use crate::engine::catalog::Catalog;
use crate::engine::completion;
use crate::plugin::config::value::Setting;
use crate::report::table::{Cell, Column, Table};

/// The name in the plugin column for rigup's own settings.
const CORE: &str = "rigup";

/// The arguments of `rigup config`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/config.txt"))]
pub(crate) struct ConfigArgs {
    /// Names of settings [default: all settings]
    #[arg(value_name = "SETTING", add = values(completion::settings))]
    names: Vec<String>,
}

/// Runs `rigup config`.
pub(crate) fn config(args: &ConfigArgs, context: &mut Context) -> CommandResult {
    let catalog = context.with_machine_config(Catalog::find(&context.settings, &[], &print_event)?)?;
    let core = catalog.core.settings.iter().map(|setting| (CORE, setting));
    let of_plugins = catalog.discovery.plugins.iter().flat_map(|plugin| {
        catalog.settings[&plugin.name].iter().map(|setting| (plugin.name.as_str(), setting))
    });
    let is_wanted = |setting: &Setting| args.names.is_empty() || args.names.contains(&setting.name);
    let all: Vec<(&str, &Setting)> =
        core.chain(of_plugins).filter(|(_, setting)| is_wanted(setting)).collect();
    if let Some(name) = args.names.iter().find(|name| !all.iter().any(|(_, setting)| setting.name == **name))
    {
        return Err(CliError::not_found(format!(
            "there is no setting named {name}; `rigup config` shows all settings"
        )));
    }
    let records = all.iter().map(|(plugin, setting)| {
        json!({
            "type": "Setting",
            "plugin": plugin,
            "name": setting.name,
            "value": displayed_value(setting),
            "origin": setting.origin.to_string(),
        })
    });
    let columns = [
        Column::new("PLUGIN"),
        Column::new("SETTING"),
        Column::new("VALUE").cut_end(20),
        Column::new("ORIGIN").cut_start(12),
    ];
    let rows = all.iter().map(|(plugin, setting)| {
        let value = displayed_value(setting).to_string();
        [*plugin, &setting.name, &value, &setting.origin.to_string()].map(Cell::plain)
    });
    context.output.list(records, "no settings", || Table::with_rows(columns, rows));
    Ok(print_diagnostics(&catalog))
}
