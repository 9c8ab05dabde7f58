//! Waiting for a child, with everything that may come before its end.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use crate::model::process::Usage;
use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::process::spawn::Child;
use crate::process::subreaper;

/// How often the size of the output is looked at and progress is shown.
const TICK: Duration = Duration::from_millis(100);

/// How often orphans are reaped where there is nothing else to look at.
const REAP: Duration = Duration::from_secs(5);

/// What ended the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The process is over by itself; it waits to be reaped.
    Ended,
    /// The time is up.
    Timeout,
    /// Somebody asked rigup to stop.
    Interrupted,
    /// It wrote more to a stream than it may.
    TooMuchOutput,
}

/// Waits until the child is over or something else ends the wait; the child is not ended here. Where the
/// output is limited, `tick` is called ten times a second. Orphans that are over are reaped meanwhile.
pub fn wait(
    child: &Child,
    deadline: Option<Instant>,
    output: &[File],
    output_cap: Option<u64>,
    interrupt: &Interrupt,
    mut tick: impl FnMut(),
) -> Cause {
    loop {
        let tick_at = Instant::now() + if output_cap.is_some() { TICK } else { REAP };
        let next = deadline.map_or(tick_at, |deadline| deadline.min(tick_at));
        match poll::readable([child.fd(), interrupt.fd()], next) {
            [true, _] => return Cause::Ended,
            [false, true] => return Cause::Interrupted,
            [false, false] => {}
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Cause::Timeout;
        }
        let is_over_cap =
            |file: &File| file.metadata().is_ok_and(|it| output_cap.is_some_and(|cap| it.len() > cap));
        if output.iter().any(is_over_cap) {
            return Cause::TooMuchOutput;
        }
        subreaper::reap();
        tick();
    }
}

/// Waits until the child is over or `deadline` has come; true where it is over.
pub fn is_over_by(child: &Child, deadline: Instant) -> bool {
    let [is_over] = poll::readable([child.fd()], deadline);
    is_over
}

/// Waits until the interrupt comes or `deadline` has come; true where it came.
pub fn is_interrupted_by(interrupt: &Interrupt, deadline: Instant) -> bool {
    let [is_asked] = poll::readable([interrupt.fd()], deadline);
    is_asked
}

/// How a child ended, as the system tells its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// 0 to 255, 128+N for signal N.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it and the children it waited for used.
    pub usage: Usage,
}

/// Takes the end of a child that is over, or waits for it. From here on its pid may be somebody else's.
pub fn reap(child: &Child) -> io::Result<Reaped> {
    let pid = libc::pid_t::try_from(child.entry().pid).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: rusage is a plain C struct for which all zeroes is a value.
    #[expect(unsafe_code, reason = "nix has no wait4")]
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    subreaper::reaped(child.entry().pid, || {
        loop {
            // SAFETY: both pointers are to live values of the right type, and the pid is that of an unreaped child.
            #[expect(unsafe_code, reason = "nix has no wait4")]
            let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
            let error = io::Error::last_os_error();
            match waited {
                waited if waited == pid => return Ok(()),
                _ if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    })?;
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    Ok(Reaped {
        exit_code: signal.map_or_else(|| libc::WEXITSTATUS(status), |number| 128 + number),
        signal,
        usage: Usage {
            max_rss: max_rss_bytes(usage.ru_maxrss),
            user_ms: millis(usage.ru_utime),
            sys_ms: millis(usage.ru_stime),
        },
    })
}

/// Linux counts KiB, macOS bytes.
fn max_rss_bytes(ru_maxrss: libc::c_long) -> u64 {
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    u64::try_from(ru_maxrss).unwrap_or_default() * unit
}

fn millis(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let micros = u64::try_from(time.tv_usec).unwrap_or_default();
    seconds * 1000 + micros / 1000
}
