//! Finishing the stories of processes that a crashed rigup left behind.

use crate::clock;
use crate::model::id::MachineId;
use crate::model::process::{Process, ProcessExit, ProcessState, ProcessType};
use crate::process::handle::{self, Handle};
use crate::process::lock::process_lock;
use crate::process::run_dir::RunDir;
use crate::process::terminate;
use crate::store::{Store, StoreError};

/// Finishes what is recorded as queued or running while nobody is left who sees it out. A hook that its rigup waited
/// for is ended with its tree; what had a waiter of its own goes on without it. The code is that in the run dir;
/// else nobody knows it, and the process is lost. Gives back what was finished.
pub fn finish_lost(store: &Store, machine_id: MachineId) -> Result<Vec<Process>, StoreError> {
    let open = store.unfinished_processes(machine_id)?;
    let mut finished = Vec::new();
    for process in &open {
        if let Some(process) = finish_if_lost(store, process)? {
            finished.push(process);
        }
    }
    Ok(finished)
}

/// Finishes one process, if nobody is left who sees it out.
pub fn finish_if_lost(store: &Store, process: &Process) -> Result<Option<Process>, StoreError> {
    if process.spec.run_dir.is_none() && process_lock::is_held(store.data_dir(), process.id) {
        return Ok(None);
    }
    // Whoever saw it out may have stored its ending since it was read.
    let process = &store.process(process.id)?.unwrap_or_else(|| process.clone());
    if process.exit().is_some() {
        return Ok(None);
    }
    let run_dir = process.spec.run_dir.as_deref().map(RunDir::at);
    let lives = || process.running().is_some_and(|it| handle::find(&it.identity).is_some());
    let goes_on = match run_dir.as_ref().and_then(RunDir::is_held) {
        Some(is_held) => is_held || lives(),
        None if process.spec.process_type == ProcessType::Hook => has_living_rigup(store, process)?,
        None => lives(),
    };
    if goes_on {
        return Ok(None);
    }
    let seen = run_dir.as_ref().and_then(RunDir::read_exit);
    if seen.is_none() {
        end(process);
    }
    let lost = || {
        let lost = ProcessExit::lost(clock::now());
        match &run_dir {
            Some(run_dir) => run_dir.with_logs(lost),
            None => lost,
        }
    };
    let process = process.clone().into_exited(seen.unwrap_or_else(lost));
    if let Some(run_dir) = &run_dir {
        run_dir.tidy();
    }
    store.save_process(&process)?;
    Ok(Some(process))
}

/// Ends what is left of a process. Where its root ended by itself, what left its group may go on, as ever.
fn end(process: &Process) {
    match &process.state {
        ProcessState::Running(running) => match Handle::open(&running.identity) {
            Some(root) => terminate::end_tree(process.id, &root, terminate::LEFTOVER_GRACE, None),
            None => terminate::end_marked(process.id, Some(running.identity.pid)),
        },
        // Its rigup may have been killed between the start and the note of it.
        ProcessState::Queued => terminate::end_marked(process.id, None),
        ProcessState::Exited(..) => Vec::new(),
    };
}

/// Whether the rigup lives that sees this hook out.
fn has_living_rigup(store: &Store, hook: &Process) -> Result<bool, StoreError> {
    let rigup = hook.parent_id.map(|id| store.process(id)).transpose()?.flatten();
    Ok(rigup.is_some_and(|it| it.exit().is_none() && process_lock::is_held(store.data_dir(), it.id)))
}
