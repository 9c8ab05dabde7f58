//! `rigup process gc`

use std::time::Duration;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::message::{print_event, print_message};
use crate::engine::session::Session;
use crate::engine::{ExitStatus, runs};
use crate::model::process::Process;
use crate::report::short_id::short_id;
use crate::report::table::{Cell, Column, Table};
use crate::report::units;
use crate::runs::gc::{Action, Cleaned, Done, Swept};

const EXAMPLES: &str = "\
Examples:
  rigup process gc
  rigup process gc --dry-run
  rigup process gc --ttl 0                      Remove the run dirs of all runs that exited
  RIGUP_KEEP_PROCESSES=100 rigup process gc     Keep the records of the newest 100 processes

gc terminates runs that exceed their --max-runtime, completes the records of processes whose exit
no process observed, and removes the run dirs of runs past their --ttl. A damaged store is moved
aside; a new one is filled from the run dirs.
The settings keep.processes (10000), keep.days (30) and keep.log_bytes (1 GiB) limit what is kept;
the oldest is pruned first. Live processes, their parents, the attempt behind each binary, and
runs within their --ttl are always kept. Pruned records are counted, not listed.";

/// What to clean up.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GcArgs {
    /// Keep run dirs for S seconds after the run exits, whatever `rigup start --ttl` set
    #[arg(long, value_name = "S")]
    ttl: Option<u64>,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// `rigup process gc`
pub(super) fn gc(args: &GcArgs, context: &mut Context) -> Result<ExitStatus, CliError> {
    let settings = context.settings.clone();
    let session = if args.dry_run {
        Session::open(settings, &print_event)?
    } else {
        Session::open_checked(settings, &print_event)?
    };
    let Cleaned { done, swept } = runs::gc(&session, args.ttl.map(Duration::from_secs), args.dry_run)?;
    let output = &mut context.output;
    if output.is_json() {
        output.records(done.iter().map(Done::to_record).chain(swept.iter().map(Swept::to_record)))?;
    } else if done.is_empty() && swept.is_empty() {
        print_message("nothing to clean up");
    } else {
        let rows = done.iter().map(row).chain(swept.iter().map(swept_row));
        let columns = [
            Column::new("ACTION"),
            Column::new("PROCESS"),
            Column::new("COMMAND").cut_end(16),
            Column::new("REASON").wrap(20),
            Column::new("RUN DIR").cut_start(16).optional(1),
        ];
        output.table(&Table::with_rows(columns, rows))?;
    }
    let has_failed = done.iter().any(|entry| entry.action == Action::Failed);
    Ok(if has_failed { ExitStatus::Incomplete } else { ExitStatus::Success })
}

fn swept_row(swept: &Swept) -> Vec<Cell> {
    let count = match swept.processes {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    };
    let logs = format!("{} of logs", units::bytes(swept.log_bytes));
    [swept.action().to_owned(), count, logs, swept.reason.clone()].map(Cell::plain).into()
}

fn row(done: &Done) -> Vec<Cell> {
    let action = done.action.as_str();
    let process = done.process.as_ref();
    vec![
        if done.action == Action::Failed { Cell::failure(action) } else { Cell::plain(action) },
        Cell::plain(process.map(|process| short_id(process.id)).unwrap_or_default()),
        Cell::plain(process.map(Process::title).unwrap_or_default()),
        Cell::plain(&done.reason),
        Cell::plain(done.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
    ]
}
