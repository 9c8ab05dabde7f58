//! `rigup process replay`: the recorded command of a process once more.

use crate::cli::command::{CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::exec;
use crate::engine::{completion, processes, runs};

/// The arguments of `rigup process replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/process_replay.txt"))]
pub(crate) struct ReplayArgs {
    /// Pid or process id, or a unique prefix or suffix of the id
    #[arg(add = values(completion::replayable_processes))]
    process: String,
}

/// Runs `rigup process replay`.
pub(crate) fn replay(args: &ReplayArgs, context: &Context) -> CommandResult {
    // A data dir that does not exist has no process, and is not created for that.
    let (store, process) = context.process(&args.process)?;
    let recorded = processes::recorded_command(&process, &store, &context.settings)?;
    drop(store);
    exec::exit_status(runs::replay(&context.session()?, &recorded))
}
