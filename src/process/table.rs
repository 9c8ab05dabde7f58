//! The process table of the running system, read from `/proc`.

use std::fs::File;
use std::io::Read;

use fs_err as fs;
use uuid::Uuid;

use crate::process::orphans;

/// The variable by which a process and all that it starts are known.
pub const PROCESS_ID_VARIABLE: &str = "RIGUP_PROCESS_ID";
/// The variable by which a waiter is known: it belongs to no tree, not even to that of the process it waits for.
pub const WAITER_VARIABLE: &str = "RIGUP_WAITER";

/// One process that is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The process id.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// Its process group.
    pub pgid: u32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Over, but not yet waited for by its parent.
    pub is_zombie: bool,
}

/// Every process this user may see.
pub fn entries() -> Vec<Entry> {
    let Ok(proc) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    proc.filter_map(|dir| entry(dir.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}

/// The process with this id, if there is one.
pub fn entry(pid: u32) -> Option<Entry> {
    let mut stat = [0; 1024];
    // The kernel writes it whole into one read that has room for it.
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut stat).ok()?;
    parse_stat(pid, &String::from_utf8_lossy(&stat[..length]))
}

/// Reads `/proc/<pid>/stat`. The name in parentheses may hold anything, parentheses and blanks included.
fn parse_stat(pid: u32, stat: &str) -> Option<Entry> {
    const STATE: usize = 0;
    const PPID: usize = 1;
    const PGRP: usize = 2;
    const STARTTIME: usize = 19;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Entry {
        pid,
        ppid: fields.get(PPID)?.parse().ok()?,
        pgid: fields.get(PGRP)?.parse().ok()?,
        start_ticks: fields.get(STARTTIME)?.parse().ok()?,
        is_zombie: matches!(*fields.get(STATE)?, "Z" | "X"),
    })
}

/// Where the members of a tree are, seen from its root.
#[derive(Debug, Default)]
pub struct Tree {
    /// In the root's process group, the root left out.
    pub in_group: Vec<Entry>,
    /// Outside of it: known by their environment, or by a parent that belongs to the tree.
    pub strays: Vec<Entry>,
}

/// All that a process started and that still lives, zombies left out: its group, what carries its id in the
/// environment, the descendants of these, and an orphan that wiped its environment where it can be nobody else's.
pub fn tree(process_id: Uuid, root: Entry) -> Tree {
    let mark = mark(process_id);
    let me = std::process::id();
    let is_sole_child = root.ppid == me && orphans::can_only_be_of(root.pid);
    let all: Vec<Entry> =
        entries().into_iter().filter(|it| it.start_ticks >= root.start_ticks && it.pid != me).collect();
    // Once the root is gone, its group may be over, and a stranger's may have the same id.
    let has_root = all.iter().any(|it| it.pid == root.pid && it.start_ticks == root.start_ticks);
    let is_member = |it: &Entry| it.pgid == root.pid && (has_root || it.ppid == me || carries(it.pid, &mark));
    let (in_group, others): (Vec<Entry>, Vec<Entry>) = all.into_iter().partition(is_member);
    let is_stray = |it: &Entry| {
        environ(it.pid).is_some_and(|environ| {
            has(&environ, &mark) || (is_sole_child && it.ppid == me && !is_marked(&environ))
        })
    };
    let (mut strays, mut others): (Vec<Entry>, Vec<Entry>) = others.into_iter().partition(is_stray);
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
    let lives = |it: &Entry| !it.is_zombie && it.pid != root.pid;
    Tree {
        in_group: in_group.into_iter().filter(lives).collect(),
        strays: strays.into_iter().filter(lives).collect(),
    }
}

/// What lives and carries a process's id, for a root that is gone or was never noted: whatever its group is called, it
/// may be a stranger's by now.
pub fn marked(process_id: Uuid) -> Vec<Entry> {
    let mark = mark(process_id);
    let me = std::process::id();
    entries().into_iter().filter(|it| !it.is_zombie && it.pid != me && carries(it.pid, &mark)).collect()
}

fn mark(process_id: Uuid) -> String {
    format!("{PROCESS_ID_VARIABLE}={process_id}")
}

/// Whether this process descends from the one with that pid.
pub fn is_ancestor(pid: u32) -> bool {
    let mut above = entry(std::process::id());
    while let Some(it) = above {
        if it.ppid == pid {
            return true;
        }
        above = entry(it.ppid);
    }
    false
}

fn carries(pid: u32, mark: &str) -> bool {
    environ(pid).is_some_and(|environ| has(&environ, mark))
}

fn is_waiter(pid: u32) -> bool {
    environ(pid).is_some_and(|environ| has_name(&environ, WAITER_VARIABLE))
}

/// The environment a process was started with; none where it may not be read, or is not there.
fn environ(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).ok()
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
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    let text: String = text.trim().chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{text} (pid {pid})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_and_blanks_is_read_past() {
        let stat = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 1";
        let expected = Entry { pid: 42, ppid: 7, pgid: 42, start_ticks: 9876, is_zombie: false };
        assert_eq!(parse_stat(42, stat), Some(expected));
        assert_eq!(parse_stat(42, "42 (cut"), None);
    }

    #[test]
    fn this_process_is_in_the_table() {
        let me = entry(std::process::id()).unwrap();
        assert!(entries().iter().any(|it| it.pid == me.pid && it.start_ticks == me.start_ticks));
    }
}
