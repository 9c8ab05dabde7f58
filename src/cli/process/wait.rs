//! `rigup process wait`

use std::time::{Duration, Instant};

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::message::message;
use crate::cli::process::write;
use crate::engine::ExitStatus;
use crate::engine::processes;
use crate::model::Process;

const EXAMPLES: &str = "\
Examples:
  rigup process wait 4d5b21c7
  rigup process wait --timeout 60 4d5b21c7 8e02f9aa

The exit code is the first one, in the order given, that is not 0. It is 1 for a process whose exit
was not observed, and 124 if the timeout expires first. No process is terminated.";

/// Which processes to wait for, and for how long.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WaitArgs {
    /// Process ids, or a unique prefix or suffix of each
    #[arg(required = true, value_name = "PROCESS")]
    processes: Vec<String>,
    /// Give up after S seconds
    #[arg(long, value_name = "S")]
    timeout: Option<u64>,
}

/// The exit code of `timeout`, too.
const TIMED_OUT: ExitStatus = ExitStatus::Code(124);

/// `rigup process wait`
pub(super) fn wait(args: &WaitArgs, context: &mut Context) -> Result<ExitStatus, CliError> {
    let session = context.session()?;
    let deadline = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut exited = Vec::new();
    for process in processes::find_all(&session, &args.processes)? {
        let process = processes::wait(&session.store, process, deadline)?;
        if process.exit().is_none() {
            message!("process {} is still {}", process.id, process.status());
            write(&exited, &mut context.output)?;
            return Ok(TIMED_OUT);
        }
        exited.push(process);
    }
    write(&exited, &mut context.output)?;
    let mut statuses = exited.iter().map(exit_status);
    Ok(statuses.find(|status| *status != ExitStatus::Success).unwrap_or(ExitStatus::Success))
}

fn exit_status(process: &Process) -> ExitStatus {
    match process.exit().and_then(|exit| exit.exit_code) {
        Some(0) => ExitStatus::Success,
        Some(code) => ExitStatus::Code(u8::try_from(code).unwrap_or(u8::MAX)),
        None => ExitStatus::Incomplete,
    }
}
