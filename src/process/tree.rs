//! The process table of the running system, and trees in it.

use crate::model::id::ProcessId;
use crate::model::process::Identity;
use crate::process::system::{self, ProcessEntry};
use crate::process::{handle, subreaper};

/// The variable by which a process and all that it starts are known.
pub const PROCESS_ID_VARIABLE: &str = "RIGUP_PROCESS_ID";
/// The variable by which a waiter is known: it belongs to no tree, not even to that of the process it waits for.
pub const WAITER_VARIABLE: &str = "RIGUP_WAITER";

/// Every process this user may see.
pub fn entries() -> Vec<ProcessEntry> {
    system::pids().into_iter().filter_map(system::entry).collect()
}

/// The process with this id, if there is one.
pub fn entry(pid: u32) -> Option<ProcessEntry> {
    system::entry(pid)
}

/// Where the members of a tree are, seen from its root.
#[derive(Debug, Default)]
pub struct Tree {
    /// In the root's process group, the root left out.
    pub in_group: Vec<ProcessEntry>,
    /// Outside of it: known by their environment, or by a parent that belongs to the tree.
    pub strays: Vec<ProcessEntry>,
}

/// All that a process started and that still lives, zombies left out: its group, what carries its id in the
/// environment, the descendants of these, and an orphan that wiped its environment where it can be nobody else's.
pub fn tree(process_id: ProcessId, root: ProcessEntry) -> Tree {
    let mark = mark(process_id);
    let me = std::process::id();
    let is_sole_child = root.ppid == me && subreaper::can_only_be_of(root.pid);
    let all: Vec<ProcessEntry> =
        entries().into_iter().filter(|it| it.start_ticks >= root.start_ticks && it.pid != me).collect();
    // Once the root is gone, its group may be over, and a stranger's may have the same id.
    let has_root = all.iter().any(|it| it.pid == root.pid && it.start_ticks == root.start_ticks);
    let is_member =
        |it: &ProcessEntry| it.pgid == root.pid && (has_root || it.ppid == me || carries(it.pid, &mark));
    let (in_group, others): (Vec<ProcessEntry>, Vec<ProcessEntry>) = all.into_iter().partition(is_member);
    let is_stray = |it: &ProcessEntry| {
        system::environ(it.pid).is_some_and(|environ| {
            has(&environ, &mark) || (is_sole_child && it.ppid == me && !is_marked(&environ))
        })
    };
    let (mut strays, mut others): (Vec<ProcessEntry>, Vec<ProcessEntry>) =
        others.into_iter().partition(is_stray);
    others.retain(|it| it.pid != root.pid);
    let mut family: Vec<u32> =
        in_group.iter().chain(&strays).map(|it| it.pid).chain(has_root.then_some(root.pid)).collect();
    while let Some(at) = others.iter().position(|it| family.contains(&it.ppid)) {
        let found = others.swap_remove(at);
        // A detached run goes its own way, and so does who waits for it.
        if !is_waiter(found.pid) {
            family.push(found.pid);
            strays.push(found);
        }
    }
    let lives = |it: &ProcessEntry| !it.is_zombie && it.pid != root.pid;
    Tree {
        in_group: in_group.into_iter().filter(lives).collect(),
        strays: strays.into_iter().filter(lives).collect(),
    }
}

/// What lives and carries a process's id, for a root that is gone or was never noted: whatever its group is called, it
/// may be a stranger's by now.
pub fn marked(process_id: ProcessId) -> Vec<ProcessEntry> {
    let mark = mark(process_id);
    let me = std::process::id();
    entries().into_iter().filter(|it| !it.is_zombie && it.pid != me && carries(it.pid, &mark)).collect()
}

fn mark(process_id: ProcessId) -> String {
    format!("{PROCESS_ID_VARIABLE}={process_id}")
}

/// Whether this process is the one with that identity, or descends from it.
pub fn descends_from(identity: &Identity) -> bool {
    let mut at = entry(std::process::id());
    while let Some(it) = at {
        if handle::from_entry(&it) == *identity {
            return true;
        }
        at = entry(it.ppid);
    }
    false
}

fn carries(pid: u32, mark: &str) -> bool {
    system::environ(pid).is_some_and(|environ| has(&environ, mark))
}

fn is_waiter(pid: u32) -> bool {
    system::environ(pid).is_some_and(|environ| has_name(&environ, WAITER_VARIABLE))
}

fn has(environ: &[u8], variable: &str) -> bool {
    environ.split(|&byte| byte == 0).any(|it| it == variable.as_bytes())
}

fn has_name(environ: &[u8], name: &str) -> bool {
    let mut variables = environ.split(|&byte| byte == 0);
    variables.any(|it| it.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))
}

fn is_marked(environ: &[u8]) -> bool {
    has_name(environ, PROCESS_ID_VARIABLE) || has_name(environ, WAITER_VARIABLE)
}

/// The command line of a process, for messages: its arguments, cut to one short line.
pub fn command_line(pid: u32) -> String {
    let text = String::from_utf8_lossy(&system::arguments(pid)).replace('\0', " ");
    let text: String = text.trim().chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{text} (pid {pid})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_the_table() {
        let me = entry(std::process::id()).unwrap();
        assert!(entries().iter().any(|it| it.pid == me.pid && it.start_ticks == me.start_ticks));
    }
}
