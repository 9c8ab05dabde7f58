//! The report of a command besides its output: to the CI system, and in the file of `--junit`.

use std::ffi::OsString;

use clap::Command;

use crate::cli::ci::{self, CiArgs};
use crate::cli::cli_error::CliError;
use crate::cli::junit::{JunitArgs, JunitFile};
use crate::engine::ExitStatus;
use crate::model::error_line;
use crate::report::ci::CiSystem;
use crate::report::job_report::{ItemOutcome, JobItem, JobReport};
use crate::settings::Environment;

/// The commands that report to CI systems, and those that write JUnit.
const CI_COMMANDS: [&str; 4] = ["install", "load", "lock", "run"];
const JUNIT_COMMANDS: [&str; 3] = ["hook", "install", "run"];

/// What a command has to report so far, and to whom. It is published when the command has ended, so that it has the error or
/// the signal that ended it, too.
#[derive(Debug, Default)]
pub(crate) struct PendingReport {
    /// The CI system that gets the report.
    pub(crate) ci: Option<CiSystem>,
    /// The file that is written.
    pub(crate) junit: Option<JunitFile>,
    /// What the command did; `None` before there are results.
    pub(crate) job: Option<JobReport>,
}

/// The options of a command for its report.
#[derive(Debug)]
pub(crate) struct ReportOptions {
    /// The command, such as `rigup install`.
    pub(crate) command: String,
    /// The option for the CI system; `None` for a command that reports to none.
    pub(crate) ci: Option<CiArgs>,
    /// The option for the file.
    pub(crate) junit: JunitArgs,
}

impl PendingReport {
    /// Whether anyone reads the report.
    pub(crate) fn is_wanted(&self) -> bool {
        self.ci.is_some() || self.junit.is_some()
    }
}

impl ReportOptions {
    /// Returns the options of arguments that the parser rejected: all of them if the command is not known either.
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

    /// Publishes what a command did, with the error or the signal that ended it.
    pub(crate) fn publish(
        self,
        pending: PendingReport,
        ended_by: Option<&CliError>,
        environment: &Environment,
    ) -> Result<(), CliError> {
        let PendingReport { ci, junit, job } = pending;
        let problem = ended_by.map(problem);
        if job.is_none() && problem.is_none() && junit.is_none() {
            return Ok(());
        }
        // A device or a FIFO gets only results.
        let junit = junit.filter(|file| job.is_some() || file.is_replaced());
        let has_content = job.is_some() || problem.is_some();
        let mut job = job.unwrap_or_else(|| JobReport { command: self.command, ..JobReport::default() });
        if job.closing.is_empty() {
            job.closing = problem.as_ref().map(|problem| problem.name.clone()).unwrap_or_default();
        }
        job.problems.extend(problem);
        // The error may be that the system is invalid.
        let system = ci.or_else(|| self.ci?.begin(environment).ok()?);
        if let Some(system) = system.filter(|_| has_content) {
            ci::publish(&mut job, system, environment);
        }
        if let Some(file) = junit {
            return file.write(&job);
        }
        self.junit.write_error(&job);
        Ok(())
    }
}

/// Returns the error that ended a command as an item of its report.
fn problem(error: &CliError) -> JobItem {
    let kind = match error.status {
        ExitStatus::Usage => "usage error",
        ExitStatus::Setup => "setup error",
        _ => "error",
    };
    JobItem {
        name: kind.to_owned(),
        outcome: ItemOutcome::Failed,
        reason: error.to_string(),
        place: error.place.clone(),
        ..JobItem::default()
    }
}

/// Returns the error of the parser as one that ends a command, or `None` if the user asked for help.
pub(crate) fn of_parser(error: &clap::Error) -> Option<CliError> {
    let text = error.render().to_string();
    let line = error_line::find(&text).filter(|_| error.use_stderr())?;
    line.strip_prefix("error: ").map(CliError::usage)
}
