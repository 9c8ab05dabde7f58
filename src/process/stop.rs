//! Ending processes: TERM, a grace period, KILL, and a look at what is left.

use std::time::{Duration, Instant};

use nix::sys::signal::killpg;
use nix::unistd::Pid;
use rustix::process::Signal;
use uuid::Uuid;

use crate::process::identity;
use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::process::table::{self, Entry};

/// How long a tree that is ended has to obey TERM.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long what a hook left behind has to obey TERM.
pub const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How long KILL may take; only a process stuck in the kernel takes longer.
const KILL_PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two looks at the process table.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Ends all that a process started, the process itself included, wherever it is. The root is not reaped here, so its
/// group cannot become somebody else's meanwhile. Gives back what survived.
pub fn end_tree(process_id: Uuid, root: Entry, grace: Duration, interrupt: Option<&Interrupt>) -> Vec<Entry> {
    end(Some(root), grace, interrupt, || {
        let tree = table::tree(process_id, root);
        let root = table::entry(root.pid).filter(|it| it.start_ticks == root.start_ticks && !it.is_zombie);
        root.into_iter().chain(tree.in_group).chain(tree.strays).collect()
    })
}

/// Ends what lives in the group of a root that is over and not yet reaped. Gives back what survived.
pub fn end_group(process_id: Uuid, root: Entry) -> Vec<Entry> {
    end(Some(root), LEFTOVER_GRACE, None, || table::tree(process_id, root).in_group)
}

/// Ends what carries the id of a process whose root cannot be found: all of it, or what is in this group. Gives back
/// what survived.
pub fn end_marked(process_id: Uuid, group: Option<u32>) -> Vec<Entry> {
    end(None, LEFTOVER_GRACE, None, || {
        let mut marked = table::marked(process_id);
        marked.retain(|it| group.is_none_or(|group| it.pgid == group));
        marked
    })
}

/// Asks every target once with TERM; what is still there after the grace, or after a second interrupt, is killed,
/// and so is what it forks meanwhile.
fn end(
    root: Option<Entry>,
    grace: Duration,
    interrupt: Option<&Interrupt>,
    targets: impl Fn() -> Vec<Entry>,
) -> Vec<Entry> {
    let deadline = Instant::now() + grace;
    let mut asked: Vec<Entry> = Vec::new();
    let mut left = targets();
    while !left.is_empty() && Instant::now() < deadline && !interrupt.is_some_and(Interrupt::is_urgent) {
        for target in left {
            if !asked.iter().any(|it| (it.pid, it.start_ticks) == (target.pid, target.start_ticks)) {
                identity::signal(&target, Signal::TERM);
                // A stopped process handles TERM only once it goes on.
                identity::signal(&target, Signal::CONT);
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
            kill_group(root);
        }
        let left = targets();
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        for target in &left {
            identity::signal(target, Signal::KILL);
        }
        poll::pause(deadline.min(Instant::now() + LOOK_AGAIN));
    }
}

/// Kills the group that a root leads. As long as the root is there, if only as a zombie, no stranger has its id.
fn kill_group(root: Entry) {
    let is_there = table::entry(root.pid).is_some_and(|it| it.start_ticks == root.start_ticks);
    if let (true, Ok(pid)) = (is_there && root.pgid == root.pid, i32::try_from(root.pid)) {
        let _ = killpg(Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}
