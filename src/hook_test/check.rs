//! The checks of the hook contract, and the result of a check.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::model::ProcessId;
use crate::model::text_enum::text_enum;
use crate::plugin::hook_name::{self, HookName};
use crate::report::job_report::{ItemOutcome, JobItem, Place};

text_enum! {
    /// One check. The checks are reported in the order of the variants.
    pub(crate) enum Check {
        /// The grammar of the file name.
        Name = "name",
        /// Exec bit, shebang, interpreter.
        Starts = "starts",
        /// A good request.
        Answer = "answer",
        /// A name that does not exist.
        Absent = "absent",
        /// A request that does not allow the provider.
        NotAsked = "not-asked",
        /// Several requests at once.
        Batch = "batch",
        /// Unknown and repeated arguments.
        UnknownArguments = "unknown-arguments",
        /// Shell syntax in arguments.
        Hostile = "hostile",
        /// An argument of 100 KiB.
        Huge = "huge",
        /// The lines on stdout.
        Stdout = "stdout",
        /// The same request again.
        Repeat = "repeat",
        /// TERM in the middle of the work.
        Term = "term",
        /// Processes that outlive the hook.
        Leftovers = "leftovers",
        /// Folders on a read-only file system.
        ReadOnly = "read-only",
        /// Folders on a full file system.
        Full = "full",
    }
}

impl Check {
    /// Returns the promise of the contract that the check covers.
    pub(crate) const fn promise(self) -> &'static str {
        match self {
            Self::Name => "its file is named on_<Event>__<NN>_<name>.<ext>",
            Self::Starts => "it can be started by its shebang or by the interpreter of its language",
            Self::Answer => "a request that it can satisfy gets a valid record and exit code 0",
            Self::Absent => "it prints no record for a name that does not exist, and exits on its own",
            Self::NotAsked => {
                "if the request does not allow it, it declines or exits with 10, and installs nothing"
            }
            Self::Batch => "in a batch, each request gets the result that it gets alone",
            Self::UnknownArguments => {
                "unknown arguments change nothing, and the last of a repeated argument counts"
            }
            Self::Hostile => {
                "shell syntax in arguments is not run, not printed raw and not reported as installed"
            }
            Self::Huge => "an argument of 100 KiB changes nothing",
            Self::Stdout => "each line that looks like a record is one, and no line is over 1 MiB",
            Self::Repeat => "the same request gets the same result again",
            Self::Term => "after TERM it exits within 5 s, leaves no process and reports no success",
            Self::Leftovers => "no process that it started outlives it",
            Self::ReadOnly => "on a read-only file system it exits, and reports nothing that does not exist",
            Self::Full => "on a full file system it exits, and reports nothing that does not exist",
        }
    }

    /// Whether the check applies to hooks of any event, and not only to providers.
    pub(crate) const fn is_of_any_event(self) -> bool {
        !matches!(self, Self::Answer | Self::Absent | Self::NotAsked | Self::Batch | Self::Repeat)
    }

    /// Whether a hook that answers nothing passes the check without having shown anything.
    pub(crate) const fn needs_answer(self) -> bool {
        !matches!(self, Self::Name | Self::Starts | Self::Answer | Self::Term)
    }

    /// Whether the check applies to this hook.
    pub(crate) fn applies_to(self, hook: &HookName) -> bool {
        match self {
            Self::Batch => hook.is_batch,
            _ => self.is_of_any_event() || hook_name::is_of_provider(&hook.event),
        }
    }

    /// Parses the name of a check. The error lists all names.
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        let word = word.trim();
        let all = || Self::ALL.map(Self::as_str).join(", ");
        word.parse().map_err(|_| format!("unknown item {word}; the items are {}", all()))
    }
}

text_enum! {
    /// The outcome of a check.
    pub(crate) enum CheckOutcome {
        /// The hook meets the contract.
        Held = "held",
        /// The hook violates the contract.
        Broken = "broken",
        /// The check could not be made.
        Skipped = "skipped",
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// A log of the run, or the hook itself.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: u64,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckResult {
    /// The outcome.
    pub outcome: CheckOutcome,
    /// Why the promise is broken or the check was skipped; otherwise a note, or empty.
    pub reason: String,
    /// The line that explains the result.
    pub look_at: Option<Location>,
    /// The run that the result is about.
    pub process_id: Option<ProcessId>,
}

impl CheckResult {
    /// Returns a result of a hook that meets the contract.
    pub(crate) fn held() -> Self {
        Self::noted("")
    }

    /// Returns a result of a hook that meets the contract, with a note.
    pub(crate) fn noted(note: impl Into<String>) -> Self {
        Self { outcome: CheckOutcome::Held, reason: note.into(), look_at: None, process_id: None }
    }

    /// Returns a result of a hook that violates the contract.
    pub(crate) fn broken(reason: impl Into<String>, look_at: Option<Location>) -> Self {
        Self { outcome: CheckOutcome::Broken, reason: reason.into(), look_at, process_id: None }
    }

    /// Returns a result of a check that could not be made.
    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Self { outcome: CheckOutcome::Skipped, reason: reason.into(), look_at: None, process_id: None }
    }

    /// Adds the run that the result is about.
    #[must_use]
    pub(crate) fn of_run(self, process_id: ProcessId) -> Self {
        Self { process_id: Some(process_id), ..self }
    }

    /// Whether the hook violates the contract.
    pub(crate) fn is_broken(&self) -> bool {
        self.outcome == CheckOutcome::Broken
    }

    /// Returns the result as an item of a report.
    pub(crate) fn to_item(&self, check: Check, hook: &str) -> JobItem {
        let look_at = self.look_at.clone().map(|Location { path, line }| Place {
            file: path.to_string_lossy().into_owned(),
            line: Some(line),
        });
        JobItem {
            group: hook.to_owned(),
            name: check.to_string(),
            outcome: match self.outcome {
                CheckOutcome::Held => ItemOutcome::Done,
                CheckOutcome::Broken => ItemOutcome::Failed,
                CheckOutcome::Skipped => ItemOutcome::Skipped,
            },
            reason: self.reason.clone(),
            place: look_at,
            ..JobItem::default()
        }
    }

    /// Returns the result as a record.
    pub(crate) fn to_record(&self, check: Check, hook: &str) -> Value {
        let Self { outcome, reason, look_at, process_id } = self;
        json!({
            "type": "HookCheck",
            "hook": hook,
            "item": check,
            "outcome": outcome,
            "promise": check.promise(),
            "reason": reason,
            "look_at": look_at.as_ref().map(ToString::to_string),
            "process_id": process_id.map(|id| id.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_found_by_its_short_name() {
        for check in Check::ALL {
            assert_eq!(Check::parse(check.as_str()), Ok(check));
        }
        let error = Check::parse("nothing").unwrap_err();
        assert!(error.starts_with("unknown item nothing; the items are name, starts, answer"), "{error}");
    }
}
