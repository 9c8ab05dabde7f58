//! The result of a check.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::hook_test::check::Check;
use crate::model::ProcessId;
use crate::model::text_enum::text_enum;

text_enum! {
    /// Whether a hook passed a check.
    pub(crate) enum CheckOutcome {
        /// The hook meets the contract.
        Passed = "passed",
        /// The hook violates the contract.
        Failed = "failed",
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
    /// Why the check failed or was skipped; otherwise a note, or empty.
    pub reason: String,
    /// The line that explains the result.
    pub look_at: Option<Location>,
    /// The run that the result is about.
    pub process_id: Option<ProcessId>,
}

impl CheckResult {
    /// Returns a result of a hook that meets the contract.
    pub(crate) fn passed() -> Self {
        Self::noted("")
    }

    /// Returns a result of a hook that meets the contract, with a note.
    pub(crate) fn noted(note: impl Into<String>) -> Self {
        Self { outcome: CheckOutcome::Passed, reason: note.into(), look_at: None, process_id: None }
    }

    /// Returns a result of a hook that violates the contract.
    pub(crate) fn failed(reason: impl Into<String>, look_at: Option<Location>) -> Self {
        Self { outcome: CheckOutcome::Failed, reason: reason.into(), look_at, process_id: None }
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
    pub(crate) fn has_failed(&self) -> bool {
        self.outcome == CheckOutcome::Failed
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
