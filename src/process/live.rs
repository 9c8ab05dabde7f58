//! What a living process uses right now.

use fs_err as fs;
use serde::Serialize;

/// Memory and CPU of one process, without what it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Resident memory in bytes.
    pub rss: u64,
    /// Virtual memory in bytes.
    pub vms: u64,
    /// CPU time so far, in user mode and in the kernel, milliseconds.
    pub cpu_ms: u64,
}

/// What the process with this pid uses; none where it is gone.
pub fn usage(pid: u32) -> Option<Usage> {
    const UTIME: usize = 11;
    const STIME: usize = 12;
    let sizes = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = sizes.split_ascii_whitespace().map(|it| it.parse::<u64>().ok());
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    let (vms, rss) = (pages.next()?? * page, pages.next()?? * page);
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = ticks(UTIME)? + ticks(STIME)?;
    Some(Usage { rss, vms, cpu_ms: ticks * 1000 / rustix::param::clock_ticks_per_second() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_a_process_that_is_gone_uses_nothing() {
        let mine = usage(std::process::id()).unwrap();
        assert!(mine.rss > 0 && mine.vms >= mine.rss);
        assert_eq!(usage(u32::MAX), None);
    }
}
