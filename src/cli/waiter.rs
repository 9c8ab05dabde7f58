//! `rigup waiter`: rigup starts itself with this command to wait for a background process.

use std::time::Duration;

use crate::cli::command::CliError;
use crate::cli::launch::parse_attributes;
use crate::cli::output_queue::STDOUT;
use crate::engine::ExitStatus;
use crate::exhaustion;
use crate::model::{LogLimits, ProcessAttributes, ProcessId};
use crate::process::spawn::CommandSpec;
use crate::process::waiter::WaiterConditions;
use crate::process::{system, waiter};
use crate::settings::{Environment, Flags};
use crate::store::Store;

/// The process to start and to wait for.
#[derive(Debug, clap::Args)]
pub(crate) struct WaiterArgs {
    /// The number of bytes that a hook may write to one stream
    #[arg(long)]
    output_limit: u64,
    /// The number of bytes of memory that it and its descendants may use
    #[arg(long)]
    memory_limit: Option<u64>,
    /// The grace period of the command if the waiter is told to terminate it, in milliseconds
    #[arg(long)]
    grace: u64,
    /// The size of a log, in bytes, from which it is rotated
    #[arg(long, requires = "log_max_files")]
    log_max_size: Option<u64>,
    /// The number of files of each log that are kept
    #[arg(long)]
    log_max_files: Option<u32>,
    /// Its user, its priority and its limits, as JSON
    #[arg(long, value_parser = parse_attributes)]
    attributes: Option<ProcessAttributes>,
    /// The id of its record
    process: ProcessId,
}

/// Runs `rigup waiter`. Reads no settings: the environment and the working directory concern the command. Errors go
/// to the launcher, through standard output.
pub(crate) fn run(args: WaiterArgs, folders: Flags, environment: &Environment) -> ExitStatus {
    system::close_inherited();
    let Err(error) = wait_for(args, folders, environment) else { return ExitStatus::Success };
    // There is no one to tell if the launcher has exited.
    let _ = STDOUT.write_and_drain(&error.to_string());
    error.status
}

fn wait_for(args: WaiterArgs, folders: Flags, environment: &Environment) -> Result<(), CliError> {
    let WaiterArgs { output_limit, memory_limit, grace, log_max_size, log_max_files, attributes, process } =
        args;
    let missing = || CliError::usage("the waiter has no --data-dir, --lib-dir or command");
    let mut command = waiter::words_of_command(environment).into_iter();
    let program = command.next().ok_or_else(missing)?;
    let (data_dir, lib_dir) = folders.data_dir.zip(folders.lib_dir).ok_or_else(missing)?;
    let store = Store::open(&data_dir, &lib_dir)?;
    let process = store.process(process)?.ok_or_else(|| CliError::setup("the process has no record"))?;
    let env = waiter::environment_of_command(environment);
    // The working directory may have been removed.
    let cwd = std::env::current_dir().unwrap_or_else(|_| ".".into());
    let command = CommandSpec { program, args: command.collect(), env, cwd };
    let log_limits =
        log_max_size.zip(log_max_files).map(|(max_size, max_files)| LogLimits { max_size, max_files });
    let grace = Duration::from_millis(grace);
    let conditions = WaiterConditions { memory_limit, grace, log_limits, attributes };
    waiter::run(store, process, output_limit, conditions, command)
        .map_err(|error| CliError::setup(exhaustion::explain(&error)))
}
