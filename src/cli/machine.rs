//! `rigup machine`: the records of machines.

use clap::Subcommand;
use serde_json::Map;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::count;
use crate::clock;
use crate::engine::{ExitStatus, session};
use crate::machine::config;
use crate::model::{Machine, MachineFacts};
use crate::report::short_id::short_ids;
use crate::report::table::{Cell, Column, Table};

/// The subcommands of `rigup machine`.
#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// Show this machine and its network interface
    #[command(after_help = include_str!("help/machine_show.txt"))]
    Show,
    /// List the machines that have records here, oldest first
    List(MachineListArgs),
    /// Store the path of a binary on this machine
    Set(SetArgs),
}

/// The arguments of `rigup machine list`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/machine_list.txt"))]
pub(crate) struct MachineListArgs {
    /// List only machines whose host name contains TEXT
    #[arg(long, value_name = "TEXT")]
    hostname: Option<String>,
    /// List only machines whose platform contains TEXT
    #[arg(long, value_name = "TEXT")]
    os_platform: Option<String>,
    /// List at most N machines; 0 lists all
    #[arg(long, short = 'n', value_name = "N", value_parser = count::parse::<usize>)]
    limit: Option<usize>,
}

/// The arguments of `rigup machine set`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/machine_set.txt"))]
pub(crate) struct SetArgs {
    /// A setting that ends in _BINARY, and an absolute path; an empty path unsets it
    #[arg(required = true, value_name = "KEY=VALUE")]
    pairs: Vec<String>,
    /// Show the changed record without storing it
    #[arg(long)]
    dry_run: bool,
}

/// Runs `rigup machine`.
pub(crate) fn run(command: MachineCommand, context: &mut Context) -> CommandResult {
    match command {
        MachineCommand::Show => show(context),
        MachineCommand::List(args) => list(&args, context),
        MachineCommand::Set(args) => set(&args, context),
    }
}

fn show(context: &mut Context) -> CommandResult {
    let session = context.session()?;
    let interface = session.interface()?;
    context.output.record(&config::without_missing(&session.machine).to_record());
    context.output.record(&interface.to_record());
    Ok(ExitStatus::Success)
}

fn list(args: &MachineListArgs, context: &mut Context) -> CommandResult {
    let mut machines = Vec::new();
    if let Some(store) = context.store()? {
        machines = store.machines()?;
        let this = session::machine_id(&context.settings, &store)?;
        for machine in machines.iter_mut().filter(|machine| Some(machine.id) == this) {
            *machine = config::without_missing(machine);
        }
    }
    machines.retain(|machine| {
        contains(&machine.facts.hostname, args.hostname.as_deref())
            && contains(&machine.facts.os_platform, args.os_platform.as_deref())
    });
    machines.truncate(args.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX));
    let ids = short_ids(machines.iter().map(|machine| machine.id));
    let rows = machines.iter().zip(&ids).map(|(machine, id)| {
        let MachineFacts { hostname, os_release, os_arch, .. } = &machine.facts;
        [hostname, os_release, os_arch, id].map(Cell::plain)
    });
    let columns = [
        Column::new("HOSTNAME").cut_end(12),
        Column::new("SYSTEM").cut_end(12).optional(1),
        Column::new("ARCH").optional(2),
        Column::new("ID"),
    ];
    context
        .output
        .list(machines.iter().map(Machine::to_record), "no machines", || Table::with_rows(columns, rows));
    Ok(ExitStatus::Success)
}

/// Whether a text contains a part, ignoring case. Every text matches `None`.
fn contains(text: &str, part: Option<&str>) -> bool {
    part.is_none_or(|part| text.to_lowercase().contains(&part.to_lowercase()))
}

fn set(args: &SetArgs, context: &mut Context) -> CommandResult {
    let mut patch = Map::new();
    for pair in &args.pairs {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| CliError::usage(format!("{pair:?} is not KEY=VALUE")))?;
        let setting = config::setting(key.trim(), value.trim());
        patch.extend([setting.map_err(CliError::usage)?]);
    }
    let session = context.session_for(args.dry_run)?;
    let mut machine = session.machine.clone();
    machine.modified_at = clock::now();
    if !args.dry_run {
        session.store.merge_machine_config(machine.id, &patch, machine.modified_at)?;
    }
    for (key, value) in patch {
        machine.config.remove(&key);
        if !value.is_null() {
            machine.config.insert(key, value);
        }
    }
    context.output.record(&config::without_missing(&machine).to_record());
    Ok(ExitStatus::Success)
}
