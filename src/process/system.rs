//! What differs between operating systems: the process table, and how to hold on to a process.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub(super) use linux::{
    Hold, SETSID, adopt_orphans, arguments, boot_id, close_inherited, entry, environ, is_childless,
    pid_namespace, pids,
};
#[cfg(target_os = "macos")]
pub(super) use macos::{
    Hold, SETSID, adopt_orphans, arguments, boot_id, close_inherited, entry, environ, is_childless,
    pid_namespace, pids,
};

/// One process that is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessEntry {
    /// The process id.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// Its process group.
    pub pgid: u32,
    /// When it started: on Linux in clock ticks since boot, on macOS in microseconds since 1970.
    pub start_ticks: u64,
    /// Over, but not yet waited for by its parent.
    pub is_zombie: bool,
}
