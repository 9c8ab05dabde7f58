//! An attempt to resolve one request with one provider, and its outcome.

use serde::Serialize;

use crate::model::id::ProcessId;
use crate::model::plugin_name::ProviderName;
use crate::model::text_enum::text_enum;

text_enum! {
    /// The outcome of an attempt.
    pub enum Outcome {
        /// The hook exited with 0, and its Binary record was verified.
        Installed = "installed",
        /// The hook exited with 0 and printed no Binary record.
        Declined = "declined",
        /// The hook exited with 10, or the provider does not exist.
        Skipped = "skipped",
        /// The hook exited with another code, was killed by a signal or could not be started.
        Failed = "failed",
        /// The hook exited with 0, but its Binary record could not be verified; or the provider does not enforce the
        /// policy of the request.
        Rejected = "rejected",
        /// The hook reached its timeout and was terminated.
        Timeout = "timeout",
    }
}

impl Outcome {
    /// Returns what the provider did, or what happened to it, as the verb of a sentence.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Timeout => "timed out",
            _ => self.as_str(),
        }
    }
}

/// The start of the reason of a rejection because of which an upgrade keeps the installed version.
pub(crate) const HELD_BACK: &str = "held back: ";

/// An attempt of a provider for a request, with its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// The provider's name.
    pub provider: ProviderName,
    /// The outcome.
    pub outcome: Outcome,
    /// The cause, in one line that a person can act on; empty for [`Outcome::Installed`].
    pub reason: String,
    /// The process of the hook, or `None` if no hook was started.
    pub process_id: Option<ProcessId>,
}

impl Attempt {
    /// Returns why an upgrade keeps the installed version although the provider works, or `None` if it does not.
    pub(crate) fn held_back(&self) -> Option<&str> {
        self.reason.strip_prefix(HELD_BACK).filter(|_| self.outcome == Outcome::Rejected)
    }
}
