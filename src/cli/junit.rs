//! `--junit`: writes what a command did as JUnit XML.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cli::command::CliError;
use crate::clock;
use crate::fs::atomic;
use crate::report::job_report::JobReport;
use crate::report::junit;

/// The option for the file.
#[derive(Debug, clap::Args)]
pub(crate) struct JunitArgs {
    /// Write the results as JUnit XML to FILE
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// A file that is written at the end of a command.
#[derive(Debug)]
pub(crate) struct JunitFile {
    path: PathBuf,
    started: Timestamp,
}

impl JunitArgs {
    /// Checks that the file can be written, before the command does any work.
    pub(crate) fn begin(self) -> Result<Option<JunitFile>, CliError> {
        let begin = |path: PathBuf| {
            atomic::check_for_user(&path).map_err(|error| write_error(&path, &error))?;
            Ok(JunitFile { path, started: clock::now() })
        };
        self.junit.map(begin).transpose()
    }
}

impl JunitFile {
    /// Writes the file.
    pub(crate) fn write(&self, report: &JobReport) -> Result<(), CliError> {
        let text = junit::file(report, self.started);
        atomic::write_for_user(&self.path, text.as_bytes()).map_err(|error| write_error(&self.path, &error))
    }
}

fn write_error(path: &Path, error: &io::Error) -> CliError {
    CliError::setup(format!("cannot write the results to {}: {error}", path.display()))
}
