//! `rigup process gc`: cleaning up.

use std::time::Duration;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, say};
use crate::cli::search;
use crate::cli::session::Session;
use crate::clock;
use crate::report::short_id::short_id;
use crate::report::table::{Cell, Column, Table};
use crate::report::units;
use crate::runs::gc::{Action, Cleaned, Done, Gc, Swept};
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  rigup process gc
  rigup process gc --dry-run
  rigup process gc --ttl 0                      removes the run dirs of all runs that are over
  RIGUP_KEEP_PROCESSES=100 rigup process gc     keeps the records of the newest 100 processes

What runs longer than it may is ended, what died unseen is recorded as lost, and the run dirs of runs that are
past their --ttl are removed. Each process is told once: what was ended now is removed by a later gc. A store
that is damaged is moved aside; a new one gets what the run dirs tell.
Of all that is over, the settings keep.processes (10000), keep.days (30) and keep.log_bytes (1 GiB) say how much is
kept; the oldest goes first. What lives stays, what asked for something that stays, what a rigup at work started,
what each binary came from, and runs until their --ttl is over. How many went is told, not which.";

/// How to clean up.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GcArgs {
    /// Keep run dirs for so many seconds after their end, whatever was said when they were started
    #[arg(long, value_name = "S")]
    ttl: Option<u64>,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Runs it.
pub(super) fn gc(args: &GcArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let keep = search::own(settings)?.keep();
    let session = if args.dry_run { Session::open(settings)? } else { Session::open_checked(settings)? };
    let gc = Gc {
        store: &session.store,
        machine_id: session.machine.id,
        data_dir: &settings.data_dir,
        ttl: args.ttl.map(Duration::from_secs),
        keep,
        now: clock::now(),
        dry_run: args.dry_run,
    };
    let Cleaned { done, swept } = gc.run().map_err(CliError::unusable)?;
    if output.is_json() {
        output.records(done.iter().map(Done::to_record).chain(swept.iter().map(Swept::to_record)))?;
    } else if done.is_empty() && swept.is_empty() {
        say("There is nothing to clean up.");
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
    let has_failed = done.iter().any(|it| it.action == Action::Failed);
    Ok(if has_failed { Exit::Missing } else { Exit::Well })
}

fn swept_row(swept: &Swept) -> Vec<Cell> {
    let many = match swept.processes {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    };
    let logs = format!("{} of logs", units::bytes(swept.log_bytes));
    [swept.action().to_owned(), many, logs, swept.reason.clone()].map(Cell::plain).into()
}

fn row(done: &Done) -> Vec<Cell> {
    let action = done.action.as_str();
    let process = done.process.as_ref();
    vec![
        if done.action == Action::Failed { Cell::failure(action) } else { Cell::plain(action) },
        Cell::plain(process.map(|process| short_id(process.id)).unwrap_or_default()),
        Cell::plain(process.map(crate::model::process::Process::title).unwrap_or_default()),
        Cell::plain(&done.reason),
        Cell::plain(done.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
    ]
}
