//! The memory of a process and its descendants, and its limit.

use std::time::{Duration, Instant};

use crate::model::ProcessId;
use crate::process::{system, tree, usage};

/// The age of a process at which its memory is measured for the first time, so that short hooks cost nothing.
const FIRST: Duration = Duration::from_millis(200);

/// The pause between two measurements: that of abx-dl.
const INTERVAL: Duration = Duration::from_secs(1);

/// A watch over the memory of a process tree.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    root: u32,
    process_id: ProcessId,
    limit: Option<u64>,
    next: Instant,
}

impl MemoryWatch {
    /// Returns a watch over the tree of the process with this pid and id, which has just started. The limit is in bytes;
    /// without one, the watch does nothing.
    pub(super) fn new(root: u32, process_id: ProcessId, limit: Option<u64>) -> Self {
        Self { root, process_id, limit, next: Instant::now() + FIRST }
    }

    /// Returns when the tree is measured next, or `None` without a limit.
    pub(super) fn next(&self) -> Option<Instant> {
        self.limit.map(|_| self.next)
    }

    /// Measures the tree if that is due. Returns its resident memory in bytes if that is more than the limit.
    pub(super) fn excess(&mut self, now: Instant) -> Option<u64> {
        let limit = self.limit.filter(|_| now >= self.next)?;
        self.next = now + INTERVAL;
        // A process that has left the tree is a child of this one.
        let mut pids = tree::orphans_of(self.process_id);
        pids.push(self.root);
        let mut known = 0;
        while let Some(&parent) = pids.get(known) {
            known += 1;
            let children = system::children(parent);
            pids.extend(children.into_iter().filter(|child| !pids.contains(child)).collect::<Vec<_>>());
        }
        Some(usage::total_rss(&pids)).filter(|used| *used > limit)
    }
}
