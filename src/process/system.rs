//! The differences between operating systems: the process table, and references to processes.

use std::io;
use std::sync::LazyLock;

use crate::model::Identity;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
mod process_entry;
mod resource_usage;

#[cfg(target_os = "linux")]
pub(crate) use linux::{PidFd as SystemHandle, *};
#[cfg(target_os = "macos")]
pub(crate) use macos::{ExitQueue as SystemHandle, *};
pub(crate) use process_entry::ProcessEntry;
pub(crate) use resource_usage::ResourceUsage;

/// The id of the current boot; empty if the system has none.
pub(crate) static BOOT_ID: LazyLock<String> = LazyLock::new(boot_id);

/// The pid namespace of this process, or `None` if it is unknown. The pids and start times of two processes can be
/// compared only within one namespace and one boot.
pub(crate) static PID_NAMESPACE: LazyLock<Option<u64>> = LazyLock::new(pid_namespace);

/// Returns this process, or `None` if the process table does not show it, such as with the `/proc` of another pid namespace.
pub(crate) fn own_entry() -> io::Result<Option<ProcessEntry>> {
    if shows_own_pids() { entry(std::process::id()) } else { Ok(None) }
}

/// Returns whether this is the first process of a container: its end is that of all other processes there, so none of them
/// is older, and their orphans are its children.
pub(crate) fn is_first_process() -> bool {
    std::process::id() == 1
}

impl ProcessEntry {
    /// Returns the identity of the process.
    pub(crate) fn identity(&self) -> Identity {
        Identity { pid: self.pid, start_ticks: self.start_ticks, boot_id: BOOT_ID.clone() }
    }

    /// Returns the process as it is now, or `None` if it is gone.
    pub(crate) fn refreshed(&self) -> io::Result<Option<Self>> {
        Ok(entry(self.pid)?.filter(|now| now.start_ticks == self.start_ticks))
    }
}

/// Closes all descriptors except the standard streams, so that a process that outlives its caller does not keep the
/// caller's pipes open. Must be called before anything else is opened.
pub(crate) fn close_inherited() {
    // SAFETY: getdtablesize only reads; the caller has opened nothing yet, so this process uses no descriptor above 2.
    #[expect(unsafe_code, reason = "neither nix nor rustix closes descriptors without an owner")]
    unsafe {
        // Linux before 5.9 does not have this call, and musl has no function for it.
        #[cfg(target_os = "linux")]
        if libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) == 0 {
            return;
        }
        for descriptor in 3..libc::getdtablesize() {
            libc::close(descriptor);
        }
    }
}
