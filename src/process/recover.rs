//! Completing the records of processes that a crashed rigup left behind.

use std::time::Duration;

use rustix::process::Signal;

use crate::clock;
use crate::model::{MachineId, Process, ProcessExit, ProcessType};
use crate::process::handle::{self, Handle};
use crate::process::lock;
use crate::process::run_dir::{self, RunDir};
use crate::process::signals::Interrupt;
use crate::process::{terminate, tree};
use crate::store::{Store, StoreError};

/// Completes and returns the records of the queued and running processes of a machine that no rigup or waiter
/// supervises any more. Terminates a hook, which belongs to its rigup, with its tree; leaves a running process that had a
/// waiter alone. A process that works in another data dir, of which this one is a copy, is left alone as long as it lives.
pub(crate) fn recover_lost(store: &Store, machine_id: MachineId) -> Result<Vec<Process>, StoreError> {
    let processes = store.unfinished_processes(machine_id)?;
    processes.iter().filter_map(|process| recover_if_lost(store, process).transpose()).collect()
}

/// Completes and returns the record of one process, or returns `None` if it has exited or is still supervised.
pub(crate) fn recover_if_lost(store: &Store, process: &Process) -> Result<Option<Process>, StoreError> {
    if process.spec.run_dir.is_none() && lock::is_process_locked(store.data_dir(), process.id) {
        return Ok(None);
    }
    // Its exit may have been stored since the record was read.
    let process = &store.process(process.id)?.unwrap_or_else(|| process.clone());
    if process.exit().is_some() {
        return Ok(None);
    }
    if is_supervised(store, process) {
        return Ok(None);
    }
    let run_dir = run_dir::of(store.data_dir(), process);
    let is_own = belongs_to(store, process);
    let terminate = |process: &Process| {
        if is_own {
            terminate_rest(process, terminate::LEFTOVER_GRACE, None);
        }
    };
    complete(store, process.clone(), run_dir.as_ref(), terminate).map(Some)
}

/// Returns whether a rigup or a waiter will record the exit of a process that has not exited according to its record, or
/// whether the process still lives.
pub(crate) fn is_supervised(store: &Store, process: &Process) -> bool {
    let is_own = belongs_to(store, process);
    match run_dir::of(store.data_dir(), process).as_ref().and_then(RunDir::is_locked) {
        Some(true) => true,
        // A hook belongs to its rigup, which also completes the record if a waiter was killed.
        _ if is_own && process.spec.process_type == ProcessType::Hook => {
            process.parent_id.is_some_and(|id| lock::is_process_locked(store.data_dir(), id))
        }
        _ => (process.running().is_some() || !is_own) && is_alive(process),
    }
}

/// Stores and returns the record of a process that no rigup or waiter supervises any more, with the exit in its run dir.
/// If there is none, calls `terminate`; then the process is lost or, if a stop was requested, stopped without an exit code.
pub(crate) fn complete(
    store: &Store,
    process: Process,
    run_dir: Option<&RunDir>,
    terminate: impl FnOnce(&Process),
) -> Result<Process, StoreError> {
    let observed = run_dir.and_then(RunDir::read_exit);
    let is_observed = observed.is_some();
    let mut exit = observed.unwrap_or_else(|| {
        terminate(&process);
        ProcessExit::lost(clock::now())
    });
    let Some(run_dir) = run_dir else {
        let process = process.into_exited(exit);
        return store.save_process(&process).map(|()| process);
    };
    if !is_observed {
        exit.reason = run_dir.exit_reason(&exit);
    }
    let exit = run_dir.add_logs(exit, process.spec.process_type);
    let mut process = process.into_exited(exit);
    process.warnings.extend(run_dir.read_warnings().texts());
    process.warnings.extend(run_dir.removal_warning());
    // The record matters more than the files in the run dir.
    let _ = if is_observed { run_dir.remove_pid() } else { run_dir.write_exit(&process) };
    run_dir.remove_temporary_files();
    store.save_process(&process).map(|()| process)
}

/// Returns whether a process that has not exited belongs to this data dir, which may have been moved, and not to one that
/// this one is a copy of. Only then may it be signalled. A rigup holds a lock in its own data dir until its exit is
/// recorded; the record of any other process has the id of its data dir.
pub(crate) fn belongs_to(store: &Store, process: &Process) -> bool {
    match process.spec.process_type {
        ProcessType::Cli => lock::is_process_locked(store.data_dir(), process.id),
        _ => !process.data_dir_id.is_empty() && process.data_dir_id == store.data_dir_id(),
    }
}

/// Returns whether a process lives, but works in another data dir, of which this one is a copy.
pub(crate) fn is_elsewhere(store: &Store, process: &Process) -> Result<bool, StoreError> {
    // A rigup releases its lock after it has stored its exit, which may have happened since the record was read.
    let has_exited = || Ok(store.process(process.id)?.is_none_or(|process| process.exit().is_some()));
    Ok(!belongs_to(store, process) && is_alive(process) && !has_exited()?)
}

/// Returns whether a process lives, in whichever data dir it works.
fn is_alive(process: &Process) -> bool {
    match process.running() {
        Some(running) => handle::find(&running.identity).is_some(),
        None => !tree::find_by_id(process.id).is_empty(),
    }
}

/// Terminates the remaining processes of a tree that no rigup supervises. If its root exited by itself, processes that left
/// its group keep running, as after every exit.
pub(crate) fn terminate_rest(process: &Process, grace: Duration, interrupt: Option<&Interrupt>) {
    let identity = process.running().map(|running| &running.identity);
    match identity.and_then(Handle::open) {
        Some(root) => terminate::terminate_tree(Signal::TERM, process.id, &root, grace, interrupt),
        // Its rigup may have been killed between starting and recording the process.
        None => terminate::terminate_by_id(process.id, identity.map(|identity| identity.pid)),
    };
}
