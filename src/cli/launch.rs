//! `rigup launch`: rigup starts itself with this command to start a program with another user, priority or limit.

use std::ffi::OsString;

use crate::cli::message::error;
use crate::engine::ExitStatus;
use crate::model::ProcessAttributes;
use crate::process::launcher;
use crate::process::spawn::CommandSpec;
use crate::settings::Environment;

/// The program to become.
#[derive(Debug, clap::Args)]
pub(crate) struct LaunchArgs {
    /// The user, the priority and the limits, as JSON
    #[arg(value_parser = parse_attributes)]
    attributes: ProcessAttributes,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Parses the attributes that rigup passes to itself.
pub(super) fn parse_attributes(text: &str) -> Result<ProcessAttributes, serde_json::Error> {
    serde_json::from_str(text)
}

/// Runs `rigup launch`. Reads no settings: the environment and the working directory are those of the command.
pub(crate) fn run(args: LaunchArgs, environment: &Environment) -> ExitStatus {
    let mut words = args.command.into_iter();
    let command = CommandSpec {
        program: words.next().unwrap_or_default(),
        args: words.collect(),
        env: environment.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        cwd: std::env::current_dir().unwrap_or_else(|_| ".".into()),
    };
    if let Err(error) = launcher::exec(&command, &args.attributes) {
        error!("{error}");
    }
    ExitStatus::Setup
}
