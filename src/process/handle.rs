//! Who a process is, and whether it still is there.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use rustix::process::{Pid, Signal};

use crate::model::process::Identity;
use crate::process::system::{self, Hold, ProcessEntry};

/// The id of the running boot; empty where the system has none.
pub fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(system::boot_id)
}

/// The pid namespace of this process: pids and start times of two processes can be compared only where theirs is the same
/// one, in the same boot. None where it cannot be told.
pub fn pid_namespace() -> Option<u64> {
    static NAMESPACE: OnceLock<Option<u64>> = OnceLock::new();
    *NAMESPACE.get_or_init(system::pid_namespace)
}

/// The identity of the process that has this pid now.
pub fn of(pid: u32) -> Option<Identity> {
    system::entry(pid).map(|entry| from_entry(&entry))
}

/// The identity of a process in the table.
pub fn from_entry(entry: &ProcessEntry) -> Identity {
    Identity { pid: entry.pid, start_ticks: entry.start_ticks, boot_id: boot_id().to_owned() }
}

/// The process, if it is still the same one and not a zombie.
pub fn find(identity: &Identity) -> Option<ProcessEntry> {
    if identity.boot_id != boot_id() {
        return None;
    }
    system::entry(identity.pid).filter(|it| it.start_ticks == identity.start_ticks && !it.is_zombie)
}

/// A process that is held on to: a signal through it reaches that process or nobody, whoever has its pid by now.
#[derive(Debug)]
pub struct Handle {
    /// The process.
    pub entry: ProcessEntry,
    hold: Hold,
}

impl Handle {
    /// Holds on to the process that a record names, if it is still there and no zombie.
    pub fn open(identity: &Identity) -> Option<Self> {
        Self::of(&find(identity)?)
    }

    /// Holds on to a process of the table. It is looked at again once its pid cannot change hands any more.
    pub fn of(entry: &ProcessEntry) -> Option<Self> {
        let handle = Self { entry: *entry, hold: Hold::open(entry.pid).ok()? };
        handle.is_there().then_some(handle)
    }

    /// Holds on to a child that was not reaped yet, so that its pid is its own.
    pub(super) fn of_child(pid: u32) -> io::Result<Self> {
        let hold = Hold::open(pid)?;
        let entry = system::entry(pid);
        Ok(Self {
            entry: entry.ok_or_else(|| io::Error::other("the system does not show the new process"))?,
            hold,
        })
    }

    /// Sends it a signal. False where it is gone.
    pub fn signal(&self, signal: Signal) -> bool {
        self.hold.signal(&self.entry, signal)
    }

    /// Sends a signal to all of the group that it leads, though it may be over itself.
    pub fn signal_group(&self, signal: Signal) {
        if self.entry.pgid != self.entry.pid || self.hold.signal_group(signal) {
            return;
        }
        // As long as the leader is there, if only as a zombie, its id is the group's.
        if let (true, Some(pid)) =
            (self.is_there(), i32::try_from(self.entry.pid).ok().and_then(Pid::from_raw))
        {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// Readable once it is over.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.hold.fd()
    }

    fn is_there(&self) -> bool {
        system::entry(self.entry.pid).is_some_and(|now| now.start_ticks == self.entry.start_ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_only_by_its_whole_identity() {
        let me = of(std::process::id()).unwrap();
        assert!(find(&me).is_some());
        assert!(find(&Identity { start_ticks: me.start_ticks + 1, ..me.clone() }).is_none());
        assert!(find(&Identity { boot_id: "another".to_owned(), ..me }).is_none());
    }

    #[test]
    fn nobody_gets_hold_of_a_pid_that_was_taken_over() {
        let mut me = system::entry(std::process::id()).unwrap();
        me.start_ticks -= 1;
        assert!(Handle::of(&me).is_none());
    }
}
