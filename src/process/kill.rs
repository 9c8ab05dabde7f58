//! Terminating a recorded process that another rigup started.

use std::io;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::duration;
use crate::model::{Process, ProcessState, ProcessType, Running};
use crate::process::handle::{self, Handle};
use crate::process::run_dir;
use crate::process::system::ProcessEntry;
use crate::process::{poll, recover, terminate, tree};
use crate::store::{Store, StoreError};

/// How long a rigup or waiter may take to terminate what is left of the tree and to store the exit of its process.
const STORE_PATIENCE: Duration = terminate::GRACE.saturating_add(Duration::from_secs(4));
/// How long a rigup may take after a second interrupt, on which it kills its children and stores their exits.
const URGENT_PATIENCE: Duration = Duration::from_secs(4);
/// The interval at which the store is polled.
const RETRY: Duration = Duration::from_millis(10);

/// The outcome of terminating a process.
#[derive(Debug)]
pub(crate) enum KillOutcome {
    /// It exited, and its record contains the exit.
    Exited(Box<Process>),
    /// It had exited before.
    AlreadyExited,
    /// It is recorded, but its rigup has not started it yet.
    NotStarted,
    /// These processes could not be terminated.
    Survived(Vec<ProcessEntry>),
}

/// Terminates a process and all processes that have its id in their environment: sends them the signal, and KILL after
/// the grace period. If the process is a rigup, sends the signal to it alone, because it terminates its children
/// itself. Returns once the process is gone and its exit is stored, or if that takes too long.
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
    let Ok(root) = find_root(store, process, running) else {
        return Ok(KillOutcome::Survived(Vec::new()));
    };
    if let Some(root) = root {
        // The request makes the rigup or waiter of the process record the exit as stopped. If it cannot be written to
        // the run dir, the process is terminated nevertheless.
        let _ = run_dir::of(store.data_dir(), process).map(|run_dir| run_dir.request_stop());
        let survivors = if process.spec.process_type == ProcessType::Cli {
            terminate_rigup(&root, signal, grace)
        } else {
            terminate::terminate_tree(signal, process.id, &root, grace, || false)
        };
        if !survivors.is_empty() {
            return Ok(KillOutcome::Survived(survivors));
        }
    }
    await_stored_exit(store, process)
}

/// Returns the running root of a process, or `None` if it is gone or belongs to another data dir.
fn find_root(store: &Store, process: &Process, running: &Running) -> io::Result<Option<Handle>> {
    if recover::belongs_to(store, process)? { Handle::open(&running.identity) } else { Ok(None) }
}

/// Terminates several processes at the same time, as [`kill`] does, so that they share one grace period.
pub(crate) fn kill_all(
    store: &Store,
    processes: &[Process],
    signal: Signal,
    grace: Duration,
) -> Vec<Result<KillOutcome, StoreError>> {
    let kill_one = |process| kill(store, process, signal, grace);
    thread::scope(|scope| {
        let start = |process| thread::Builder::new().spawn_scoped(scope, move || kill_one(process));
        let threads: Vec<_> = processes.iter().map(start).collect();
        let wait = |(thread, process): (io::Result<ScopedJoinHandle<'_, _>>, _)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // The limit on threads is reached.
            Err(_) => kill_one(process),
        };
        threads.into_iter().zip(processes).map(wait).collect()
    })
}

/// Sends a signal to a process and its group without waiting, and returns whether the process was running and belongs
/// to this data dir.
pub(crate) fn signal(store: &Store, process: &Process, signal: Signal) -> bool {
    let ProcessState::Running(running) = &process.state else { return false };
    let Ok(Some(root)) = find_root(store, process, running) else { return false };
    if process.spec.process_type != ProcessType::Cli {
        let members = tree::find(process.id, root.entry).in_group;
        for member in members.iter().filter_map(|member| Handle::open_entry(member).ok()?) {
            member.signal(signal);
        }
    }
    root.signal(signal)
}

/// Sends the signal to a rigup, then TERM, on which it kills its children at once, and then KILL. Returns the
/// survivors.
fn terminate_rigup(root: &Handle, signal: Signal, grace: Duration) -> Vec<ProcessEntry> {
    for (signal, patience) in [
        (signal, grace.saturating_add(terminate::GRACE)),
        (Signal::TERM, URGENT_PATIENCE),
        (Signal::KILL, URGENT_PATIENCE),
    ] {
        root.signal(signal);
        if let [true] = poll::readable([root.fd()], duration::deadline(patience)) {
            return Vec::new();
        }
    }
    vec![root.entry]
}

/// Waits until the exit of a process that is gone is stored. Stores it if no rigup or waiter is left to do so.
fn await_stored_exit(store: &Store, process: &Process) -> Result<KillOutcome, StoreError> {
    let deadline = Instant::now() + STORE_PATIENCE;
    loop {
        let saved = store.process(process.id)?.unwrap_or_else(|| process.clone());
        let recovered = if saved.exit().is_some() { None } else { recover::recover_if_lost(store, &saved)? };
        let saved = recovered.unwrap_or(saved);
        if saved.exit().is_some() {
            return Ok(KillOutcome::Exited(Box::new(saved)));
        }
        if Instant::now() >= deadline {
            let root = saved.running().and_then(|running| handle::find(&running.identity).ok()?);
            return Ok(KillOutcome::Survived(root.into_iter().collect()));
        }
        poll::pause(Instant::now() + RETRY);
    }
}
