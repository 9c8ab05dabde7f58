//! The differences between operating systems: the process table, and references to processes.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub(super) use linux::{
    PidFd as SystemHandle, SETSID, arguments, become_subreaper, boot_id, close_inherited, entry, environ,
    has_no_children, pid_namespace, pids,
};
#[cfg(target_os = "macos")]
pub(super) use macos::{
    ExitQueue as SystemHandle, SETSID, arguments, become_subreaper, boot_id, close_inherited, entry, environ,
    has_no_children, pid_namespace, pids,
};

/// A process in the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessEntry {
    /// The process id.
    pub pid: u32,
    /// The pid of its parent.
    pub ppid: u32,
    /// The id of its process group.
    pub pgid: u32,
    /// Its start time: on Linux in clock ticks since boot, on macOS in microseconds since 1970.
    pub start_ticks: u64,
    /// Whether it has exited and its parent has not reaped it.
    pub is_zombie: bool,
}
