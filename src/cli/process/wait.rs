//! `rigup process wait`: waits until processes have exited.

use crate::cli::command::{CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::message::message;
use crate::cli::process::table::write;
use crate::duration::{self, Limit};
use crate::engine::completion;
use crate::engine::{ExitStatus, processes};
use crate::model::Process;

/// The arguments of `rigup process wait`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/process_wait.txt"))]
pub(crate) struct WaitArgs {
    /// Pids or process ids, or a unique prefix or suffix of each
    #[arg(required = true, value_name = "PROCESS", add = values(completion::live_processes))]
    processes: Vec<String>,
    /// Give up after TIME, or never (`none`)
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = duration::parse_limit)]
    timeout: Limit,
}

/// The exit status after a timeout: that of the command `timeout`.
const TIMED_OUT: ExitStatus = ExitStatus::Code(124);

/// Runs `rigup process wait`.
pub(crate) fn wait(args: &WaitArgs, context: &mut Context) -> CommandResult {
    let session = context.session_with_records(false)?;
    let deadline = args.timeout.0.map(duration::deadline);
    let mut exited = Vec::new();
    let found = processes::find_all(&session, &args.processes)?;
    if let Some(error) = found.errors.into_iter().next() {
        return Err(error.into());
    }
    for process in found.processes {
        let process = processes::wait(&session.store, process, deadline)?;
        if process.exit().is_none() {
            message!("process {} is still {}", process.id, process.status());
            write(&exited, &mut context.output);
            return Ok(TIMED_OUT);
        }
        exited.push(process);
    }
    write(&exited, &mut context.output);
    let mut statuses = exited.iter().map(exit_status);
    Ok(statuses.find(|status| *status != ExitStatus::Success).unwrap_or(ExitStatus::Success))
}

fn exit_status(process: &Process) -> ExitStatus {
    ExitStatus::of_exit_code(process.exit().and_then(|exit| exit.exit_code))
}
