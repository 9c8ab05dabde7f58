//! Completing the records of processes that a crashed rigup left behind.

use std::fs::File;
use std::io;
use std::time::Duration;

use rustix::process::Signal;

use crate::clock;
use crate::model::{MachineId, Process, ProcessExit, ProcessState, ProcessType};
use crate::process::handle::{self, Handle};
use crate::process::lock;
use crate::process::run_dir::{self, RunDir};
use crate::process::system::BOOT_ID;
use crate::process::{terminate, tree};
use crate::store::{Store, StoreError};

/// Completes and returns the records of the queued and running processes of a machine that no rigup or waiter
/// supervises any more. Terminates a hook, which belongs to its rigup, with its tree, and what a rigup was probing; leaves a
/// running process that had a waiter alone. A process that works in another data dir, of which this one is a copy, is left
/// alone as long as it lives.
pub(crate) fn recover_lost(store: &Store, machine_id: MachineId) -> Result<Vec<Process>, StoreError> {
    let processes = store.unfinished_processes(machine_id)?;
    processes.iter().filter_map(|process| recover_if_lost(store, process).transpose()).collect()
}

/// Returns the stored record of one process, or `None` if it has exited or is still supervised, or if rigup cannot find
/// that out, such as without enough descriptors.
fn read_if_lost(store: &Store, process: &Process) -> Result<Option<Process>, StoreError> {
    if process.spec.run_dir.is_none()
        && !matches!(lock::is_process_locked(store.data_dir(), process.id), Ok(false))
    {
        return Ok(None);
    }
    // Its state may have been stored since the record was read, or the record may have been pruned.
    let read = || Ok::<_, StoreError>(store.process(process.id)?.filter(|now| now.exit().is_none()));
    if !read()?.is_some_and(|now| matches!(is_supervised(store, &now), Ok(false))) {
        return Ok(None);
    }
    // Nor is it lost if its waiter stored its exit, and released the lock, between the two looks.
    read()
}

/// Completes and returns the record of one process, or returns `None` if it has exited or is still supervised, or if rigup
/// cannot find that out.
pub(crate) fn recover_if_lost(store: &Store, process: &Process) -> Result<Option<Process>, StoreError> {
    let Some(process) = read_if_lost(store, process)? else { return Ok(None) };
    if process.spec.run_dir.is_none() {
        lock::remove_killed_process_lock(store.data_dir(), process.id);
        terminate_captured_by(&process);
    }
    let run_dir = run_dir::of(store.data_dir(), &process);
    let run_dir = run_dir.as_ref();
    let read_or_terminate = || -> io::Result<_> {
        let exit = run_dir.map_or(Ok(None), RunDir::read_exit)?;
        if exit.is_none() && belongs_to(store, &process)? {
            terminate_rest(&process, run_dir, terminate::LEFTOVER_GRACE, || false)?;
        }
        Ok(exit)
    };
    let Ok(observed) = read_or_terminate() else { return Ok(None) };
    complete(store, process, run_dir, observed).map(Some)
}

/// Returns a process with its exit if it is over, even if no rigup has completed its record yet. Stores nothing.
pub(crate) fn as_found(store: &Store, process: Process) -> Process {
    if process.exit().is_some() || !matches!(read_if_lost(store, &process), Ok(Some(_))) {
        return process;
    }
    let run_dir = run_dir::of(store.data_dir(), &process);
    let observed = run_dir.as_ref().and_then(|run_dir| run_dir.read_exit().ok().flatten());
    process.into_exited(observed.unwrap_or_else(|| unobserved_exit(run_dir.as_ref())))
}

/// Returns the exit of a process that no process observed.
fn unobserved_exit(run_dir: Option<&RunDir>) -> ProcessExit {
    let exit = ProcessExit::lost(clock::now());
    let reason = run_dir.map_or(exit.reason, |run_dir| run_dir.exit_reason(&exit));
    ProcessExit { reason, ..exit }
}

/// Returns whether a rigup or a waiter will record the exit of a process that has not exited according to its record, or
/// whether the process still lives.
pub(crate) fn is_supervised(store: &Store, process: &Process) -> io::Result<bool> {
    let is_own = belongs_to(store, process)?;
    let run_dir = run_dir::of(store.data_dir(), process);
    match run_dir.as_ref().map_or(Ok(None), RunDir::is_locked)? {
        Some(true) => Ok(true),
        // A hook belongs to its rigup, which also completes the record if a waiter was killed.
        _ if is_own && process.spec.process_type == ProcessType::Hook => {
            process.parent_id.map_or(Ok(false), |id| lock::is_process_locked(store.data_dir(), id))
        }
        _ if process.running().is_none() && is_own => Ok(false),
        // Its run may have removed the lock.
        _ => Ok(is_alive(process)? || tree::find_waiter(process.id)?.is_some()),
    }
}

