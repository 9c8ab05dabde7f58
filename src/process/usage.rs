//! The resources that a running process uses.

use serde::Serialize;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// The memory and CPU time of one process, without its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct LiveUsage {
    /// Resident memory in bytes.
    pub rss: u64,
    /// Virtual memory in bytes.
    pub vms: u64,
    /// CPU time so far, in user mode and in the kernel, in milliseconds.
    pub cpu_ms: u64,
}

/// Returns the usage of the process with this pid, or `None` if it is gone.
pub(crate) fn usage(pid: u32) -> Option<LiveUsage> {
    query(pid, ProcessRefreshKind::nothing().with_memory().with_cpu(), |process| LiveUsage {
        rss: process.memory(),
        vms: process.virtual_memory(),
        cpu_ms: process.accumulated_cpu_time(),
    })
}

/// Returns the resident memory of these processes in bytes.
pub(super) fn total_rss(pids: &[u32]) -> u64 {
    let Ok(mut system) = System::new() else { return 0 };
    let pids: Vec<Pid> = pids.iter().copied().map(Pid::from_u32).collect();
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), false, kind);
    pids.iter().filter_map(|pid| system.process(*pid)).map(sysinfo::Process::memory).sum()
}

/// Reads one kind of information about the process with this pid. Returns `None` if the process is gone.
pub(super) fn query<T>(
    pid: u32,
    kind: ProcessRefreshKind,
    read: impl FnOnce(&sysinfo::Process) -> T,
) -> Option<T> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
    system.process(pid).map(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_a_missing_process_none() {
        let mine = usage(std::process::id()).unwrap();
        assert!(mine.rss > 0 && mine.vms >= mine.rss);
        assert_eq!(usage(u32::MAX), None);
    }
}
