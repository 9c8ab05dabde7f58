//! Who a process is, and whether it still is there.

use fs_err as fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::process::table::{self, Entry};
use crate::record::process::Identity;

/// The id of the running boot; empty where the system has none.
pub fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    })
}

/// The identity of the process that has this pid now.
pub fn of(pid: u32) -> Option<Identity> {
    table::entry(pid).map(|entry| from_entry(&entry))
}

/// The identity of a process in the table.
pub fn from_entry(entry: &Entry) -> Identity {
    Identity { pid: entry.pid, start_ticks: entry.start_ticks, boot_id: boot_id().to_owned() }
}

/// The process, if it is still the same one and not a zombie.
pub fn find(identity: &Identity) -> Option<Entry> {
    if identity.boot_id != boot_id() {
        return None;
    }
    table::entry(identity.pid).filter(|it| it.start_ticks == identity.start_ticks && !it.is_zombie)
}

/// The flag by which a signal through a pidfd goes to the group that its process leads: Linux 6.9.
const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// A process that is held on to: a signal through it reaches that process or nobody, whoever has its pid by now.
#[derive(Debug)]
pub struct Handle {
    /// The process.
    pub entry: Entry,
    pidfd: OwnedFd,
}

impl Handle {
    /// Holds on to the process that a record names, if it is still there and no zombie.
    pub fn open(identity: &Identity) -> Option<Self> {
        Self::of(&find(identity)?)
    }

    /// Holds on to a process of the table. It is looked at again once its pid cannot change hands any more.
    pub fn of(entry: &Entry) -> Option<Self> {
        let handle = Self { entry: *entry, pidfd: pidfd_open(pid(entry.pid)?, PidfdFlags::empty()).ok()? };
        handle.is_there().then_some(handle)
    }

    /// Holds on to a child that was not reaped yet, so that its pid is its own.
    pub(super) fn of_child(pid: u32) -> io::Result<Self> {
        let missing = || io::Error::other("/proc does not show the new process");
        let raw = self::pid(pid).ok_or_else(missing)?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty())?;
        Ok(Self { entry: table::entry(pid).ok_or_else(missing)?, pidfd })
    }

    /// Sends it a signal. False where it is gone.
    pub fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.pidfd, signal).is_ok()
    }

    /// Sends a signal to all of the group that it leads, though it may be over itself.
    pub fn signal_group(&self, signal: Signal) {
        if self.entry.pgid != self.entry.pid {
            return;
        }
        // SAFETY: the descriptor is open, and a null siginfo stands for that of kill.
        #[expect(unsafe_code, reason = "rustix sends no signals to groups through a pidfd")]
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal.as_raw(),
                std::ptr::null::<libc::siginfo_t>(),
                PIDFD_SIGNAL_PROCESS_GROUP,
            )
        };
        // Linux before 6.9 has no such flag. As long as the leader is there, if only as a zombie, its id is the group's.
        if sent != 0
            && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
            && self.is_there()
            && let Some(pid) = pid(self.entry.pid)
        {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// Readable once it is over.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    fn is_there(&self) -> bool {
        table::entry(self.entry.pid).is_some_and(|now| now.start_ticks == self.entry.start_ticks)
    }
}

fn pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
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
        let mut me = table::entry(std::process::id()).unwrap();
        me.start_ticks -= 1;
        assert!(Handle::of(&me).is_none());
    }
}
