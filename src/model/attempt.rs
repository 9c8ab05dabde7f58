//! One provider tried for one request.

use crate::model::id::ProcessId;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The hook exited 0 and its Binary record was verified.
    Installed,
    /// The hook exited 0 without a Binary record of the requested name.
    Declined,
    /// The hook exited 10, or there is no such provider.
    Skipped,
    /// Any other exit, a signal, or a hook that could not be started.
    Failed,
    /// The hook exited 0 with a record that is not true.
    Rejected,
    /// The hook ran out of time and was ended.
    Timeout,
}

impl Outcome {
    /// All outcomes, for parsing and for help texts.
    pub const ALL: [Self; 6] =
        [Self::Installed, Self::Declined, Self::Skipped, Self::Failed, Self::Rejected, Self::Timeout];

    /// The word in records and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Declined => "declined",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
            .ok_or_else(|| UnknownWord(word.to_owned()))
    }
}

/// A word in the store that no state or outcome has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a word this version of rigup knows")]
pub struct UnknownWord(pub String);

/// What happened when one provider was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// The provider's name.
    pub provider: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in one line that a person can act on. Empty for [`Outcome::Installed`].
    pub reason: String,
    /// The process of the hook; none where no hook was started.
    pub process_id: Option<ProcessId>,
}
