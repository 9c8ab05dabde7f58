//! `rigup waiter`: rigup starts itself with this command to wait for a background process.

use std::ffi::OsString;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::engine::ExitStatus;
use crate::model::ProcessId;
use crate::process::spawn::CommandSpec;
use crate::process::{system, waiter};
use crate::settings::Settings;
use crate::store::Store;

/// The process to start and to wait for.
#[derive(Debug, clap::Args)]
pub(crate) struct WaiterArgs {
    /// The id of its record
    process: ProcessId,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs `rigup waiter`. Errors go to the launcher, through standard output.
pub(crate) fn run(args: WaiterArgs, context: &mut Context) -> CommandResult {
    system::close_inherited();
    let waited = wait_for(args, &context.settings);
    if let Err(error) = &waited {
        context.output.raw(error.to_string().as_bytes());
    }
    waited
}

fn wait_for(args: WaiterArgs, settings: &Settings) -> CommandResult {
    let mut command = args.command.into_iter();
    let program = command.next().ok_or_else(|| CliError::usage("no command to wait for"))?;
    let store = Store::open(&settings.data_dir, &settings.lib_dir)?;
    let process = store.process(args.process)?.ok_or_else(|| CliError::setup("the process has no record"))?;
    let environment = settings.environment.iter();
    let env = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let cwd = std::env::current_dir().map_err(CliError::setup)?;
    let command = CommandSpec { program, args: command.collect(), env, cwd };
    waiter::run(&store, process, settings.output_limit, command).map_err(CliError::setup)?;
    Ok(ExitStatus::Success)
}
