//! `rigup config`: every setting, its value, and where that comes from.

use serde_json::json;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::plugin::shown;
use crate::cli::search;
use crate::cli::session::Session;
use crate::plugin::config::value::Setting;
use crate::report::table::{Column, Table};
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  rigup config                  every setting of rigup and of every plugin
  rigup config WGET_TIMEOUT     where does this one come from?
  WGET_TIMEOUT=5 rigup config WGET_TIMEOUT

A value comes from the environment, else from ./rigup.toml, else from rigup/rigup.toml in the user's
configuration folder, else from another setting, else it is the plugin's default.";

/// What stands in the place of the plugin's name.
const OWN: &str = "rigup";

/// Which settings to show.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConfigArgs {
    /// Only these, by their names; all where none is given
    #[arg(value_name = "SETTING")]
    names: Vec<String>,
}

/// Runs it.
pub(crate) fn config(args: &ConfigArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let mut found = search::find(settings, &[])?;
    if let Some(session) = Session::read_known(settings)? {
        found.learn(&session.machine.config);
    }
    let is_wanted = |it: &Setting| args.names.is_empty() || args.names.contains(&it.name);
    let of_plugins = found
        .discovery
        .plugins
        .iter()
        .flat_map(|plugin| found.settings[&plugin.name].iter().map(|it| (plugin.name.as_str(), it)));
    let all: Vec<(&str, &Setting)> = found
        .own
        .settings
        .iter()
        .map(|it| (OWN, it))
        .chain(of_plugins)
        .filter(|(_, it)| is_wanted(it))
        .collect();
    if let Some(name) = args.names.iter().find(|name| !all.iter().any(|(_, it)| it.name == **name)) {
        return Err(CliError::NotFound(format!(
            "there is no setting {name}; `rigup config` shows all there are"
        )));
    }
    if output.is_json() {
        output.records(all.iter().map(|(plugin, it)| {
            json!({
                "type": "Setting",
                "plugin": plugin,
                "name": it.name,
                "value": shown(it),
                "origin": it.origin.to_string(),
            })
        }))?;
    } else {
        let rows = all.iter().map(|(plugin, it)| {
            [(*plugin).to_owned(), it.name.clone(), shown(it).to_string(), it.origin.to_string()]
        });
        let columns = [
            Column::new("PLUGIN"),
            Column::new("SETTING"),
            Column::new("VALUE").cut_end(20),
            Column::new("FROM").cut_start(12),
        ];
        output.table(&Table::with_rows(columns, rows))?;
    }
    Ok(found.complain())
}
