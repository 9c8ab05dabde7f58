//! The process table, and process trees in it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;

use crate::model::{Identity, ProcessId};
use crate::process::process_table::{CAPTURE_ID_VARIABLE, CAPTURED_BY_VARIABLE, ProcessTable, Row};
pub(crate) use crate::process::process_table::{PROCESS_ID_VARIABLE, WAITER_VARIABLE};
use crate::process::subreaper;
use crate::process::system::{self, ProcessEntry};

/// Returns every process that this user may see.
pub(crate) fn entries() -> io::Result<Vec<ProcessEntry>> {
    Ok(ProcessTable::read()?.rows.iter().map(|row| row.entry).collect())
}

/// The members of a process tree, without its root.
#[derive(Debug, Default)]
pub(crate) struct ProcessTree {
    /// The members in the root's process group.
    pub in_group: Vec<ProcessEntry>,
    /// The members outside of this group, which are found by their environment or by a parent that belongs to the tree.
    pub strays: Vec<ProcessEntry>,
}

impl ProcessTree {
    /// Returns all members.
    pub(crate) fn all(self) -> Vec<ProcessEntry> {
        [self.in_group, self.strays].concat()
    }

    /// Returns the tree without the members that have exited since.
    pub(super) fn refreshed(mut self) -> Self {
        for members in [&mut self.in_group, &mut self.strays] {
            members
                .retain(|entry| entry.refreshed().unwrap_or(Some(*entry)).is_some_and(|now| !now.is_zombie));
        }
        self
    }

    /// Returns the pids of all members.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.in_group.iter().chain(&self.strays).map(|entry| entry.pid)
    }
}

/// Returns the running processes that a process started: its group, the processes that have its id in their
/// environment, the descendants of both, and orphans without an id if no other process can have started them.
pub(crate) fn find(process_id: ProcessId, root: ProcessEntry) -> ProcessTree {
    find_marked(&id_variable(process_id), root)
}

/// The identity of this rigup, or `None` if the process table does not show it.
static THIS: LazyLock<Option<String>> =
    LazyLock::new(|| Some(identity_text(&system::own_entry().ok()??.identity())));

/// Returns the variables that mark a program whose output this rigup captures: with an id of its own, because the program
/// inherits the process id in the environment from the caller, and with this rigup.
pub(super) fn capture_marks(id: ProcessId) -> Vec<(OsString, OsString)> {
    let mut marks = vec![(CAPTURE_ID_VARIABLE.into(), id.to_string().into())];
    marks.extend(THIS.as_ref().map(|this| (CAPTURED_BY_VARIABLE.into(), this.into())));
    marks
}

/// Like [`find`], for a program whose output rigup captures.
pub(crate) fn find_captured(id: ProcessId, root: ProcessEntry) -> ProcessTree {
    find_marked(&format!("{CAPTURE_ID_VARIABLE}={id}"), root)
}

/// Returns the running processes that a rigup has started to capture their output, and what they have started.
pub(super) fn find_captured_by(rigup: &Identity) -> io::Result<Vec<ProcessEntry>> {
    find_with(&format!("{CAPTURED_BY_VARIABLE}={}", identity_text(rigup)))
}

fn identity_text(Identity { pid, start_ticks, boot_id }: &Identity) -> String {
    format!("{pid}:{start_ticks}:{boot_id}")
}

/// Like [`find`], for the variable that the processes have in their environment.
fn find_marked(variable: &str, root: ProcessEntry) -> ProcessTree {
    let this = std::process::id();
    let is_only_child = root.ppid == this && subreaper::is_only_child(root.pid);
    let table = ProcessTable::shared().ok();
    let rows = table.iter().flat_map(|table| &table.rows);
    let all: Vec<&Row> =
        rows.filter(|row| row.entry.start_ticks >= root.start_ticks && row.entry.pid != this).collect();
    // Once the root is gone, its group may be gone as well, and a foreign group may have the same id.
    let has_root =
        all.iter().any(|row| row.entry.pid == root.pid && row.entry.start_ticks == root.start_ticks);
    let is_marked = |row: &Row| row.marks().is_some_and(|marks| has_variable(marks, variable));
    let is_member =
        |row: &&Row| row.entry.pgid == root.pid && (has_root || row.entry.ppid == this || is_marked(row));
    let (in_group, others): (Vec<&Row>, Vec<&Row>) = all.into_iter().partition(is_member);
    let is_stray = |row: &&Row| {
        row.marks().is_some_and(|marks| {
            has_variable(marks, variable) || (is_only_child && row.entry.ppid == this && !has_id(marks))
        })
    };
    let (mut strays, mut others): (Vec<&Row>, Vec<&Row>) = others.into_iter().partition(is_stray);
    others.retain(|row| row.entry.pid != root.pid);
    let members = in_group.iter().chain(&strays).map(|row| row.entry.pid);
    let mut parents: Vec<u32> = members.chain(has_root.then_some(root.pid)).collect();
    while let Some(at) = others.iter().position(|row| parents.contains(&row.entry.ppid)) {
        let child = others.swap_remove(at);
        // A detached run does not belong to the tree, and neither does its waiter.
        if !child.marks().is_some_and(|marks| has_variable(marks, &format!("{WAITER_VARIABLE}="))) {
            parents.push(child.entry.pid);
            strays.push(child);
        }
    }
    let entries = |rows: Vec<&Row>| rows.into_iter().map(|row| row.entry).collect::<Vec<_>>();
    let (mut in_group, mut strays) = (entries(in_group), entries(strays));
    let is_alive = |entry: &ProcessEntry| !entry.is_zombie && entry.pid != root.pid;
    in_group.retain(is_alive);
    strays.retain(is_alive);
    ProcessTree { in_group, strays }
}

