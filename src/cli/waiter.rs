//! `rigup waiter`: what rigup starts itself as, to see a background process out. Not for people.

use std::ffi::OsString;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::model::id::ProcessId;
use crate::process::{spawn, waiter};
use crate::settings::Settings;
use crate::store::Store;

/// The process to start and to wait for.
#[derive(Debug, clap::Args)]
pub(crate) struct WaiterArgs {
    /// Its record
    process: ProcessId,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs it. What goes wrong is told to the launcher, on standard output.
pub(crate) fn run(args: WaiterArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    spawn::close_inherited();
    let done = wait_for(args, settings);
    if let Err(CliError::Unusable(error)) = &done {
        output.raw(error.to_string().as_bytes())?;
    }
    done
}

fn wait_for(args: WaiterArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut command = args.command.into_iter();
    let program = command.next().ok_or_else(|| CliError::Usage("no command to wait for".to_owned()))?;
    let store = Store::open(&settings.data_dir)?;
    let process =
        store.process(args.process)?.ok_or_else(|| CliError::unusable("there is no such process"))?;
    let environment = settings.environment.iter();
    let env = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let here = std::env::current_dir().map_err(CliError::unusable)?;
    waiter::wait_for(&store, process, settings.output_limit, program, command.collect(), env, here)
        .map_err(CliError::unusable)?;
    Ok(Exit::Well)
}
