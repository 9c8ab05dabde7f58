//! `rigup machine`: the machine that rigup runs on.

use clap::Subcommand;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::settings::Settings;

/// What to do with machines.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum MachineCommand {
    /// This machine and the network interface it talks through
    Show,
}

/// Runs it.
pub(crate) fn run(
    command: MachineCommand,
    settings: &Settings,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        MachineCommand::Show => {
            let session = Session::open(settings)?;
            let interface = session.interface()?;
            output.record(&session.machine.to_record())?;
            output.record(&interface.to_record())?;
        }
    }
    Ok(Exit::Well)
}