/// Stores and returns the record of a process that no rigup or waiter supervises any more, with the exit that was observed.
/// While the disk is full, the exit may be in the run dir alone. If there is none, the process is lost or, if a stop was requested, stopped without an exit code.
pub(crate) fn complete(
    store: &Store,
    process: Process,
    run_dir: Option<&RunDir>,
    observed: Option<ProcessExit>,
) -> Result<Process, StoreError> {
    let is_observed = observed.is_some();
    let exit = observed.unwrap_or_else(|| unobserved_exit(run_dir));
    let Some(run_dir) = run_dir else {
        let process = process.into_exited(exit);
        return store.save_process(&process).map(|()| process);
    };
    let exit = run_dir.add_logs(exit, process.spec.process_type);
    let mut process = process.into_exited(exit);
    process.warnings.extend(run_dir.read_warnings().texts());
    process.warnings.extend(run_dir.removal_warning());
    // The record matters more than the files in the run dir.
    let is_written = is_observed || run_dir.write_exit(&process).is_ok();
    let _ = run_dir.remove_pid();
    run_dir.remove_temporary_files();
    match store.save_process(&process) {
        // The next command stores what is in the run dir.
        Err(StoreError::Full(_)) if is_written => Ok(process),
        saved => saved.map(|()| process),
    }
}

/// Returns whether a process that has not exited belongs to this data dir, which may have been moved, and not to one that
/// this one is a copy of. Only then may it be signalled. A rigup holds a lock in its own data dir until its exit is
/// recorded; the record of any other process has the id of its data dir.
pub(crate) fn belongs_to(store: &Store, process: &Process) -> io::Result<bool> {
    match process.spec.process_type {
        ProcessType::Cli => lock::is_process_locked(store.data_dir(), process.id),
        _ => Ok(!process.data_dir_id.is_empty() && process.data_dir_id == store.data_dir_id()),
    }
}

/// Returns whether a process lives, but works in another data dir, of which this one is a copy.
pub(crate) fn is_elsewhere(store: &Store, process: &Process) -> Result<bool, StoreError> {
    // A rigup releases its lock after it has stored its exit, which may have happened since the record was read.
    let has_exited = || Ok(store.process(process.id)?.is_none_or(|process| process.exit().is_some()));
    let is_elsewhere = || io::Result::Ok(!belongs_to(store, process)? && is_alive(process)?);
    // What cannot be examined may be here.
    Ok(is_elsewhere().unwrap_or(false) && !has_exited()?)
}

/// Returns whether a process that has not exited according to its record lives, in whichever data dir it works.
pub(crate) fn is_alive(process: &Process) -> io::Result<bool> {
    Ok(match process.state {
        ProcessState::Queued => !tree::find_by_id(process.id)?.is_empty(),
        _ => handle::find_running(process)?.is_some(),
    })
}

/// Terminates the programs whose output a rigup captured that is gone, such as one that it probed: they have no record.
fn terminate_captured_by(rigup: &Process) {
    let Some(running) = rigup.running().filter(|running| running.identity.boot_id == *BOOT_ID) else {
        return;
    };
    terminate::terminate_leftovers(None, || tree::find_captured_by(&running.identity).unwrap_or_default());
}

/// Terminates the remaining processes of a tree that no rigup supervises. If its root exited by itself, processes that left
/// its group keep running, as after every exit; not if its rigup or waiter was killed while it terminated the tree.
pub(crate) fn terminate_rest(
    process: &Process,
    run_dir: Option<&RunDir>,
    grace: Duration,
    is_urgent: impl Fn() -> bool,
) -> io::Result<()> {
    // Without these descriptors, a process would count as gone.
    for descriptor in [(); 4].map(|()| File::open("/dev/null")) {
        descriptor?;
    }
    if let Some(root) = Handle::open_running(process)? {
        terminate::terminate_tree(Signal::TERM, process.id, &root, grace, is_urgent);
    } else {
        // Its rigup may have been killed between starting and recording the process.
        let is_stopped = run_dir.is_some_and(RunDir::is_stop_requested);
        let group = process.running().map(|running| running.identity.pid).filter(|_| !is_stopped);
        terminate::terminate_leftovers(None, || {
            let mut found = tree::find_by_id(process.id).unwrap_or_default();
            found.retain(|entry| group.is_none_or(|group| entry.pgid == group));
            found
        });
    }
    Ok(())
}
