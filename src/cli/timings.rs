//! `rigup install --timings`: a file that shows where the time went.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cli::context::Verbosity;
use crate::cli::error::CliError;
use crate::clock;
use crate::fs::atomic;
use crate::model::id::ProcessId;
use crate::model::process::ProcessType;
use crate::report::timings::{Bar, BarOutcome, Run, Timings};
use crate::shell;
use crate::store::{Store, StoreError};

/// The file that is written if none is named.
pub(crate) const DEFAULT: &str = "rigup-timings.html";

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimingsFormat {
    Html,
    Json,
}

/// The file to write, and the start of the time that it covers.
#[derive(Debug)]
pub(crate) struct TimingsFile {
    path: PathBuf,
    format: TimingsFormat,
    began: Timestamp,
}

/// Why the file cannot be written. The work itself is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimingsError {
    /// The file cannot be written.
    #[error("cannot write the timings to {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    /// The records cannot be read.
    #[error("cannot read the timings: {0}")]
    Store(#[from] StoreError),
}

impl TimingsFile {
    /// Starts the time. A file that cannot be written is an error now, before any work.
    pub(crate) fn begin(path: PathBuf) -> Result<Self, CliError> {
        let began = clock::now();
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let format = match extension.to_str() {
            Some("html" | "htm") => TimingsFormat::Html,
            Some("json") => TimingsFormat::Json,
            _ => {
                let text = format!("--timings={}: name a file that ends in .html or .json", path.display());
                return Err(CliError::Usage(text));
            }
        };
        atomic::check_for_user(&path)
            .map_err(|error| CliError::setup(TimingsError::File { path: path.clone(), error }))?;
        Ok(Self { path, format, began })
    }

    /// Writes the timings of the hooks that `command` ran; there are none if it is `None`.
    pub(crate) fn write(
        &self,
        store: &Store,
        command: Option<ProcessId>,
        verbosity: Verbosity,
    ) -> Result<(), TimingsError> {
        let run = Run { command: command_line(), began: self.began, ended: clock::now() };
        let bars = command.map(|command| bars(store, command, run.ended)).transpose()?.unwrap_or_default();
        let timings = Timings::new(run, bars);
        let text = match self.format {
            TimingsFormat::Html => timings.to_html(),
            TimingsFormat::Json => format!("{}\n", timings.to_record()),
        };
        atomic::write_for_user(&self.path, text.as_bytes())
            .map_err(|error| TimingsError::File { path: self.path.clone(), error })?;
        verbosity.note(&format!("timings written to {}", self.path.display()));
        Ok(())
    }
}

/// Returns one bar for each hook that a command ran. What a hook runs in turn is part of its time.
fn bars(store: &Store, command: ProcessId, now: Timestamp) -> Result<Vec<Bar>, StoreError> {
    let mut outcomes: HashMap<ProcessId, Vec<BarOutcome>> = HashMap::new();
    for judged in store.attempts_of_children(command)? {
        let attempt = judged.attempt;
        if let Some(process_id) = attempt.process_id {
            let (outcome, reason) = (attempt.outcome, attempt.reason);
            let outcome = BarOutcome { binary: judged.binary, outcome, reason, at: judged.at };
            outcomes.entry(process_id).or_default().push(outcome);
        }
    }
    let children = store.process_children(command)?.into_iter();
    let hooks = children.filter(|process| process.spec.process_type == ProcessType::Hook);
    Ok(hooks.map(|hook| Bar::of(&hook, outcomes.remove(&hook.id).unwrap_or_default(), now)).collect())
}

/// Returns the command line of this process, with the name of the program instead of its path.
fn command_line() -> String {
    let mut words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut() {
        *program = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    let words: Vec<String> = words.iter().map(|word| shell::quote_text(word)).collect();
    words.join(" ")
}
