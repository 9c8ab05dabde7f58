//! `rigup install --timings`: a file that shows where the time went.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cli::command::{CliError, Verbosity};
use crate::clock;
use crate::fs::atomic;
use crate::model::{ProcessId, ProcessType};
use crate::report::timings::{self, AttemptTiming, HookTiming, TimedCommand, Timings};
use crate::shell;
use crate::store::{Store, StoreError};

/// The default path of the file.
pub(crate) const DEFAULT: &str = "rigup-timings.html";

/// A file for the timings, and the start of the command.
#[derive(Debug)]
pub(crate) struct TimingsFile {
    path: PathBuf,
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
        atomic::check_for_user(&path).map_err(|error| write_error(&path, &error))?;
        Ok(Self { path, is_json, started })
    }

    /// Writes the times of the hooks that a rigup process started. A process without a record started no hooks.
    pub(crate) fn write(
        &self,
        store: &Store,
        process_id: Option<ProcessId>,
        verbosity: Verbosity,
    ) -> Result<(), CliError> {
        let ended = clock::now();
        let hooks = process_id.map(|id| hooks(store, id, ended)).transpose();
        let hooks = hooks.map_err(|error| CliError::setup(format!("cannot read the timings: {error}")))?;
        let command = TimedCommand { command_line: command_line(), started: self.started, ended };
        let timings = Timings::new(command, hooks.unwrap_or_default());
        let text =
            if self.is_json { format!("{}\n", timings::record(&timings)) } else { timings::page(&timings) };
        atomic::write_for_user(&self.path, text.as_bytes())
            .map_err(|error| write_error(&self.path, &error))?;
        verbosity.note(&format!("timings written to {}", self.path.display()));
        Ok(())
    }
}

fn write_error(path: &Path, error: &io::Error) -> CliError {
    CliError::setup(format!("cannot write the timings to {}: {error}", path.display()))
}

/// Returns the hooks that a process started, with their attempts. The time of a hook includes that of the hooks that it
/// started.
fn hooks(store: &Store, parent_id: ProcessId, now: Timestamp) -> Result<Vec<HookTiming>, StoreError> {
    let mut attempts: HashMap<ProcessId, Vec<AttemptTiming>> = HashMap::new();
    for stored in store.attempts_of_children(parent_id)? {
        let attempt = stored.attempt;
        if let Some(process_id) = attempt.process_id {
            let (outcome, reason) = (attempt.outcome, attempt.reason);
            let timing = AttemptTiming { binary: stored.binary, outcome, reason, at: stored.at };
            attempts.entry(process_id).or_default().push(timing);
        }
    }
    let mut hooks = store.process_children(parent_id)?;
    hooks.retain(|process| process.spec.process_type == ProcessType::Hook);
    Ok(hooks
        .iter()
        .map(|hook| HookTiming::of(hook, attempts.remove(&hook.id).unwrap_or_default(), now))
        .collect())
}

/// Returns the command line, with the program's name instead of its path.
fn command_line() -> String {
    let mut words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut() {
        *program = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    shell::quote_command(&words)
}
