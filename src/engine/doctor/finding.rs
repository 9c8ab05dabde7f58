//! Something that `rigup doctor` found.

use serde_json::{Value, json};

use crate::model::text_enum::text_enum;

text_enum! {
    /// How serious a finding is.
    pub(crate) enum Level {
        /// Something does not work.
        Fault = "fault",
        /// Something may not work as the user expects.
        Warning = "warning",
        /// Something that works only after the fix, which may not be needed.
        Note = "note",
    }
}

/// Something that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was checked.
    pub(crate) check: &'static str,
    /// How serious it is.
    pub(crate) level: Level,
    /// The problem.
    pub(crate) message: String,
    /// What to do.
    pub(crate) fix: String,
}

impl Finding {
    /// Returns a finding.
    pub(super) fn new(
        check: &'static str,
        level: Level,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { check, level, message: message.into(), fix: fix.into() }
    }

    /// Returns the finding of a message that ends with the next step, as those of errors do. Without one, the fix is
    /// `otherwise`.
    pub(super) fn from_text(check: &'static str, level: Level, text: &str, otherwise: &str) -> Self {
        let (message, fix) = text.rsplit_once("; ").unwrap_or((text, otherwise));
        Self::new(check, level, message, fix)
    }

    /// Returns the record.
    pub(crate) fn to_record(&self) -> Value {
        let Self { check, level, message, fix } = self;
        json!({"type": "Finding", "check": check, "level": level, "message": message, "fix": fix})
    }
}
