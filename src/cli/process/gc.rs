//! `rigup process gc`: cleaning up.

use std::time::Duration;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, say};
use crate::cli::search;
use crate::cli::session::Session;
use crate::clock;
use crate::report::human::{self, Tone, Toned};
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
        let rows = done.iter().map(row).chain(swept.iter().map(swept_row)).collect();
        output.table(&["DONE", "PROCESS", "WHAT", "REASON", "RUN DIR"], rows)?;
    }
    let has_failed = done.iter().any(|it| it.action == Action::Failed);
    Ok(if has_failed { Exit::Missing } else { Exit::Well })
}

fn swept_row(swept: &Swept) -> Vec<Toned> {
    let many = match swept.processes {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    };
    let logs = format!("{} of logs", human::bytes(swept.log_bytes));
    [swept.action().to_owned(), many, logs, swept.reason.clone()].map(|it| (it, Tone::Plain)).into()
}

fn row(done: &Done) -> Vec<Toned> {
    let tone = if done.action == Action::Failed { Tone::Bad } else { Tone::Plain };
    let process = done.process.as_ref();
    vec![
        (done.action.as_str().to_owned(), tone),
        (process.map(|it| it.id.to_string()).unwrap_or_default(), Tone::Plain),
        (process.map(crate::model::process::Process::title).unwrap_or_default(), Tone::Plain),
        (done.reason.clone(), Tone::Plain),
        (done.path.as_ref().map(|it| it.display().to_string()).unwrap_or_default(), Tone::Plain),
    ]
}
