//! Finds recorded processes, and waits for them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::engine::error::EngineError;
use crate::engine::session::Session;
use crate::model::{Process, ProcessId};
use crate::process::handle::Handle;
use crate::process::{poll, recover};
use crate::store::{Lookup, Store};

/// The time between two reads of a record if rigup cannot wait for its process.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Returns the process with this id, which may be a unique prefix or suffix.
pub(crate) fn find(store: &Store, id: &str) -> Result<Process, EngineError> {
    match store.find_process(id)? {
        Lookup::Found(process) => Ok(process),
        Lookup::NotFound => Err(not_found(id)),
        Lookup::Ambiguous(count) => {
            Err(EngineError::NotFound(format!("{id} matches {count} ids; type more characters")))
        }
    }
}

/// Returns the error for an unknown process id.
pub(crate) fn not_found(id: &str) -> EngineError {
    EngineError::NotFound(format!("no process has the id {id}; `rigup process list` shows the ids"))
}

/// Returns the processes with these ids, each once. Rejects a process that runs on another machine or belongs to another
/// data dir, because its exit will not be recorded here.
pub(crate) fn find_all(session: &Session<'_>, ids: &[String]) -> Result<Vec<Process>, EngineError> {
    let mut processes: Vec<Process> = Vec::new();
    for id in ids {
        let process = find(&session.store, id)?;
        let rejected = |reason| EngineError::NotFound(format!("process {} {reason}", process.id));
        if process.exit().is_none() && process.machine_id != session.machine.id {
            return Err(rejected("runs on another machine"));
        }
        if process.exit().is_none() && recover::is_elsewhere(&session.store, &process)? {
            return Err(rejected("belongs to another data dir, of which this one is a copy; use that one"));
        }
        if !processes.iter().any(|known| known.id == process.id) {
            processes.push(process);
        }
    }
    Ok(processes)
}

/// Returns processes with all their descendants, each once.
pub(crate) fn with_descendants(store: &Store, mut queue: Vec<Process>) -> Result<Vec<Process>, EngineError> {
    let mut seen: HashSet<ProcessId> = HashSet::new();
    let mut all = Vec::new();
    while let Some(process) = queue.pop() {
        if seen.insert(process.id) {
            queue.extend(store.process_children(process.id)?);
            all.push(process);
        }
    }
    Ok(all)
}

/// Waits until the exit of a process is recorded. If the deadline passes first, the returned process has no exit.
pub(crate) fn wait(
    store: &Store,
    mut process: Process,
    deadline: Option<Instant>,
) -> Result<Process, EngineError> {
    loop {
        if process.exit().is_none()
            && let Some(completed) = recover::recover_if_lost(store, &process)?
        {
            return Ok(completed);
        }
        let now = Instant::now();
        if process.exit().is_some() || deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(process);
        }
        match process.running().and_then(|running| Handle::open(&running.identity)) {
            // After this time at the latest, rigup checks whether a process without a waiter has vanished.
            Some(handle) => {
                let wake_up = now + 50 * POLL_INTERVAL;
                poll::readable([handle.fd()], deadline.map_or(wake_up, |deadline| deadline.min(wake_up)));
            }
            None => poll::pause(now + POLL_INTERVAL),
        }
        process = store.process(process.id)?.unwrap_or(process);
    }
}
