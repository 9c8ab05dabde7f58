//! `rigup install --timings`: a file that shows where the time went.

use std::convert::identity;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::cli::command::{CliError, Verbosity};
use crate::cli::output_file::OutputFile;
use crate::clock;
use crate::engine::command_timings;
use crate::model::ProcessId;
use crate::report::timings::{self, TimedCommand, Timings};
use crate::store::Store;

/// The default path of the file.
pub(crate) const DEFAULT: &str = "rigup-timings.html";

/// A file for the timings, and the start of the command.
#[derive(Debug)]
pub(crate) struct TimingsFile {
    file: OutputFile,
    is_json: bool,
    started: Timestamp,
}

impl TimingsFile {
    /// Records the start of the command. Fails now, and not after the work, if the file cannot be written.
    pub(crate) fn begin(path: PathBuf) -> Result<Self, CliError> {
        let started = clock::now();
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let is_json = match extension.to_str() {
            Some("html" | "htm") => false,
            Some("json") => true,
            _ => {
                let text = format!("--timings={}: name a file that ends in .html or .json", path.display());
                return Err(CliError::usage(text));
            }
        };
        Ok(Self { file: OutputFile::open(path, "the timings")?, is_json, started })
    }

    /// Writes the times of the hooks that a rigup process started. A process without a record started no hooks.
    pub(crate) fn write(
        &self,
        store: &Store,
        process_id: Option<ProcessId>,
        verbosity: Verbosity,
    ) -> Result<(), CliError> {
        let ended = clock::now();
        let hooks = process_id.map(|id| command_timings::hooks(store, id, ended, identity)).transpose();
        let hooks = hooks.map_err(|error| CliError::setup(format!("cannot read the timings: {error}")))?;
        let command = TimedCommand { command_line: command_line(), started: self.started, ended };
        let timings = Timings::new(command, hooks.unwrap_or_default());
        let text = if self.is_json { timings::record(&timings).to_string() } else { timings::page(&timings) };
        self.file.write((text + "\n").as_bytes())?;
        verbosity.note(&format!("timings written to {}", self.file.path().display()));
        Ok(())
    }
}

/// Returns the command line of this process.
fn command_line() -> String {
    command_timings::command_line(
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
    )
}
