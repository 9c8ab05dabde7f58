//! `--junit`: writes what a command did as JUnit XML.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::cli::command::CliError;
use crate::cli::output_file::OutputFile;
use crate::clock;
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
    file: OutputFile,
    started: Timestamp,
}

impl JunitArgs {
    /// Checks that the file can be written, before the command does any work.
    pub(crate) fn begin(self) -> Result<Option<JunitFile>, CliError> {
        let begin = |path: PathBuf| {
            let file = OutputFile::open(path, "the results")?;
            Ok(JunitFile { file, started: clock::now() })
        };
        self.junit.map(begin).transpose()
    }
}

impl JunitFile {
    /// Writes the file.
    pub(crate) fn write(&self, report: &JobReport) -> Result<(), CliError> {
        self.file.write(junit::file(report, self.started).as_bytes())
    }
}
