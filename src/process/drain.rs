//! Draining the output of a process that has exited, while processes that it left behind still write to it.

use std::time::{Duration, Instant};

use crate::process::log::Logs;
use crate::process::poll;
use crate::process::system;
use crate::process::tree::ProcessTree;

/// How long a leftover process that holds the output open may be idle until it is no longer waited for: the leak timeout
/// of nextest, which is about tests that leave processes behind. A filter at the end of a pipe exits within it.
pub(super) const IDLE: Duration = Duration::from_millis(100);
/// How long to wait for leftover processes that are busy or still write.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest pause between two reads of the process table.
const MAX_PAUSE: Duration = Duration::from_millis(20);

/// Waits while a process of the tree that `find` returns holds one of the logs open, so that the output that it has in
/// its buffers or reads from a pipe is not lost: until no such process is left, until the whole tree has been idle for a
/// moment, because another process may be at the other end of the pipe, until `deadline`, or until `is_cut_short`. Returns
/// the rest of the tree.
pub(super) fn drain(
    logs: &Logs,
    deadline: Option<Instant>,
    is_cut_short: impl Fn() -> bool,
    find: impl Fn() -> ProcessTree,
) -> ProcessTree {
    let last = Instant::now() + PATIENCE;
    let last = deadline.map_or(last, |deadline| deadline.min(last));
    let logs_of = [&logs.stdout, &logs.stderr];
    let files: Vec<(u64, u64)> = logs_of.into_iter().filter_map(|log| log.file_id().ok()).collect();
    let mut sizes = logs.sizes();
    let (mut idle, mut pause) = (Duration::ZERO, Duration::from_millis(1));
    loop {
        let tree = find();
        let has_writer = tree.pids().any(|pid| system::has_open_file(pid, &files));
        let new_sizes = logs.sizes();
        if new_sizes != sizes || tree.pids().any(system::is_busy) {
            (idle, sizes) = (Duration::ZERO, new_sizes);
        }
        if !has_writer || idle >= IDLE || Instant::now() >= last || is_cut_short() {
            // A program may close its output right before it exits.
            return tree.refreshed();
        }
        poll::pause(last.min(Instant::now() + pause));
        // On a busy machine, this process wakes up as late as the others, so only the intended pauses count.
        idle += pause;
        pause = MAX_PAUSE.min(2 * pause);
    }
}
