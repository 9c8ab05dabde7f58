//! Terminating processes: TERM, a grace period, KILL, and a list of the survivors.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::duration;
use crate::model::ProcessId;
use crate::process::handle::Handle;
use crate::process::system::ProcessEntry;
use crate::process::{drain, poll, subreaper, system, tree};

/// The grace period of a tree that is terminated.
pub const GRACE: Duration = Duration::from_secs(5);
/// The grace period of processes that a hook left behind.
pub(crate) const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How long KILL may take; only a process that hangs in the kernel takes longer.
const KILL_PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two reads of the process table.
const RETRY: Duration = Duration::from_millis(20);

/// Sends a signal to a process and everything that it started, in any process group, and kills the processes that are
/// still running after the grace period, or as soon as `is_urgent`. Returns the survivors.
pub(crate) fn terminate_tree(
    signal: Signal,
    process_id: ProcessId,
    root: &Handle,
    grace: Duration,
    is_urgent: impl Fn() -> bool,
) -> Vec<ProcessEntry> {
    terminate(signal, Some(root), grace, is_urgent, || {
        with_root(root, tree::find(process_id, root.entry).all())
    })
}

/// Stops a process and everything that it started, so that it writes nothing more. Call [`terminate_tree`] next, which
/// continues the processes in their grace period.
pub(super) fn stop_tree(process_id: ProcessId, root: &Handle) {
    // The members of the group first: only they can be stopped before the process table is read.
    root.signal_group(Signal::STOP);
    for target in with_root(root, tree::find(process_id, root.entry).all()) {
        signal_entry(&target, &[Signal::STOP]);
    }
}

fn signal_entry(target: &ProcessEntry, signals: &[Signal]) {
    if let Ok(Some(target)) = Handle::open_entry(target) {
        for signal in signals {
            target.signal(*signal);
        }
    }
}

/// Terminates a captured program and everything that it started, in any process group. Returns the survivors.
pub(crate) fn terminate_captured(id: ProcessId, root: &Handle, grace: Duration) -> Vec<ProcessEntry> {
    let targets = || with_root(root, tree::find_captured(id, root.entry).all());
    terminate(Signal::TERM, Some(root), grace, || false, targets)
}

/// Returns the members of a tree with its root, if that is running.
fn with_root(root: &Handle, members: Vec<ProcessEntry>) -> Vec<ProcessEntry> {
    let root = root.entry.refreshed().unwrap_or(Some(root.entry)).filter(|now| !now.is_zombie);
    root.into_iter().chain(members).collect()
}

/// Terminates what a root that is gone left behind, as `find` returns it, with the whole group of the root, if it is
/// known. Returns the survivors.
pub(crate) fn terminate_leftovers(
    root: Option<&Handle>,
    find: impl Fn() -> Vec<ProcessEntry>,
) -> Vec<ProcessEntry> {
    terminate(Signal::TERM, root, LEFTOVER_GRACE, || false, find)
}

/// Sends the signal to each target once. Begins with the root and everything that does not read from a pipe. Once these
/// have exited and the rest is idle, continues with the filters, which read what the others print on the signal, and with
/// the commands that handlers of the signal started. After the grace period, or as soon as `is_urgent`, kills the
/// remaining targets and everything that they fork meanwhile.
fn terminate(
    signal: Signal,
    root: Option<&Handle>,
    grace: Duration,
    is_urgent: impl Fn() -> bool,
    targets: impl Fn() -> Vec<ProcessEntry>,
) -> Vec<ProcessEntry> {
    // A fifth of the grace period is left to what receives the signal late.
    let (start, patience, deadline) = (Instant::now(), grace / 5 * 4, duration::deadline(grace));
    let id = |target: &ProcessEntry| (target.pid, target.start_ticks);
    let mut remaining = targets();
    let mut signalled = Vec::new();
    let (mut is_first, mut idle) = (true, Duration::ZERO);
    while !remaining.is_empty() && Instant::now() < deadline && !is_urgent() {
        let is_idle = idle >= drain::IDLE || start.elapsed() >= patience;
        for target in &remaining {
            let is_root = root.is_some_and(|root| root.entry.pid == target.pid);
            if signalled.contains(&id(target)) {
                continue;
            }
            // A stopped process handles a signal only after it is continued.
            if is_idle || (is_first && (is_root || !system::reads_pipe(target.pid))) {
                signal_entry(target, &[signal, Signal::CONT]);
                signalled.push(id(target));
            } else {
                signal_entry(target, &[Signal::CONT]);
            }
        }
        poll::pause(deadline.min(Instant::now() + RETRY));
        // A handler of the signal may wait until the processes that it ends are gone.
        subreaper::reap_orphans();
        remaining = targets();
        let is_busy =
            remaining.iter().any(|target| signalled.contains(&id(target)) || system::is_busy(target.pid));
        // As in a drain, only the intended pauses count.
        (is_first, idle) = (false, if is_busy { Duration::ZERO } else { idle + RETRY });
    }
    let deadline = Instant::now() + KILL_PATIENCE;
    loop {
        // The targets that are known are killed before the group: once the root is gone, its other descendants cannot
        // be found by their parents.
        for target in &remaining {
            signal_entry(target, &[Signal::KILL]);
        }
        // The group is signalled even if no target was found: processes that only fork and exit escape every read of
        // the process table and every signal to a single pid, but not one signal to their whole group.
        if let Some(root) = root {
            root.signal_group(Signal::KILL);
        }
        remaining = targets();
        if remaining.is_empty() || Instant::now() >= deadline {
            return remaining;
        }
        poll::pause(deadline.min(Instant::now() + RETRY));
    }
}
