//! `rigup process gc`: cleaning up.

use std::time::Duration;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, say};
use crate::cli::session::Session;
use crate::clock;
use crate::detached::gc::{Action, Done, Gc};
use crate::report::human::Tone;
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  rigup process gc
  rigup process gc --dry-run
  rigup process gc --ttl 0      removes the run dirs of all runs that are over

What runs longer than it may is ended, what died unseen is recorded as lost, and the run dirs of runs that are
past their --ttl are removed; their records stay. Each process is told once: what was ended now is removed
by a later gc.";

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
    let session = Session::open(settings)?;
    let gc = Gc {
        store: &session.store,
        machine_id: session.machine.id,
        data_dir: &settings.data_dir,
        ttl: args.ttl.map(Duration::from_secs),
        now: clock::now(),
        dry_run: args.dry_run,
    };
    let done = gc.run()?;
    if output.is_json() {
        output.records(done.iter().map(Done::to_record))?;
    } else if done.is_empty() {
        say("There is nothing to clean up.");
    } else {
        output.table(&["DONE", "PROCESS", "WHAT", "REASON", "RUN DIR"], done.iter().map(row).collect())?;
    }
    let has_failed = done.iter().any(|it| it.action == Action::Failed);
    Ok(if has_failed { Exit::Missing } else { Exit::Well })
}

fn row(done: &Done) -> Vec<(String, Tone)> {
    let tone = if done.action == Action::Failed { Tone::Bad } else { Tone::Plain };
    let process = done.process.as_ref();
    vec![
        (done.action.as_str().to_owned(), tone),
        (process.map(|it| it.id.to_string()).unwrap_or_default(), Tone::Plain),
        (process.map(crate::record::process::Process::title).unwrap_or_default(), Tone::Plain),
        (done.reason.clone(), Tone::Plain),
        (done.path.as_ref().map(|it| it.display().to_string()).unwrap_or_default(), Tone::Plain),
    ]
}
