//! `rigup process`: the records of processes, and the live processes.

use clap::Subcommand;

use crate::cli::command::{CommandResult, Context};
use crate::cli::completions::values;
use crate::engine::completion;

mod gc;
mod kill;
pub(crate) mod list;
mod log_printer;
pub(crate) mod logs;
mod replay;
mod show;
pub(crate) mod table;
mod tree;
mod wait;

/// The subcommands of `rigup process`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProcessCommand {
    /// List processes: first those that live, then the newest
    List(list::ListArgs),
    /// Show one process: command, environment, state, resource usage, messages and result
    #[command(after_help = include_str!("help/process_show.txt"))]
    Show {
        /// Pid or process id, or a unique prefix or suffix of the id
        #[arg(add = values(completion::processes))]
        process: String,
    },
    /// Show processes as a tree
    Tree(tree::TreeArgs),
    /// Print the output of a process
    Logs(logs::ProcessLogsArgs),
    /// Wait for processes, and exit with the first exit code that is not 0
    Wait(wait::WaitArgs),
    /// Terminate processes and everything that they started
    Kill(kill::KillArgs),
    /// Run the recorded command of a process again, and exit with its exit code
    Replay(replay::ReplayArgs),
    /// Terminate overdue runs, complete unfinished records, and prune expired records and logs
    Gc(gc::GcArgs),
}

impl ProcessCommand {
    /// Whether it prunes what has expired by the limits in the settings.
    pub(crate) const fn prunes(&self) -> bool {
        matches!(self, Self::Gc(..) | Self::Replay(..))
    }
}

/// Runs `rigup process`.
pub(crate) fn run(command: ProcessCommand, context: &mut Context) -> CommandResult {
    match command {
        ProcessCommand::List(args) => list::list(args, context),
        ProcessCommand::Show { process } => show::show(&process, context),
        ProcessCommand::Tree(args) => tree::tree(&args, context),
        ProcessCommand::Logs(args) => logs::logs(&args, context),
        ProcessCommand::Wait(args) => wait::wait(&args, context),
        ProcessCommand::Kill(args) => kill::kill(args, context),
        ProcessCommand::Replay(args) => replay::replay(&args, context),
        ProcessCommand::Gc(args) => gc::gc(&args, context),
    }
}
