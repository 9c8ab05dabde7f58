//! The identity of a process, and handles that refer to the same process even if its pid is reused.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::model::{Identity, Process, ProcessState};
use crate::process::system::{self, ProcessEntry, SystemHandle};

/// Returns the process with this identity, or `None` if it has exited. A zombie has exited.
pub(crate) fn find(identity: &Identity) -> io::Result<Option<ProcessEntry>> {
    let entry = system::entry(identity.pid)?;
    Ok(entry.filter(|entry| !entry.is_zombie && entry.identity() == *identity))
}

/// Returns the process of a record, or `None` if it is not recorded as running, or has exited.
pub(crate) fn find_running(process: &Process) -> io::Result<Option<ProcessEntry>> {
    match &process.state {
        ProcessState::Running(running) => find(&running.identity),
        ProcessState::Queued | ProcessState::Exited(..) => Ok(None),
    }
}

/// A reference to one process. A signal that is sent through it never reaches another process, even if the pid is
/// reused.
#[derive(Debug)]
pub(crate) struct Handle {
    /// The process.
    pub entry: ProcessEntry,
    system: SystemHandle,
}

impl Handle {
    /// Opens the process of a record, or returns `None` if it is not recorded as running, or has exited.
    pub(crate) fn open_running(process: &Process) -> io::Result<Option<Self>> {
        find_running(process)?.map_or(Ok(None), |entry| Self::open_entry(&entry))
    }

    /// Opens a process of the process table, or returns `None` if it has exited. The entry is checked again after the
    /// process is opened, because its pid may have been reused before.
    pub(crate) fn open_entry(entry: &ProcessEntry) -> io::Result<Option<Self>> {
        let system = match SystemHandle::open(entry.pid) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            opened => opened?,
        };
        Ok(entry.refreshed()?.map(|_| Self { entry: *entry, system }))
    }

    /// Opens a child that has not been reaped, so its pid cannot have been reused.
    pub(super) fn open_child(pid: u32) -> io::Result<Self> {
        let system = SystemHandle::open(pid)?;
        let entry = system::entry(pid)?
            .ok_or_else(|| io::Error::other("the new process is missing from the process table"))?;
        Ok(Self { entry, system })
    }

    /// Sends a signal, and returns whether the process still existed.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        self.system.signal(&self.entry, signal)
    }

    /// Returns whether the group that the process led has members.
    pub(crate) fn has_group(&self) -> bool {
        let group = i32::try_from(self.entry.pid).ok().and_then(Pid::from_raw);
        group.is_some_and(|group| rustix::process::test_kill_process_group(group) != Err(Errno::SRCH))
    }

    /// Sends a signal to the whole group that the process leads, even if the process itself has exited.
    pub(crate) fn signal_group(&self, signal: Signal) {
        if self.entry.pgid != self.entry.pid || self.system.signal_group(signal) {
            return;
        }
        // As long as the leader exists, even as a zombie, no other group has its id.
        let pid = i32::try_from(self.entry.pid).ok().and_then(Pid::from_raw);
        if let (Ok(Some(_)), Some(pid)) = (self.entry.refreshed(), pid) {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// Returns a descriptor that becomes readable when the process exits.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.system.fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_only_by_its_whole_identity() {
        let this = system::entry(std::process::id()).unwrap().unwrap().identity();
        let is_found = |identity: &Identity| find(identity).unwrap().is_some();
        assert!(is_found(&this));
        assert!(!is_found(&Identity { start_ticks: this.start_ticks + 1, ..this.clone() }));
        assert!(!is_found(&Identity { boot_id: "another".to_owned(), ..this }));
    }

    #[test]
    fn a_reused_pid_cannot_be_opened() {
        let mut this = system::entry(std::process::id()).unwrap().unwrap();
        this.start_ticks -= 1;
        assert!(Handle::open_entry(&this).unwrap().is_none());
    }
}
