//! `--junit`: writes what a command did as JUnit XML.

use std::ffi::OsString;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::cli::cli_error::CliError;
use crate::cli::output_file::OutputFile;
use crate::cli::typed;
use crate::clock;
use crate::report::job_report::{ItemOutcome, JobItem, JobReport};
use crate::report::junit;

/// The option for the file.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct JunitArgs {
    /// Write the results as JUnit XML to FILE
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// A file that is written at the end of a command.
#[derive(Debug)]
pub(crate) struct JunitFile {
    file: OutputFile,
    started: Timestamp,
}

impl JunitArgs {
    /// Checks that the file can be written, before the command does any work. Until the end of the command, a regular file says
    /// that there are no results, because a killed command writes none.
    pub(crate) fn begin(self) -> Result<Option<JunitFile>, CliError> {
        let Some(file) = self.junit.map(JunitFile::begin).transpose()? else { return Ok(None) };
        if file.is_replaced() {
            let unfinished = JobItem {
                name: "unfinished".to_owned(),
                outcome: ItemOutcome::Failed,
                reason: "the command has not ended yet, or was killed".to_owned(),
                ..JobItem::default()
            };
            let command = "rigup".to_owned();
            file.write(&JobReport { command, problems: vec![unfinished], ..JobReport::default() })?;
        }
        Ok(Some(file))
    }

    /// Returns the option with the file that arguments name, even if others of them are invalid.
    pub(crate) fn in_arguments(arguments: &[OsString]) -> Self {
        Self { junit: typed::value_of("--junit", arguments).map(PathBuf::from) }
    }

    /// Writes the report of an error that ended the command, so that the file is not that of an earlier one. Leaves out a
    /// device or a FIFO, whose reader may be gone, and a file that cannot be written, which may be the error.
    pub(crate) fn write_error(self, report: &JobReport) {
        let is_replaced = |path: &PathBuf| path.metadata().map_or(true, |found| found.is_file());
        if let Some(path) = self.junit.filter(is_replaced) {
            let _ = JunitFile::begin(path).and_then(|file| file.write(report));
        }
    }
}

impl JunitFile {
    fn begin(path: PathBuf) -> Result<Self, CliError> {
        let file = OutputFile::open(path, "the results")?;
        Ok(Self { file, started: clock::now() })
    }

    /// Whether it is a regular file, and not a device or a FIFO.
    pub(crate) fn is_replaced(&self) -> bool {
        self.file.is_replaced()
    }

    /// Writes the file.
    pub(crate) fn write(&self, report: &JobReport) -> Result<(), CliError> {
        self.file.write(junit::file(report, self.started).as_bytes())
    }
}
