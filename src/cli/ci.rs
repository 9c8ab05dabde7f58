//! `--ci`: shows what a command did in the form of the CI system that runs it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use clap::ValueEnum as _;

use crate::cli::choice;
use crate::cli::ci_log;
use crate::cli::cli_error::CliError;
use crate::cli::message::warning;
use crate::cli::output_queue::STDERR;
use crate::cli::typed;
use crate::clock;
use crate::exhaustion;
use crate::fs::dir;
use crate::report::ci::{CiSystem, CommandFile};
use crate::report::job_report::JobReport;
use crate::settings::{self, CI_VARIABLE, Environment};

/// The option for the CI system.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct CiArgs {
    /// Report to github, gitlab, azure or buildkite [env: RIGUP_CI]
    #[arg(long, value_name = "SYSTEM", hide_possible_values = true)]
    ci: Option<CiChoice>,
}

/// A CI system, or how to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CiChoice {
    Auto,
    Github,
    Gitlab,
    Azure,
    Buildkite,
    None,
}

impl CiArgs {
    /// Returns the option with the system that arguments name, even if others of them are invalid.
    pub(crate) fn in_arguments(arguments: &[OsString]) -> Self {
        let value = typed::value_of("--ci", arguments);
        let choice = value.and_then(|value| CiChoice::from_str(value.to_str()?, false).ok());
        Self { ci: choice }
    }

    /// Returns the CI system to report to, or `None` if there is none, and makes all further text inert for the system that
    /// reads it.
    pub(crate) fn begin(self, environment: &Environment) -> Result<Option<CiSystem>, CliError> {
        let chosen = match self.ci {
            None => choice::of(environment, CI_VARIABLE).map_err(CliError::usage)?,
            chosen => chosen,
        };
        let chosen = chosen.unwrap_or(CiChoice::Auto);
        let system = chosen.system(environment);
        ci_log::set_reader(system);
        // The output of a hook is not the log of a step.
        let is_hook = chosen == CiChoice::Auto && settings::parent_process(environment).is_some();
        Ok(system.filter(|_| !is_hook))
    }
}

impl CiChoice {
    fn system(self, environment: &Environment) -> Option<CiSystem> {
        match self {
            Self::Auto => CiSystem::detect(|name| environment.text(name)),
            Self::Github => Some(CiSystem::Github),
            Self::Gitlab => Some(CiSystem::Gitlab),
            Self::Azure => Some(CiSystem::Azure),
            Self::Buildkite => Some(CiSystem::Buildkite),
            Self::None => None,
        }
    }
}

/// Returns the CI system that the environment chooses or shows, or `None` if there is none.
pub(crate) fn system_of(environment: &Environment) -> Option<CiSystem> {
    let chosen: Option<CiChoice> = choice::of(environment, CI_VARIABLE).unwrap_or_default();
    chosen.unwrap_or(CiChoice::Auto).system(environment)
}

/// Returns why the variable that chooses the CI system cannot be used, or `None` if it can.
pub(crate) fn variable_error(environment: &Environment) -> Option<String> {
    choice::of::<CiChoice>(environment, CI_VARIABLE).err()
}

/// Prints a report for a CI system to standard error, and appends it to the files that the system reads. A file that cannot be
/// written is only a warning.
pub(crate) fn publish(report: &mut JobReport, system: CiSystem, environment: &Environment) {
    let workspace = environment.get(system.workspace_variable()).map(PathBuf::from);
    if let Some(workspace) = workspace.or_else(|| std::path::absolute(".").ok()) {
        report.map_files(|file| dir::relative_to(file, &workspace));
    }
    let token = token();
    let _ = STDERR.write(system.lines(report, &token, clock::now().as_second()).as_bytes());
    for file in system.command_files() {
        if let Err(error) = append(file, report, &token, environment) {
            warning!("cannot append to the file in {}: {error}", file.variable);
        }
    }
}

/// Prints a log, in which the system that gets the report, or the reader of the messages, finds no command.
pub(crate) fn print_log(log: String, system: Option<CiSystem>) {
    let lines = match system {
        Some(system) => system.inert_log(&log, &token()),
        None => ci_log::inert(log),
    };
    let _ = STDERR.write(lines.as_bytes());
}

/// Returns a word that no log and no value contains, because no one can guess it.
fn token() -> String {
    format!("rigup-{}", clock::new_id().simple())
}

/// An error because of which a report cannot be appended to a file.
#[derive(Debug, thiserror::Error)]
enum AppendError {
    #[error("the variable is not set; {}", next_step(.0))]
    NotSet(&'static str),
    #[error("{} does not exist; {}", .0.display(), next_step(.1))]
    Missing(PathBuf, &'static str),
    #[error("{} is not a file; {}", .0.display(), next_step(.1))]
    NoFile(PathBuf, &'static str),
    #[error("{}: {}", .0.display(), exhaustion::explain(.1))]
    Io(PathBuf, io::Error),
}

fn next_step(variable: &str) -> String {
    format!("set {variable} to a file that rigup can append to, or {CI_VARIABLE} to none")
}

fn append(
    file: &CommandFile,
    report: &JobReport,
    token: &str,
    environment: &Environment,
) -> Result<(), AppendError> {
    if (file.text)(report, token, 0).is_empty() {
        return Ok(());
    }
    let path = environment.get(file.variable).map(PathBuf::from);
    let path = path.ok_or(AppendError::NotSet(file.variable))?;
    let metadata = match path.metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Err(AppendError::NoFile(path, file.variable)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(AppendError::Missing(path, file.variable));
        }
        Err(error) => return Err(AppendError::Io(path, error)),
    };
    let append = || -> io::Result<()> {
        let mut opened = File::options().read(true).append(true).open(&path)?;
        // An earlier step, or a hook, may have left its last line without an end.
        let mut last = [b'\n'];
        if let Some(end) = metadata.len().checked_sub(1) {
            opened.read_exact_at(&mut last, end)?;
        }
        let start = if last == [b'\n'] { "" } else { "\n" };
        let text = (file.text)(report, token, metadata.len());
        opened.write_all(format!("{start}{text}").as_bytes())
    };
    append().map_err(|error| AppendError::Io(path.clone(), error))
}
