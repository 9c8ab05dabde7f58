//! The limits on the records and logs of exited processes that are kept.

use std::time::Duration;

/// The retention limits; `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RetentionLimits {
    /// The number of processes that are kept, newest first.
    pub processes: Option<u64>,
    /// The time for which processes are kept after their exit.
    pub max_age: Option<Duration>,
    /// The number of bytes of their standard output and standard error that are kept, newest first.
    pub log_bytes: Option<u64>,
}

impl RetentionLimits {
    /// Returns whether there is no limit at all.
    pub(crate) fn is_unbounded(&self) -> bool {
        *self == Self::default()
    }
}
