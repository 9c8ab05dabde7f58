//! `rigup exec`: a command with the installed binaries first on PATH.

use std::ffi::OsString;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::command;
use crate::cli::message::error;
use crate::engine::{EngineError, ExitStatus, runs};

/// The arguments of `rigup exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/exec.txt"))]
pub(crate) struct ExecArgs {
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD", add = command())]
    command: Vec<OsString>,
}

/// Runs `rigup exec`.
pub(crate) fn exec(args: &ExecArgs, context: &Context) -> CommandResult {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(CliError::usage("no command to run"));
    };
    exit_status(runs::exec(&context.session()?, program, arguments))
}

/// Prints why a command cannot be started, if it cannot, and returns the exit status of the shells for that.
pub(crate) fn exit_status(ended: Result<ExitStatus, EngineError>) -> CommandResult {
    match ended {
        Err(EngineError::Spawn(error)) => {
            error!("{error}");
            Ok(ExitStatus::Code(if error.is_missing { 127 } else { 126 }))
        }
        ended => Ok(ended?),
    }
}
