//! `rigup machine`: the machines that are known, and what this one's record keeps.

use clap::Subcommand;
use serde_json::Map;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::machine::derived;
use crate::model::machine::Machine;
use crate::report::table::{Column, Table};
use crate::settings::Settings;

const SET: &str = "\
Examples:
  rigup machine set WGET_BINARY=/opt/wget/bin/wget    hooks get this path as WGET_BINARY
  rigup machine set WGET_BINARY=                      forget it

`rigup install` remembers by itself where it found the binaries that settings name.";

/// What to do with machines.
#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// This machine and the network interface it talks through
    Show,
    /// All machines whose records are here, the oldest first
    List(ListArgs),
    /// Remember where a binary is on this machine
    Set(SetArgs),
}

/// Which machines to list.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only those with this in their host name
    #[arg(long, value_name = "TEXT")]
    hostname: Option<String>,
    /// Only those with this in the description of their system
    #[arg(long, value_name = "TEXT")]
    os_platform: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<usize>,
}

/// What to remember.
#[derive(Debug, clap::Args)]
#[command(after_help = SET)]
pub(crate) struct SetArgs {
    /// A setting that ends in _BINARY, and the absolute path of a file; nothing behind the `=` forgets it
    #[arg(required = true, value_name = "KEY=VALUE")]
    pairs: Vec<String>,
    /// Show the record as it would be, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs it.
pub(crate) fn run(
    command: MachineCommand,
    settings: &Settings,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        MachineCommand::Show => {
            let session = Session::open(settings)?;
            let interface = session.interface()?;
            output.record(&session.machine.to_record())?;
            output.record(&interface.to_record())?;
        }
        MachineCommand::List(args) => list(&args, settings, output)?,
        MachineCommand::Set(args) => set(&args, settings, output)?,
    }
    Ok(Exit::Well)
}

fn list(args: &ListArgs, settings: &Settings, output: &mut Output) -> Result<(), CliError> {
    let mut machines = Session::read(settings)?.map(|it| it.machines()).transpose()?.unwrap_or_default();
    let has = |text: &str, part: &Option<String>| {
        part.as_ref().is_none_or(|part| text.to_lowercase().contains(&part.to_lowercase()))
    };
    machines.retain(|it| {
        has(&it.facts.hostname, &args.hostname) && has(&it.facts.os_platform, &args.os_platform)
    });
    machines.truncate(args.limit.unwrap_or(usize::MAX));
    if output.is_json() {
        return output.records(machines.iter().map(Machine::to_record));
    }
    let rows = machines
        .into_iter()
        .map(|it| [it.facts.hostname, it.facts.os_release, it.facts.os_arch, it.id.to_string()]);
    let columns = [
        Column::new("HOSTNAME").cut_end(12),
        Column::new("SYSTEM").cut_end(12).optional(1),
        Column::new("ARCH").optional(2),
        Column::new("ID"),
    ];
    output.table(&Table::with_rows(columns, rows))
}

fn set(args: &SetArgs, settings: &Settings, output: &mut Output) -> Result<(), CliError> {
    let mut patch = Map::new();
    for pair in &args.pairs {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| CliError::Usage(format!("{pair} is no KEY=VALUE")))?;
        patch
            .extend([derived::setting(key.trim(), value.trim())
                .map_err(|error| CliError::Usage(error.to_string()))?]);
    }
    let mut session = Session::open(settings)?;
    if !args.dry_run {
        session.store.merge_machine_config(session.machine.id, &patch)?;
    }
    for (key, value) in patch {
        session.machine.config.remove(&key);
        if !value.is_null() {
            session.machine.config.insert(key, value);
        }
    }
    output.record(&session.machine.to_record())
}