/// Returns the running processes that have a process id in their environment. For a root that is gone or was never
/// recorded, because the id of its group may have been reused by foreign processes.
pub(crate) fn find_by_id(process_id: ProcessId) -> io::Result<Vec<ProcessEntry>> {
    find_with(&id_variable(process_id))
}

/// Returns the waiter of a process, or `None` if it has exited or is not visible.
pub(crate) fn find_waiter(process_id: ProcessId) -> io::Result<Option<ProcessEntry>> {
    Ok(find_with(&waiter_variable(process_id))?.pop())
}

/// Returns the running processes that have this variable in their environment.
fn find_with(variable: &str) -> io::Result<Vec<ProcessEntry>> {
    let this = std::process::id();
    let is_found = |row: &&Row| {
        !row.entry.is_zombie
            && row.entry.pid != this
            && row.marks().is_some_and(|marks| has_variable(marks, variable))
    };
    Ok(ProcessTable::shared()?.rows.iter().filter(is_found).map(|row| row.entry).collect())
}

/// Returns whether a process is a waiter.
pub(super) fn is_waiter(pid: u32) -> bool {
    environ_has(pid, &format!("{WAITER_VARIABLE}="))
}

/// Returns whether a process was started for this process id: it has the id in its environment, or the waiter with the id
/// is its parent.
pub(crate) fn is_started_for(entry: &ProcessEntry, process_id: ProcessId) -> bool {
    environ_has(entry.pid, &id_variable(process_id)) || environ_has(entry.ppid, &waiter_variable(process_id))
}

fn waiter_variable(process_id: ProcessId) -> String {
    format!("{WAITER_VARIABLE}={process_id}")
}

fn id_variable(process_id: ProcessId) -> String {
    format!("{PROCESS_ID_VARIABLE}={process_id}")
}

/// Returns whether this process has this identity, or descends from the process with it.
pub(crate) fn descends_from(identity: &Identity) -> bool {
    with_ancestors().any(|process| process.identity() == *identity)
}

/// Returns this process and its ancestors.
fn with_ancestors() -> impl Iterator<Item = ProcessEntry> {
    let entry = |pid| system::entry(pid).ok().flatten();
    std::iter::successors(entry(std::process::id()), move |process| entry(process.ppid))
}

/// Returns the pids of the ancestors that run the same program as this process, nearest first, or none if this process has
/// fewer than `count` ancestors. Unlike the environment, a program between them cannot hide them.
pub(crate) fn callers(count: usize) -> Vec<u32> {
    let ancestors: Vec<u32> = with_ancestors().skip(1).map(|process| process.pid).collect();
    if ancestors.len() < count {
        return Vec::new();
    }
    let program = |pid: u32| {
        let arguments = system::arguments(pid);
        let path = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
        Path::new(OsStr::from_bytes(path)).file_name().map(OsStr::to_owned)
    };
    let this = program(std::process::id());
    ancestors.into_iter().filter(|pid| program(*pid) == this).collect()
}

/// Returns the pids of the orphans that a process left to this one, because it is their subreaper.
pub(super) fn orphans_of(process_id: ProcessId) -> Vec<u32> {
    let mut children = system::children(std::process::id());
    children
        .retain(|child| !subreaper::is_own_child(*child) && environ_has(*child, &id_variable(process_id)));
    children
}

fn environ_has(pid: u32, start: &str) -> bool {
    system::environ(pid).is_some_and(|environ| has_variable(&environ, start))
}

/// Returns whether an environment has the id of a process or waiter of any rigup.
fn has_id(environ: &[u8]) -> bool {
    [PROCESS_ID_VARIABLE, WAITER_VARIABLE].iter().any(|name| has_variable(environ, &format!("{name}=")))
}

/// Returns whether a variable in an environment of the system begins with this text: `NAME=`, or `NAME=VALUE`.
fn has_variable(environ: &[u8], start: &str) -> bool {
    environ.split(|&byte| byte == 0).any(|variable| variable.starts_with(start.as_bytes()))
}

/// Returns the command line of a process for messages, shortened to one line, with the pid. A process that is exiting has
/// only a name.
pub(crate) fn command_line(pid: u32) -> String {
    let shortened = |bytes: &[u8]| -> String {
        let text = String::from_utf8_lossy(bytes).replace('\0', " ");
        text.trim().chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect()
    };
    let text = Some(shortened(&system::arguments(pid))).filter(|text| !text.is_empty());
    match text.unwrap_or_else(|| shortened(&system::name(pid))).as_str() {
        "" => format!("pid {pid}"),
        text => format!("{text} (pid {pid})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_the_process_table() {
        let this = system::entry(std::process::id()).unwrap().unwrap();
        assert!(
            entries()
                .unwrap()
                .iter()
                .any(|entry| entry.pid == this.pid && entry.start_ticks == this.start_ticks)
        );
    }
}
