//! The limits of what is kept of processes that exited.

/// The limits; `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RetentionLimits {
    /// How many processes are kept, newest first.
    pub processes: Option<u64>,
    /// For how many days after their exit processes are kept.
    pub days: Option<u64>,
    /// How many bytes of their standard output and standard error are kept, newest first.
    pub log_bytes: Option<u64>,
}

impl RetentionLimits {
    /// Returns whether there is no limit at all.
    pub(crate) fn is_unbounded(&self) -> bool {
        *self == Self::default()
    }
}
