//! Linux: `/proc`, pidfds, and a subreaper.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use fs_err as fs;
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::ProcessEntry;

/// The flag that makes `posix_spawn` start a session.
pub(in crate::process) const SETSID: libc::c_short = libc::POSIX_SPAWN_SETSID;

/// The flag by which a signal through a pidfd goes to the group that its process leads: Linux 6.9.
const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// The id of the running boot; empty where the system tells none.
pub(in crate::process) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The pid namespace that this process is in; none where the system tells none, or shows the pids of another one.
pub(in crate::process) fn pid_namespace() -> Option<u64> {
    let shown = fs::read_link("/proc/self").ok()?;
    let is_own = shown.to_str() == Some(std::process::id().to_string().as_str());
    is_own.then(|| fs::metadata("/proc/self/ns/pid").ok().map(|it| it.ino())).flatten()
}

/// The ids of all processes this user may see.
pub(in crate::process) fn pids() -> Vec<u32> {
    let Ok(proc) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    proc.filter_map(|dir| dir.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The process with this id, if there is one.
pub(in crate::process) fn entry(pid: u32) -> Option<ProcessEntry> {
    let mut stat = [0; 1024];
    // The kernel writes it whole into one read that has room for it.
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut stat).ok()?;
    parse_stat(pid, &String::from_utf8_lossy(&stat[..length]))
}

/// Reads `/proc/<pid>/stat`. The name in parentheses may hold anything, parentheses and blanks included.
fn parse_stat(pid: u32, stat: &str) -> Option<ProcessEntry> {
    const STATE: usize = 0;
    const PPID: usize = 1;
    const PGRP: usize = 2;
    const STARTTIME: usize = 19;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(ProcessEntry {
        pid,
        ppid: fields.get(PPID)?.parse().ok()?,
        pgid: fields.get(PGRP)?.parse().ok()?,
        start_ticks: fields.get(STARTTIME)?.parse().ok()?,
        is_zombie: matches!(*fields.get(STATE)?, "Z" | "X"),
    })
}

/// The environment a process was started with, a NUL behind each variable; none where it may not be read.
pub(in crate::process) fn environ(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).ok()
}

/// The arguments of a process, a NUL behind each.
pub(in crate::process) fn arguments(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Makes this process the parent of every orphan below it.
pub(in crate::process) fn adopt_orphans() {
    // A kernel that refuses leaves the orphans to be found by their marks.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Whether this process has no child, apart from those that are over and not among `known`: they are reaped. Two system
/// calls, where a look at the process table takes hundreds.
pub(in crate::process) fn is_childless(known: &[u32]) -> bool {
    let options = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        let over = match waitid(Id::All, options) {
            Err(Errno::ECHILD) => return true,
            Ok(status) => status.pid(),
            Err(_) => return false,
        };
        match over {
            Some(orphan) if !known.iter().any(|it| i32::try_from(*it) == Ok(orphan.as_raw())) => {
                let _ = waitpid(orphan, Some(WaitPidFlag::WNOHANG));
            }
            _ => return false,
        }
    }
}

/// Closes all descriptors but the standard streams.
pub(in crate::process) fn close_inherited() {
    // SAFETY: the caller has opened nothing yet, so nobody in this process uses a descriptor above 2.
    #[expect(unsafe_code, reason = "neither nix nor rustix closes a range")]
    unsafe {
        // Linux before 5.9 has no such call.
        if libc::close_range(3, libc::c_uint::MAX, 0) != 0 {
            for descriptor in 3..libc::getdtablesize() {
                libc::close(descriptor);
            }
        }
    }
}

/// A pidfd.
#[derive(Debug)]
pub(in crate::process) struct Hold(OwnedFd);

impl Hold {
    /// Holds on to the process that has this pid now.
    pub(in crate::process) fn open(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Readable once it is over.
    pub(in crate::process) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sends it a signal, whoever has its pid by now. False where it is gone.
    pub(in crate::process) fn signal(&self, _: &ProcessEntry, signal: Signal) -> bool {
        pidfd_send_signal(&self.0, signal).is_ok()
    }

    /// Sends a signal to the group that it leads, though it may be over itself. False where the system cannot.
    pub(in crate::process) fn signal_group(&self, signal: Signal) -> bool {
        // SAFETY: the descriptor is open, and a null siginfo stands for that of kill.
        #[expect(unsafe_code, reason = "rustix sends no signals to groups through a pidfd")]
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal.as_raw(),
                std::ptr::null::<libc::siginfo_t>(),
                PIDFD_SIGNAL_PROCESS_GROUP,
            )
        };
        sent == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_and_blanks_is_read_past() {
        let stat = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 1";
        let expected = ProcessEntry { pid: 42, ppid: 7, pgid: 42, start_ticks: 9876, is_zombie: false };
        assert_eq!(parse_stat(42, stat), Some(expected));
        assert_eq!(parse_stat(42, "42 (cut"), None);
    }
}
