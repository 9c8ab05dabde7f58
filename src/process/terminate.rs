//! Ending processes: TERM, a grace period, KILL, and a look at what is left.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::model::id::ProcessId;
use crate::process::handle::Handle;
use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::process::system::ProcessEntry;
use crate::process::tree;

/// How long a tree that is ended has to obey TERM.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long what a hook left behind has to obey TERM.
pub const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How long KILL may take; only a process stuck in the kernel takes longer.
const KILL_PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two looks at the process table.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Ends all that a process started, the process itself included, wherever it is. Gives back what survived.
pub fn end_tree(
    process_id: ProcessId,
    root: &Handle,
    grace: Duration,
    interrupt: Option<&Interrupt>,
) -> Vec<ProcessEntry> {
    end(Signal::TERM, Some(root), grace, interrupt, all_of(process_id, root))
}

/// Ends all that a process started, asking with this signal first. Gives back what survived.
pub fn end_tree_by(
    signal: Signal,
    process_id: ProcessId,
    root: &Handle,
    grace: Duration,
) -> Vec<ProcessEntry> {
    end(signal, Some(root), grace, None, all_of(process_id, root))
}

/// A look at a root and all below it, wherever it is.
fn all_of(process_id: ProcessId, root: &Handle) -> impl Fn() -> Vec<ProcessEntry> {
    let entry = root.entry;
    move || {
        let tree = tree::tree(process_id, entry);
        let root = tree::entry(entry.pid).filter(|it| it.start_ticks == entry.start_ticks && !it.is_zombie);
        root.into_iter().chain(tree.in_group).chain(tree.strays).collect()
    }
}

/// Ends what lives in the group of a root that is over. Gives back what survived.
pub fn end_group(process_id: ProcessId, root: &Handle) -> Vec<ProcessEntry> {
    end(Signal::TERM, Some(root), LEFTOVER_GRACE, None, || tree::tree(process_id, root.entry).in_group)
}

/// Ends all that a root left behind that is over, wherever it is. Gives back what survived.
pub fn end_left(process_id: ProcessId, root: ProcessEntry) -> Vec<ProcessEntry> {
    end(Signal::TERM, None, LEFTOVER_GRACE, None, || {
        let left = tree::tree(process_id, root);
        left.in_group.into_iter().chain(left.strays).collect()
    })
}

/// Ends what carries the id of a process whose root cannot be found: all of it, or what is in this group. Gives back
/// what survived.
pub fn end_marked(process_id: ProcessId, group: Option<u32>) -> Vec<ProcessEntry> {
    end(Signal::TERM, None, LEFTOVER_GRACE, None, || {
        let mut marked = tree::marked(process_id);
        marked.retain(|it| group.is_none_or(|group| it.pgid == group));
        marked
    })
}

/// Asks every target once with a signal, as a rule TERM; what is still there after the grace, or after a second interrupt, is killed,
/// and so is what it forks meanwhile.
fn end(
    signal: Signal,
    root: Option<&Handle>,
    grace: Duration,
    interrupt: Option<&Interrupt>,
    targets: impl Fn() -> Vec<ProcessEntry>,
) -> Vec<ProcessEntry> {
    let deadline = Instant::now() + grace;
    let mut asked: Vec<ProcessEntry> = Vec::new();
    let mut left = targets();
    while !left.is_empty() && Instant::now() < deadline && !interrupt.is_some_and(Interrupt::is_urgent) {
        for target in left {
            if !asked.iter().any(|it| (it.pid, it.start_ticks) == (target.pid, target.start_ticks)) {
                if let Some(target) = Handle::of(&target) {
                    target.signal(signal);
                    // A stopped process handles a signal only once it goes on.
                    target.signal(Signal::CONT);
                }
                asked.push(target);
            }
        }
        poll::pause(deadline.min(Instant::now() + LOOK_AGAIN));
        left = targets();
    }
    let deadline = Instant::now() + KILL_PATIENCE;
    loop {
        // Also where nobody was seen: processes that do nothing but fork and exit slip through any look at a table,
        // and through signals to single pids, but not through one signal to all of their group.
        if let Some(root) = root {
            root.signal_group(Signal::KILL);
        }
        let left = targets();
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        for target in left.iter().filter_map(Handle::of) {
            target.signal(Signal::KILL);
        }
        poll::pause(deadline.min(Instant::now() + LOOK_AGAIN));
    }
}
