//! What came of an item.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::hook_test::item::Item;
use crate::model::id::ProcessId;

/// Whether a hook kept an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Held,
    /// It did not.
    Broken,
    /// It could not be found out.
    Skipped,
}

impl Outcome {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "broken",
            Self::Skipped => "skipped",
        }
    }
}

/// A line of a file that tells more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookAt {
    /// A log of the run, or the hook itself.
    pub path: PathBuf,
    /// From 1.
    pub line: u64,
}

impl fmt::Display for LookAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// A judgement of what was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The outcome.
    pub outcome: Outcome,
    /// Why it is broken or was skipped; a note where it holds, or nothing.
    pub reason: String,
    /// Where to look.
    pub look_at: Option<LookAt>,
    /// The run that shows it.
    pub process_id: Option<ProcessId>,
}

impl Judgement {
    /// It holds.
    pub fn held() -> Self {
        Self::noted(String::new())
    }

    /// It holds, and there is something to say.
    pub fn noted(note: String) -> Self {
        Self { outcome: Outcome::Held, reason: note, look_at: None, process_id: None }
    }

    /// It does not hold.
    pub fn broken(reason: impl Into<String>, look_at: Option<LookAt>) -> Self {
        Self { outcome: Outcome::Broken, reason: reason.into(), look_at, process_id: None }
    }

    /// It could not be found out.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skipped, reason: reason.into(), look_at: None, process_id: None }
    }

    /// It is about this run.
    #[must_use]
    pub fn of_run(self, process_id: ProcessId) -> Self {
        Self { process_id: Some(process_id), ..self }
    }

    /// Whether it does not hold.
    pub fn is_broken(&self) -> bool {
        self.outcome == Outcome::Broken
    }
}

/// What came of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The item.
    pub item: Item,
    /// What came of it.
    pub judgement: Judgement,
}

impl Finding {
    /// The finding as a record.
    pub fn to_record(&self, hook: &str) -> Value {
        let Judgement { outcome, reason, look_at, process_id } = &self.judgement;
        json!({
            "type": "HookCheck",
            "hook": hook,
            "item": self.item.id(),
            "outcome": outcome.as_str(),
            "promise": self.item.promise(),
            "reason": reason,
            "look_at": look_at.as_ref().map(ToString::to_string),
            "process_id": process_id.map(|it| it.to_string()),
        })
    }
}
