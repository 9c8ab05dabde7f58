//! Terminating a recorded process that another rigup started.

use std::io;
use std::str::FromStr;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::duration;
use crate::model::{Process, ProcessId, ProcessState, ProcessType};
use crate::process::handle::{self, Handle};
use crate::process::run_dir;
use crate::process::system::ProcessEntry;
use crate::process::{poll, recover, terminate, tree};
use crate::store::{Store, StoreError};

/// How long a rigup or waiter may take to terminate what is left of the tree and to store the exit of its process.
const STORE_PATIENCE: Duration = terminate::GRACE.saturating_add(Duration::from_secs(4));
/// The interval at which the process table is searched for a stopped waiter.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
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
    /// These processes could not be terminated.
    Survived(Vec<ProcessEntry>),
    /// It could not be found, or its exit was not stored.
    Failed(KillError),
}

/// An error that prevents a process from being terminated, or its exit from being recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KillError {
    /// It is recorded, but its rigup has not started it yet.
    #[error("cannot kill process {0}: it has not started yet; kill its parent")]
    NotStarted(ProcessId),
    /// It is a run that its waiter, which has this pid, is starting, or that a rebuild of the store did not recognize.
    #[error(
        "cannot kill process {0}: its record has no pid; terminate it by `kill {1}`, which signals its waiter"
    )]
    Unidentified(ProcessId, u32),
    /// It runs in another container.
    #[error("cannot kill process {0}: it is not visible from here; kill it in the container that it runs in")]
    NotVisible(ProcessId),
    /// The process table or a lock cannot be read.
    #[error("cannot kill process {0}: {1}")]
    Unreadable(ProcessId, io::Error),
    /// Its waiter, which has this pid, is stopped.
    #[error(
        "cannot record the exit of process {0}: its waiter (pid {1}) is stopped; continue it with `kill -CONT {1}`"
    )]
    StoppedWaiter(ProcessId, u32),
    /// Its waiter, which has this pid, is busy, such as while the disk is full.
    #[error(
        "cannot record the exit of process {0}: its waiter (pid {1}) is busy; wait for it with `rigup process wait {0}`"
    )]
    BusyWaiter(ProcessId, u32),
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
    match &process.state {
        ProcessState::Exited(..) => return Ok(KillOutcome::AlreadyExited),
        ProcessState::Queued => return kill_queued(store, process, signal, grace),
        ProcessState::Running(_) => {}
    }
    match open_root(store, process) {
        Ok(Some(root)) => kill_tree(store, process, &root, signal, grace),
        Ok(None) => await_stored_exit(store, process),
        Err(error) => Ok(KillOutcome::Failed(KillError::Unreadable(process.id, error))),
    }
}

/// Terminates a process and everything that it started, as [`kill`] does. Its root was running when it was opened.
pub(crate) fn kill_tree(
    store: &Store,
    process: &Process,
    root: &Handle,
    signal: Signal,
    grace: Duration,
) -> Result<KillOutcome, StoreError> {
    // The request makes the rigup or waiter of the process record the exit as stopped. If it cannot be written to the run
    // dir, the process is terminated nevertheless.
    let _ = run_dir::of(store.data_dir(), process).map(|run_dir| run_dir.request_stop());
    let survivors = if process.spec.process_type == ProcessType::Cli {
        terminate_rigup(root, signal, grace)
    } else {
        terminate::terminate_tree(signal, process.id, root, grace, || false)
    };
    if !survivors.is_empty() {
        return Ok(KillOutcome::Survived(survivors));
    }
    await_stored_exit(store, process)
}

/// Terminates a process that had not started when its record was read, if it has started since.
fn kill_queued(
    store: &Store,
    process: &Process,
    signal: Signal,
    grace: Duration,
) -> Result<KillOutcome, StoreError> {
    let now = match recover::recover_if_lost(store, process)? {
        None => store.process(process.id)?,
        recovered => recovered,
    };
    Ok(match now {
        Some(now) if now.exit().is_some() => KillOutcome::Exited(Box::new(now)),
        Some(now) if now.running().is_some() => return kill(store, &now, signal, grace),
        // A run belongs to its waiter, not to its parent.
        _ if process.spec.run.is_some() => {
            KillOutcome::Failed(match tree::find_waiter(process.id).ok().flatten() {
                Some(waiter) => KillError::Unidentified(process.id, waiter.pid),
                None => KillError::NotVisible(process.id),
            })
        }
        _ => KillOutcome::Failed(KillError::NotStarted(process.id)),
    })
}

/// Opens the running root of a process, or returns `None` if it is gone or belongs to another data dir.
pub(crate) fn open_root(store: &Store, process: &Process) -> io::Result<Option<Handle>> {
    if recover::belongs_to(store, process)? { Handle::open_running(process) } else { Ok(None) }
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
    let Ok(Some(root)) = open_root(store, process) else { return false };
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
    let start = Instant::now();
    let (deadline, mut look_at) = (start + STORE_PATIENCE, start + LOOK_INTERVAL);
    loop {
        let saved = store.process(process.id)?.unwrap_or_else(|| process.clone());
        let recovered = if saved.exit().is_some() { None } else { recover::recover_if_lost(store, &saved)? };
        let saved = recovered.unwrap_or(saved);
        if saved.exit().is_some() {
            return Ok(KillOutcome::Exited(Box::new(saved)));
        }
        let now = Instant::now();
        if now >= look_at {
            look_at = deadline.min(now + LOOK_INTERVAL);
            let failure = match tree::find_waiter(process.id).ok().flatten() {
                Some(waiter) if waiter.is_stopped => Some(KillError::StoppedWaiter(process.id, waiter.pid)),
                _ if now < deadline => None,
                Some(waiter) => Some(KillError::BusyWaiter(process.id, waiter.pid)),
                None if let Ok(Some(root)) = handle::find_running(&saved) => {
                    return Ok(KillOutcome::Survived(vec![root]));
                }
                None => Some(KillError::NotVisible(process.id)),
            };
            if let Some(failure) = failure {
                return Ok(KillOutcome::Failed(failure));
            }
        }
        poll::pause(Instant::now() + RETRY);
    }
}

/// Parses a signal, written as `TERM`, `sigterm` or `15`.
pub(crate) fn parse_signal(text: &str) -> Result<Signal, String> {
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    let number = text.parse().ok().or_else(|| Some(nix::sys::signal::Signal::from_str(&name).ok()? as i32));
    let signal = number.and_then(Signal::from_named_raw);
    signal.ok_or_else(|| "not a signal; use a name such as TERM, or a number".to_owned())
}

/// Returns the names of the signals, without `SIG`.
pub(crate) fn signal_names() -> impl Iterator<Item = &'static str> {
    nix::sys::signal::Signal::iterator().filter_map(|signal| signal.as_str().strip_prefix("SIG"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_signal_by_its_name_and_by_its_number() {
        for text in ["TERM", "sigterm", "15", "SIGTERM"] {
            assert_eq!(parse_signal(text).unwrap(), Signal::TERM, "{text}");
        }
        for text in ["", "TERMINATE", "0", "-9", "999"] {
            assert!(parse_signal(text).is_err(), "{text}");
        }
    }
}
