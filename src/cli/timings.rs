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

/// The file, unless one is named.
pub(crate) const DEFAULT: &str = "rigup-timings.html";

/// What stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Html,
    Json,
}

/// The file that was asked for, and since when there is something to tell.
#[derive(Debug)]
pub(crate) struct TimingsFile {
    path: PathBuf,
    format: Format,
    began: Timestamp,
}

/// Why there is no file. Whatever it is, the work itself was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimingsError {
    /// It cannot be written.
    #[error("cannot write the timings to {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    /// The records cannot be read.
    #[error("cannot read the timings: {0}")]
    Store(#[from] StoreError),
}

impl TimingsFile {
    /// Begins to take the time. A file that cannot be written is told of now, not after all the work.
    pub(crate) fn begin(path: PathBuf) -> Result<Self, CliError> {
        let began = clock::now();
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let format = match extension.to_str() {
            Some("html" | "htm") => Format::Html,
            Some("json") => Format::Json,
            _ => {
                let text = format!("--timings={}: name a file that ends in .html or .json", path.display());
                return Err(CliError::Usage(text));
            }
        };
        atomic::check_for_user(&path)
            .map_err(|error| CliError::setup(TimingsError::File { path: path.clone(), error }))?;
        Ok(Self { path, format, began })
    }

    /// Writes what is known of the hooks of this run; `me` is its record, none where no hook had to be run.
    pub(crate) fn write(
        &self,
        store: &Store,
        me: Option<ProcessId>,
        verbosity: Verbosity,
    ) -> Result<(), TimingsError> {
        let run = Run { command: command(), began: self.began, ended: clock::now() };
        let bars = me.map(|me| bars(store, me, run.ended)).transpose()?.unwrap_or_default();
        let timings = Timings::new(run, bars);
        let text = match self.format {
            Format::Html => timings.to_html(),
            Format::Json => format!("{}\n", timings.to_record()),
        };
        atomic::write_for_user(&self.path, text.as_bytes())
            .map_err(|error| TimingsError::File { path: self.path.clone(), error })?;
        verbosity.note(&format!("timings written to {}", self.path.display()));
        Ok(())
    }
}

/// The hooks that this run started, and what came of each. What hooks start in turn is a part of their time.
fn bars(store: &Store, me: ProcessId, now: Timestamp) -> Result<Vec<Bar>, StoreError> {
    let mut verdicts: HashMap<ProcessId, Vec<BarOutcome>> = HashMap::new();
    for judgement in store.attempts_of_children(me)? {
        let attempt = judgement.attempt;
        if let Some(process_id) = attempt.process_id {
            let (outcome, reason) = (attempt.outcome, attempt.reason);
            let verdict = BarOutcome { binary: judgement.binary, outcome, reason, at: judgement.at };
            verdicts.entry(process_id).or_default().push(verdict);
        }
    }
    let hooks = store.process_children(me)?.into_iter();
    let hooks = hooks.filter(|it| it.spec.process_type == ProcessType::Hook);
    Ok(hooks.map(|it| Bar::of(&it, verdicts.remove(&it.id).unwrap_or_default(), now)).collect())
}

/// What was typed, without the folders of rigup itself.
fn command() -> String {
    let mut words: Vec<String> = std::env::args_os().map(|it| it.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut() {
        *program = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    let words: Vec<String> = words.iter().map(|word| shell::quote_text(word)).collect();
    words.join(" ")
}
