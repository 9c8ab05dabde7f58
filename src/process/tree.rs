//! The process table, and process trees in it.

use crate::model::{Identity, ProcessId};
use crate::process::subreaper;
use crate::process::system::{self, ProcessEntry};

/// The variable that marks a process, and everything that it starts, with its process id.
pub(crate) const PROCESS_ID_VARIABLE: &str = "RIGUP_PROCESS_ID";
/// The variable that marks a waiter: it belongs to no tree, not even to that of the process that it waits for.
pub(crate) const WAITER_VARIABLE: &str = "RIGUP_WAITER";

/// Returns every process that this user may see.
pub(crate) fn entries() -> Vec<ProcessEntry> {
    system::pids().into_iter().filter_map(system::entry).collect()
}

/// The members of a process tree, without its root.
#[derive(Debug, Default)]
pub(crate) struct ProcessTree {
    /// The members in the root's process group.
    pub in_group: Vec<ProcessEntry>,
    /// The members outside of it: known by their environment, or by a parent that belongs to the tree.
    pub strays: Vec<ProcessEntry>,
}

impl ProcessTree {
    /// Returns all members.
    pub(crate) fn all(self) -> Vec<ProcessEntry> {
        [self.in_group, self.strays].concat()
    }
}

/// Returns everything alive that a process started: its group, the processes that carry its id in their environment, the
/// descendants of both, and an orphan without an environment if it can come from no other process.
pub(crate) fn find(process_id: ProcessId, root: ProcessEntry) -> ProcessTree {
    let mark = mark(process_id);
    let this = std::process::id();
    let is_only_child = root.ppid == this && subreaper::is_only_child(root.pid);
    let all: Vec<ProcessEntry> = entries()
        .into_iter()
        .filter(|entry| entry.start_ticks >= root.start_ticks && entry.pid != this)
        .collect();
    // Once the root is gone, its group may be gone as well, and a foreign group may have the same id.
    let has_root = all.iter().any(|entry| entry.pid == root.pid && entry.start_ticks == root.start_ticks);
    let is_member = |entry: &ProcessEntry| {
        entry.pgid == root.pid && (has_root || entry.ppid == this || is_marked_with(entry.pid, &mark))
    };
    let (mut in_group, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_member);
    let is_stray = |entry: &ProcessEntry| {
        system::environ(entry.pid).is_some_and(|environ| {
            has_variable(&environ, &mark) || (is_only_child && entry.ppid == this && !is_marked(&environ))
        })
    };
    let (mut strays, mut others): (Vec<_>, Vec<_>) = others.into_iter().partition(is_stray);
    others.retain(|entry| entry.pid != root.pid);
    let members = in_group.iter().chain(&strays).map(|entry| entry.pid);
    let mut parents: Vec<u32> = members.chain(has_root.then_some(root.pid)).collect();
    while let Some(at) = others.iter().position(|entry| parents.contains(&entry.ppid)) {
        let child = others.swap_remove(at);
        // A detached run does not belong to the tree, and neither does its waiter.
        if !is_marked_with(child.pid, &format!("{WAITER_VARIABLE}=")) {
            parents.push(child.pid);
            strays.push(child);
        }
    }
    let is_alive = |entry: &ProcessEntry| !entry.is_zombie && entry.pid != root.pid;
    in_group.retain(is_alive);
    strays.retain(is_alive);
    ProcessTree { in_group, strays }
}

/// Returns the living processes that carry a process's id, for a root that is gone or was never recorded: by now its group
/// id may be that of a foreign process.
pub(crate) fn marked(process_id: ProcessId) -> Vec<ProcessEntry> {
    let mark = mark(process_id);
    let this = std::process::id();
    let is_alive = |entry: &ProcessEntry| !entry.is_zombie && entry.pid != this;
    entries().into_iter().filter(|entry| is_alive(entry) && is_marked_with(entry.pid, &mark)).collect()
}

fn mark(process_id: ProcessId) -> String {
    format!("{PROCESS_ID_VARIABLE}={process_id}")
}

/// Whether this process has that identity, or descends from the process that has it.
pub(crate) fn descends_from(identity: &Identity) -> bool {
    let mut ancestor = system::entry(std::process::id());
    while let Some(process) = ancestor {
        if process.identity() == *identity {
            return true;
        }
        ancestor = system::entry(process.ppid);
    }
    false
}

fn is_marked_with(pid: u32, mark: &str) -> bool {
    system::environ(pid).is_some_and(|environ| has_variable(&environ, mark))
}

/// Whether an environment marks a process or a waiter of any rigup.
fn is_marked(environ: &[u8]) -> bool {
    [PROCESS_ID_VARIABLE, WAITER_VARIABLE].iter().any(|name| has_variable(environ, &format!("{name}=")))
}

/// Whether a variable with its value begins with this text, in an environment as the system shows it.
fn has_variable(environ: &[u8], start: &str) -> bool {
    environ.split(|&byte| byte == 0).any(|variable| variable.starts_with(start.as_bytes()))
}

/// Returns the command line of a process for messages, cut to one short line.
pub(crate) fn command_line(pid: u32) -> String {
    let text = String::from_utf8_lossy(&system::arguments(pid)).replace('\0', " ");
    let text: String = text.trim().chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{text} (pid {pid})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_the_process_table() {
        let this = system::entry(std::process::id()).unwrap();
        assert!(entries().iter().any(|entry| entry.pid == this.pid && entry.start_ticks == this.start_ticks));
    }
}
