//! What a process or a tree of processes uses.

use std::time::Duration;

/// What a process or a tree uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ResourceUsage {
    /// Resident memory in bytes.
    pub rss: u64,
    /// CPU time so far, with that of the children that have been reaped.
    pub cpu: Duration,
    /// Bytes read from disks so far, with those of the children that have been reaped.
    pub read_bytes: u64,
    /// Bytes written to disks so far, with those of the children that have been reaped.
    pub write_bytes: u64,
}

impl ResourceUsage {
    /// Adds what another process uses.
    pub(crate) fn add(&mut self, other: &Self) {
        self.rss = self.rss.saturating_add(other.rss);
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.read_bytes = self.read_bytes.saturating_add(other.read_bytes);
        self.write_bytes = self.write_bytes.saturating_add(other.write_bytes);
    }
}
