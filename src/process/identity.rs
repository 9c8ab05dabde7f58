//! Who a process is, and whether it still is there.

use fs_err as fs;
use std::os::fd::OwnedFd;
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

/// Sends a signal to exactly this process: through a pidfd that was opened before the process was looked at again,
/// so that a pid taken over by a stranger is never signalled. False where it is gone.
pub fn signal(entry: &Entry, signal: Signal) -> bool {
    let Some(pidfd) = pidfd(entry.pid) else {
        return false;
    };
    let is_same = table::entry(entry.pid).is_some_and(|now| now.start_ticks == entry.start_ticks);
    is_same && pidfd_send_signal(&pidfd, signal).is_ok()
}

fn pidfd(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
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
    fn a_pid_that_was_taken_over_is_not_signalled() {
        let mut me = table::entry(std::process::id()).unwrap();
        me.start_ticks -= 1;
        assert!(!signal(&me, Signal::KILL));
    }
}
