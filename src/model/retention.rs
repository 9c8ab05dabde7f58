//! How much is kept of what is over.

/// The bounds. Where one is none, nothing goes because of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionLimits {
    /// So many processes, the newest.
    pub processes: Option<u64>,
    /// Processes that ended in the last so many days.
    pub days: Option<u64>,
    /// So many bytes of their standard output and error, the newest.
    pub log_bytes: Option<u64>,
}

impl RetentionLimits {
    /// Whether there is no bound at all.
    pub fn is_unbounded(&self) -> bool {
        *self == Self::default()
    }
}
