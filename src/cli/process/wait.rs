//! `rigup process wait`: until processes are over, and what they came to.

use std::time::{Duration, Instant};

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, say};
use crate::cli::process::{find_all, write};
use crate::cli::session::Session;
use crate::model::process::Process;
use crate::process::handle::Handle;
use crate::process::{poll, recover};
use crate::settings::Settings;
use crate::store::Store;

const EXAMPLES: &str = "\
Examples:
  rigup process wait 01a1fbc3
  rigup process wait --timeout 60 01a1fbc3 01a1fbc4

Exit code: that of the first process, in the order given, whose code is not 0; 1 where nobody knows it,
because nobody saw the end; 124 where the time is up first. Nothing is ended.";

/// For whom, and how long.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WaitArgs {
    /// The processes, by their ids or the beginnings or ends of them
    #[arg(required = true, value_name = "PROCESS")]
    processes: Vec<String>,
    /// Give up after so many seconds
    #[arg(long, value_name = "S")]
    timeout: Option<u64>,
}

/// What `timeout` exits with, too.
const TIMED_OUT: Exit = Exit::Code(124);

/// How often a record is looked at whose process cannot be waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Runs it.
pub(super) fn wait(args: &WaitArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let session = Session::open(settings)?;
    let deadline = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut over = Vec::new();
    for process in find_all(&session, &args.processes)? {
        match wait_for(&session.store, process, deadline)? {
            Ok(process) => over.push(process),
            Err(process) => {
                say(&format!("process {} is still {}", process.id, process.status()));
                write(&over, output)?;
                return Ok(TIMED_OUT);
            }
        }
    }
    write(&over, output)?;
    Ok(over.iter().map(exit_of).find(|it| *it != Exit::Well).unwrap_or(Exit::Well))
}

/// Waits until the ending of a process is stored. The process as it stands, where the time is up before.
fn wait_for(
    store: &Store,
    mut process: Process,
    deadline: Option<Instant>,
) -> Result<Result<Process, Process>, CliError> {
    loop {
        if process.exit().is_some() {
            return Ok(Ok(process));
        }
        if let Some(finished) = recover::finish_if_lost(store, &process)? {
            return Ok(Ok(finished));
        }
        if deadline.is_some_and(|it| Instant::now() >= it) {
            return Ok(Err(process));
        }
        let root = process.running().and_then(|it| Handle::open(&it.identity));
        match (&root, deadline) {
            // Long enough that nobody notices, and short enough to see one that is gone and was never waited for.
            (Some(root), None) => {
                poll::readable([root.fd()], Instant::now() + 50 * LOOK);
            }
            (Some(root), Some(deadline)) => {
                poll::readable([root.fd()], deadline.min(Instant::now() + 50 * LOOK));
            }
            (None, _) => poll::pause(Instant::now() + LOOK),
        }
        process = store.process(process.id)?.unwrap_or(process);
    }
}

fn exit_of(process: &Process) -> Exit {
    match process.exit().and_then(|it| it.exit_code) {
        Some(0) => Exit::Well,
        Some(code) => Exit::Code(u8::try_from(code).unwrap_or(u8::MAX)),
        None => Exit::Missing,
    }
}
