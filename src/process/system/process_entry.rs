//! The entry of a process in the process table.

/// A process in the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessEntry {
    /// The process id.
    pub pid: u32,
    /// The pid of its parent.
    pub ppid: u32,
    /// The id of its process group.
    pub pgid: u32,
    /// Its start time: on Linux in clock ticks since boot, on macOS in microseconds since 1970.
    pub start_ticks: u64,
    /// Whether it has exited, with all its threads, and its parent has not reaped it. On Linux, also whether its last
    /// thread is exiting, which closes its files before the process becomes a zombie.
    pub is_zombie: bool,
    /// Whether it is stopped, by a signal or a debugger.
    pub is_stopped: bool,
}
