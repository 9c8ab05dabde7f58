//! A read of the process table that several threads share: all those that ask while one reads get the next read together,
//! so that many trees can be terminated at the same time.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::process::system::{self, ProcessEntry};

/// The variable with the id of a process, which everything that the process starts inherits.
pub(crate) const PROCESS_ID_VARIABLE: &str = "RIGUP_PROCESS_ID";
/// The variable with the id of a program whose output rigup captures, which everything that it starts inherits.
pub(crate) const CAPTURE_ID_VARIABLE: &str = "RIGUP_CAPTURE_ID";
/// The variable with the rigup that captures the output, by which the next one finds what a killed one has left.
pub(crate) const CAPTURED_BY_VARIABLE: &str = "RIGUP_CAPTURED_BY";
/// The variable that marks a waiter. A waiter belongs to no tree, not even to that of the process that it waits for.
pub(crate) const WAITER_VARIABLE: &str = "RIGUP_WAITER";

const MARKS: [&str; 4] = [PROCESS_ID_VARIABLE, CAPTURE_ID_VARIABLE, CAPTURED_BY_VARIABLE, WAITER_VARIABLE];

/// The processes that this user may see.
#[derive(Debug)]
pub(super) struct ProcessTable {
    pub rows: Vec<Row>,
}

/// A process, with what its environment says about the tree that it belongs to.
#[derive(Debug)]
pub(super) struct Row {
    pub entry: ProcessEntry,
    marks: OnceLock<Option<Vec<u8>>>,
}

impl Row {
    /// Returns those variables of the process that mark trees, each followed by a NUL, or `None` if its environment cannot be
    /// read.
    pub(super) fn marks(&self) -> Option<&[u8]> {
        self.marks
            .get_or_init(|| system::environ(self.entry.pid).map(|environ| marks_in(&environ)))
            .as_deref()
    }
}

fn marks_in(environ: &[u8]) -> Vec<u8> {
    let is_mark = |variable: &&[u8]| {
        let name = variable.split(|byte| *byte == b'=').next();
        name.is_some_and(|name| MARKS.iter().any(|mark| mark.as_bytes() == name))
    };
    environ.split_inclusive(|byte| *byte == 0).filter(is_mark).flatten().copied().collect()
}

/// Which reads have begun and ended.
#[derive(Debug)]
struct Reads {
    /// How many have begun.
    begun: u64,
    is_reading: bool,
    /// The last one that has ended: its number, and what it has read if all of that could be read.
    last: Option<(u64, Option<Arc<ProcessTable>>)>,
}

static READS: Mutex<Reads> = Mutex::new(Reads { begun: 0, is_reading: false, last: None });
static HAS_ENDED: Condvar = Condvar::new();

impl ProcessTable {
    /// Reads every process that this user may see.
    pub(super) fn read() -> io::Result<Self> {
        let entries = system::pids()?.into_iter().filter_map(|pid| system::entry(pid).transpose());
        let is_visible = |entry: &io::Result<ProcessEntry>| !matches!(entry, Err(error) if error.kind() == io::ErrorKind::PermissionDenied);
        let rows = entries.filter(is_visible).map(|entry| Ok(Row { entry: entry?, marks: OnceLock::new() }));
        Ok(Self { rows: rows.collect::<io::Result<_>>()? })
    }

    /// Returns a read that begins after this call, which other threads may get as well.
    pub(super) fn shared() -> io::Result<Arc<Self>> {
        let mut reads = lock();
        let first = reads.begun + 1;
        loop {
            match &reads.last {
                Some((number, Some(table))) if *number >= first => return Ok(Arc::clone(table)),
                // The error is that of the thread that has read.
                Some((number, None)) if *number >= first => return Self::read().map(Arc::new),
                _ => {}
            }
            if !reads.is_reading {
                break;
            }
            reads = HAS_ENDED.wait(reads).unwrap_or_else(PoisonError::into_inner);
        }
        (reads.begun, reads.is_reading) = (first, true);
        drop(reads);
        let table = Self::read().map(Arc::new);
        let mut reads = lock();
        (reads.last, reads.is_reading) = (Some((first, table.as_ref().ok().cloned())), false);
        HAS_ENDED.notify_all();
        table
    }
}

fn lock() -> MutexGuard<'static, Reads> {
    READS.lock().unwrap_or_else(PoisonError::into_inner)
}
