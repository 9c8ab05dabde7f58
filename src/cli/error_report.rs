//! The report of the error that ends a command: to the CI system, and in the file of `--junit`.

use std::ffi::OsString;

use clap::Command;

use crate::cli::ci::{self, CiArgs};
use crate::cli::command::CliError;
use crate::cli::junit::JunitArgs;
use crate::engine::{EngineError, ExitStatus};
use crate::model::error_line;
use crate::report::job_report::{ItemOutcome, JobItem, JobReport};
use crate::settings::Environment;

/// The commands that report to CI systems, and those that write JUnit.
const CI_COMMANDS: [&str; 4] = ["install", "load", "lock", "run"];
const JUNIT_COMMANDS: [&str; 3] = ["hook", "install", "run"];

/// How a command reports the error that ends it.
#[derive(Debug)]
pub(crate) struct ErrorReport {
    /// The command, such as `rigup install`.
    pub(crate) command: String,
    /// The option for the CI system; `None` for a command that reports to none.
    pub(crate) ci: Option<CiArgs>,
    /// The option for the file.
    pub(crate) junit: JunitArgs,
}

impl ErrorReport {
    /// Returns how the command of arguments that the parser rejected reports: in every way if it is not known either.
    pub(crate) fn of_rejected(arguments: &[OsString], commands: &Command) -> Self {
        let words: Vec<_> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
        let command = words.iter().find_map(|word| commands.find_subcommand(word)).map(Command::get_name);
        let is_one_of = |names: &[&str]| command.is_none_or(|command| names.contains(&command));
        let junit = is_one_of(&JUNIT_COMMANDS).then(|| JunitArgs::in_arguments(arguments));
        Self {
            command: command.map_or_else(|| "rigup".to_owned(), |command| format!("rigup {command}")),
            ci: is_one_of(&CI_COMMANDS).then(|| CiArgs::in_arguments(arguments)),
            junit: junit.unwrap_or_default(),
        }
    }

    /// Reports the error.
    pub(crate) fn publish(self, error: &CliError, environment: &Environment) {
        let mut report = job_report(self.command, error);
        // The error may be that the system is invalid.
        if let Some(Ok(Some(system))) = self.ci.map(|ci| ci.begin(environment)) {
            ci::publish(&mut report, system, environment);
        }
        self.junit.write_error(&report);
    }

    /// Writes to the file that a signal interrupted the command. The CI system knows that it has canceled the job.
    pub(crate) fn write_interrupt(self, signal: i32) {
        let error = EngineError::Interrupted(signal).into();
        self.junit.write_error(&job_report(self.command, &error));
    }
}

fn job_report(command: String, error: &CliError) -> JobReport {
    let kind = match error.status {
        ExitStatus::Usage => "usage error",
        ExitStatus::Setup => "setup error",
        _ => "error",
    };
    let problem = JobItem {
        name: kind.to_owned(),
        outcome: ItemOutcome::Failed,
        reason: error.to_string(),
        place: error.place.clone(),
        ..JobItem::default()
    };
    JobReport { command, problems: vec![problem], closing: kind.to_owned(), ..JobReport::default() }
}

/// Returns the error of the parser as one that ends a command, or `None` if the user asked for help.
pub(crate) fn of_parser(error: &clap::Error) -> Option<CliError> {
    let text = error.render().to_string();
    let line = error_line::find(&text).filter(|_| error.use_stderr())?;
    line.strip_prefix("error: ").map(CliError::usage)
}
