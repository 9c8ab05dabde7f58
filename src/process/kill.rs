//! Terminating a recorded process that another rigup started.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::model::{Process, ProcessState, ProcessType};
use crate::process::handle::{self, Handle};
use crate::process::run_dir::RunDir;
use crate::process::system::ProcessEntry;
use crate::process::{poll, recover, terminate, tree};
use crate::store::{Store, StoreError};

/// How long a rigup or waiter may take to store the exit of its process.
const STORE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a rigup that was interrupted twice may take: it kills its children and stores their exits.
const URGENT_PATIENCE: Duration = Duration::from_secs(4);
/// The pause between two looks at the store.
const RETRY: Duration = Duration::from_millis(10);

/// The outcome of terminating a process.
#[derive(Debug)]
pub(crate) enum KillOutcome {
    /// It exited; its record says how.
    Exited(Box<Process>),
    /// It had exited before.
    AlreadyExited,
    /// It is recorded, and its rigup has not started it yet.
    NotStarted,
    /// These processes could not be terminated.
    Survived(Vec<ProcessEntry>),
}

/// Terminates a process: it and all processes that carry its id are sent the signal, and KILL after the grace period. A
/// rigup is sent the signal alone, and terminates its children itself. The process counts as exited only when it is gone and
/// its exit is stored.
pub(crate) fn kill(
    store: &Store,
    process: &Process,
    signal: Signal,
    grace: Duration,
) -> Result<KillOutcome, StoreError> {
    let running = match &process.state {
        ProcessState::Exited(..) => return Ok(KillOutcome::AlreadyExited),
        ProcessState::Queued if recover::recover_if_lost(store, process)?.is_none() => {
            return Ok(KillOutcome::NotStarted);
        }
        ProcessState::Queued => return await_stored_exit(store, process),
        ProcessState::Running(running) => running,
    };
    if let Some(root) = Handle::open(&running.identity) {
        // The process's rigup or waiter has to know that this exit was requested. If the run dir cannot be written, the
        // process is terminated all the same.
        let _ = process.spec.run_dir.as_deref().map(|run_dir| RunDir::at(run_dir).request_stop());
        let survivors = if process.spec.process_type == ProcessType::Cli {
            terminate_rigup(&root, signal, grace)
        } else {
            terminate::terminate_tree(signal, process.id, &root, grace, None)
        };
        if !survivors.is_empty() {
            return Ok(KillOutcome::Survived(survivors));
        }
    }
    await_stored_exit(store, process)
}

/// Sends a signal to a process and its group without waiting, and returns whether the process was running.
pub(crate) fn signal(process: &Process, signal: Signal) -> bool {
    let ProcessState::Running(running) = &process.state else { return false };
    let Some(root) = Handle::open(&running.identity) else { return false };
    if process.spec.process_type != ProcessType::Cli {
        let members = tree::find(process.id, root.entry).in_group;
        for member in members.iter().filter_map(Handle::open_entry) {
            member.signal(signal);
        }
    }
    root.signal(signal)
}

/// Signals a rigup, then once more, on which it kills its children at once, and then kills it.
fn terminate_rigup(root: &Handle, signal: Signal, grace: Duration) -> Vec<ProcessEntry> {
    for (signal, patience) in
        [(signal, grace + terminate::GRACE), (Signal::TERM, URGENT_PATIENCE), (Signal::KILL, URGENT_PATIENCE)]
    {
        root.signal(signal);
        if let [true] = poll::readable([root.fd()], Instant::now() + patience) {
            return Vec::new();
        }
    }
    vec![root.entry]
}

/// Waits until the exit of a process that is gone is stored, and stores it if no rigup or waiter is left to do so.
fn await_stored_exit(store: &Store, process: &Process) -> Result<KillOutcome, StoreError> {
    let deadline = Instant::now() + STORE_PATIENCE;
    loop {
        let now = store.process(process.id)?.unwrap_or_else(|| process.clone());
        let recovered = if now.exit().is_some() { None } else { recover::recover_if_lost(store, &now)? };
        let now = recovered.unwrap_or(now);
        if now.exit().is_some() {
            return Ok(KillOutcome::Exited(Box::new(now)));
        }
        if Instant::now() >= deadline {
            let root = now.running().and_then(|running| handle::find(&running.identity));
            return Ok(KillOutcome::Survived(root.into_iter().collect()));
        }
        poll::pause(Instant::now() + RETRY);
    }
}
