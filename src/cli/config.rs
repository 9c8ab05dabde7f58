//! `rigup config`: every folder and setting with its value and origin, and changes to the user's own `rigup.toml`.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::message::{print_diagnostics, print_event};
use crate::cli::plugin::displayed_value;
use crate::engine::ExitStatus;
use crate::engine::catalog::Catalog;
use crate::engine::completion;
use crate::engine::user_settings;
use crate::plugin::config::value::Setting;
use crate::report::table::{Cell, Column, Table};
use crate::settings::{NamedPath, Settings};

/// The name in the plugin column for rigup's own settings.
const CORE: &str = "rigup";

/// The arguments of `rigup config`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/config.txt"), args_conflicts_with_subcommands = true)]
pub(crate) struct ConfigArgs {
    /// Names of settings and folders [default: all]
    #[arg(value_name = "SETTING", add = values(completion::settings))]
    names: Vec<String>,
    #[command(subcommand)]
    command: Option<ConfigCommand>,
}

/// The subcommands of `rigup config`.
#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Set values in your own rigup.toml; an empty value removes the setting
    #[command(after_help = include_str!("help/config_set.txt"))]
    Set {
        /// Names of settings with their values
        #[arg(value_name = "KEY=VALUE", required = true, add = values(completion::assignments))]
        assignments: Vec<String>,
    },
    /// Print the path of your own rigup.toml, which `set` writes
    #[command(after_help = include_str!("help/config_path.txt"))]
    Path,
}

impl ConfigArgs {
    /// Whether it prints only the path of the user's own `rigup.toml`.
    pub(crate) fn is_path(&self) -> bool {
        matches!(self.command, Some(ConfigCommand::Path))
    }
}

/// A row of the table, as a record.
struct ConfigRow {
    plugin: String,
    name: String,
    value: Value,
    origin: String,
    /// Whether a folder or a file exists; `None` for a setting.
    exists: Option<bool>,
}

/// Runs `rigup config`.
pub(crate) fn config(args: &ConfigArgs, context: &mut Context) -> CommandResult {
    match &args.command {
        None => show(&args.names, context),
        Some(ConfigCommand::Set { assignments }) => set(assignments, context),
        Some(ConfigCommand::Path) => {
            let path = user_settings::user_file(&context.settings)?.to_owned();
            if context.output.is_json_requested() {
                context.output.records([json!({ "path": path })]);
            } else {
                context.output.path(&path);
            }
            Ok(ExitStatus::Success)
        }
    }
}

/// Changes the user's own `rigup.toml`, and shows the settings as they are then.
fn set(assignments: &[String], context: &mut Context) -> CommandResult {
    let names = user_settings::set(assignments, &mut context.settings, &print_event)?;
    show(&names, context)
}

/// Shows the settings with these names, or all, with the folders first.
fn show(names: &[String], context: &mut Context) -> CommandResult {
    let catalog = context.with_machine_config(Catalog::find(&context.settings, &[], &print_event)?)?;
    let core = catalog.core.settings.iter().map(|setting| of_setting(CORE, setting));
    let of_plugins = catalog.discovery.plugins.iter().flat_map(|plugin| {
        catalog.settings[&plugin.name].iter().map(|setting| of_setting(&plugin.name, setting))
    });
    let mut rows: Vec<ConfigRow> = paths(&context.settings).chain(core).chain(of_plugins).collect();
    if !names.is_empty() {
        let undeclared = user_settings::undeclared(&catalog, &context.settings);
        rows.extend(undeclared.iter().map(|(plugin, setting)| of_setting(plugin, setting)));
    }
    rows.retain(|row| names.is_empty() || names.contains(&row.name));
    if let Some(name) = names.iter().find(|name| !rows.iter().any(|row| row.name == **name)) {
        return Err(CliError::not_found(format!(
            "there is no setting named {name}; `rigup config` shows all settings"
        )));
    }
    let columns = [
        Column::new("PLUGIN"),
        Column::new("SETTING"),
        Column::new("VALUE").cut_end(20),
        Column::new("ORIGIN").cut_start(12),
    ];
    let records = rows.iter().map(ConfigRow::to_record);
    context
        .output
        .list(records, "no settings", || Table::with_rows(columns, rows.iter().map(ConfigRow::cells)));
    Ok(print_diagnostics(&catalog))
}

fn of_setting(plugin: &str, setting: &Setting) -> ConfigRow {
    ConfigRow {
        plugin: plugin.to_owned(),
        name: setting.name.clone(),
        value: displayed_value(setting),
        origin: setting.origin.to_string(),
        exists: None,
    }
}

fn paths(settings: &Settings) -> impl Iterator<Item = ConfigRow> {
    settings.paths.iter().map(|NamedPath { name, path, origin }| ConfigRow {
        plugin: CORE.to_owned(),
        name: (*name).to_owned(),
        value: path.to_string_lossy().into(),
        origin: origin.clone(),
        exists: Some(path.exists()),
    })
}

impl ConfigRow {
    fn to_record(&self) -> Value {
        let Self { plugin, name, value, origin, exists } = self;
        let mut record =
            json!({"type": "Setting", "plugin": plugin, "name": name, "value": value, "origin": origin});
        if let Some(exists) = exists {
            record["exists"] = (*exists).into();
        }
        record
    }

    fn cells(&self) -> [Cell; 4] {
        let value = match (&self.value, self.exists) {
            (Value::String(path), Some(false)) => format!("{path} (does not exist)"),
            (Value::String(path), Some(true)) => path.clone(),
            (value, _) => value.to_string(),
        };
        [&self.plugin, &self.name, &value, &self.origin].map(Cell::plain)
    }
}
