//! Waiting for a child until it exits, an interrupt or deadline occurs, or its output exceeds a limit.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::time::{TimeVal, TimeValLike};

use crate::clock;
use crate::model::{ExitReason, ProcessExit, Usage};
use crate::process::log::Logs;
use crate::process::memory::MemoryWatch;
use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::process::spawn::Child;
use crate::process::subreaper;

/// The longest interval at which the size of the output is checked and `tick` is called.
const TICK: Duration = Duration::from_millis(100);
/// The shortest such interval, which is also the first one.
pub(super) const MIN_TICK: Duration = Duration::from_millis(5);

/// The interval at which orphans are reaped if the output has no limit.
const REAP: Duration = Duration::from_secs(5);

/// The unit of peak memory, in bytes: Linux counts KiB, macOS bytes.
const MAX_RSS_UNIT: u64 = if cfg!(target_os = "macos") { 1 } else { 1024 };

/// The event that ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitOutcome {
    /// The child exited by itself, and is not reaped yet.
    Exited,
    /// The deadline passed.
    Timeout,
    /// rigup was interrupted.
    Interrupted,
    /// The child exceeded the output limit of a stream.
    OutputLimit,
    /// The child and its descendants used this number of bytes of memory, which is more than their limit.
    MemoryLimit(u64),
}

/// Waits until the child has exited or another [`WaitOutcome`] occurs. Does not terminate the child. If the output has
/// a limit, calls `tick` ten times a second, or more often while the output grows fast; otherwise as often as `tick` says.
/// Reaps exited orphans meanwhile.
pub(crate) fn wait(
    child: &Child,
    deadline: Option<Instant>,
    logs: &Logs,
    output_limit: Option<u64>,
    mut memory: MemoryWatch,
    interrupt: &Interrupt,
    mut tick: impl FnMut() -> Option<Duration>,
) -> WaitOutcome {
    let mut last = (Instant::now(), 0);
    let mut pause = MIN_TICK;
    loop {
        let tick_at = Instant::now() + pause;
        let next = [deadline, memory.next()].into_iter().flatten().fold(tick_at, Instant::min);
        match poll::readable([child.handle.fd(), interrupt.fd()], next) {
            [true, _] => return WaitOutcome::Exited,
            [false, true] => return WaitOutcome::Interrupted,
            [false, false] => {}
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return WaitOutcome::Timeout;
        }
        if let Some(limit) = output_limit {
            let size = logs.largest();
            if size > limit {
                return WaitOutcome::OutputLimit;
            }
            pause = next_check(limit - size, size.saturating_sub(last.1), now - last.0, TICK);
            last = (now, size);
        }
        if let Some(used) = memory.excess(now) {
            return WaitOutcome::MemoryLimit(used);
        }
        subreaper::reap_orphans();
        let next_tick = tick();
        if output_limit.is_none() {
            pause = next_tick.unwrap_or(REAP);
        }
        if now.elapsed() > MIN_TICK {
            // It has more to do, which must not wait.
            pause = MIN_TICK;
        }
    }
}

/// Returns the time until the next check of an output that grew by `grown` bytes within `elapsed`: half the time in which
/// it fills the room that is left, at most `longest`.
pub(super) fn next_check(room: u64, grown: u64, elapsed: Duration, longest: Duration) -> Duration {
    let half = elapsed.as_nanos() * u128::from(room) / u128::from(grown.max(1)) / 2;
    Duration::from_nanos(u64::try_from(half).unwrap_or(u64::MAX)).clamp(MIN_TICK, longest)
}

/// Waits until the child has exited or `deadline` has passed, and returns whether it has exited.
pub(crate) fn has_exited_by(child: &Child, deadline: Instant) -> bool {
    poll::readable([child.handle.fd()], deadline) == [true]
}

/// Reaps a child, after waiting for its exit if necessary. Returns its exit without the logs. After this, another
/// process may have its pid.
pub(crate) fn reap(child: &Child) -> io::Result<ProcessExit> {
    let pid = libc::pid_t::try_from(child.handle.entry.pid).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: rusage is a plain C struct for which all zeroes is a value.
    #[expect(unsafe_code, reason = "nix has no wait4")]
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    subreaper::reap_child(child.handle.entry.pid, || {
        loop {
            // SAFETY: both pointers are to live values of the right type, and the pid is that of an unreaped child.
            #[expect(unsafe_code, reason = "nix has no wait4")]
            let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
            match Errno::result(waited) {
                Err(Errno::EINTR) => {}
                waited => return waited,
            }
        }
    })?;
    let status = ExitStatus::from_raw(status);
    let signal = status.signal();
    Ok(ProcessExit {
        exit_code: status.code().or_else(|| Some(128 + signal?)),
        signal,
        reason: if signal.is_some() { ExitReason::Signalled } else { ExitReason::Exited },
        usage: Some(Usage {
            max_rss: u64::try_from(usage.ru_maxrss).unwrap_or_default() * MAX_RSS_UNIT,
            user_ms: millis(usage.ru_utime),
            sys_ms: millis(usage.ru_stime),
        }),
        ..ProcessExit::lost(clock::now())
    })
}

fn millis(time: libc::timeval) -> u64 {
    u64::try_from(TimeVal::from(time).num_milliseconds()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_grows_fast_is_checked_more_often() {
        let after = |room, grown| next_check(room, grown, Duration::from_millis(100), TICK).as_millis();
        assert_eq!(after(64 << 20, 0), 100);
        assert_eq!(after(64 << 20, 1 << 20), 100);
        assert_eq!(after(64 << 20, 128 << 20), 25);
        assert_eq!(after(1, 1 << 30), 5);
        assert_eq!(after(u64::MAX, u64::MAX), 50);
    }
}
