//! The identity of a process, and handles that refer to one process however often its pid is reused.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::process::{Pid, Signal};

use crate::model::Identity;
use crate::process::system::{self, ProcessEntry, SystemHandle};

/// Returns the living process with this identity; a zombie is not alive.
pub(crate) fn find(identity: &Identity) -> Option<ProcessEntry> {
    system::entry(identity.pid).filter(|entry| !entry.is_zombie && entry.identity() == *identity)
}

/// A reference to one process: a signal through it reaches this process or none, even if its pid is reused.
#[derive(Debug)]
pub(crate) struct Handle {
    /// The process.
    pub entry: ProcessEntry,
    system: SystemHandle,
}

impl Handle {
    /// Opens the living process with this identity.
    pub(crate) fn open(identity: &Identity) -> Option<Self> {
        Self::open_entry(&find(identity)?)
    }

    /// Opens a process of the process table. It is compared again once its pid cannot be reused.
    pub(crate) fn open_entry(entry: &ProcessEntry) -> Option<Self> {
        let system = SystemHandle::open(entry.pid).ok()?;
        entry.refreshed().map(|_| Self { entry: *entry, system })
    }

    /// Opens a child that was not reaped yet, so its pid cannot be reused.
    pub(super) fn open_child(pid: u32) -> io::Result<Self> {
        let system = SystemHandle::open(pid)?;
        let entry = system::entry(pid)
            .ok_or_else(|| io::Error::other("the new process is missing from the process table"))?;
        Ok(Self { entry, system })
    }

    /// Sends a signal, and returns whether the process still existed.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        self.system.signal(&self.entry, signal)
    }

    /// Sends a signal to the whole group that the process leads, even if the process itself has exited.
    pub(crate) fn signal_group(&self, signal: Signal) {
        if self.entry.pgid != self.entry.pid || self.system.signal_group(signal) {
            return;
        }
        // As long as the leader exists, even as a zombie, no other group has its id.
        let pid = i32::try_from(self.entry.pid).ok().and_then(Pid::from_raw);
        if let (Some(_), Some(pid)) = (self.entry.refreshed(), pid) {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// A descriptor that is readable once the process has exited.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.system.fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_only_by_its_whole_identity() {
        let this = system::entry(std::process::id()).unwrap().identity();
        assert!(find(&this).is_some());
        assert!(find(&Identity { start_ticks: this.start_ticks + 1, ..this.clone() }).is_none());
        assert!(find(&Identity { boot_id: "another".to_owned(), ..this }).is_none());
    }

    #[test]
    fn a_reused_pid_cannot_be_opened() {
        let mut this = system::entry(std::process::id()).unwrap();
        this.start_ticks -= 1;
        assert!(Handle::open_entry(&this).is_none());
    }
}
