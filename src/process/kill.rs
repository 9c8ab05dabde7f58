//! Ending a recorded process that another rigup started.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::model::process::{Process, ProcessState, ProcessType};
use crate::process::handle::{self, Handle};
use crate::process::run_dir::RunDir;
use crate::process::system::ProcessEntry;
use crate::process::tree;
use crate::process::{poll, recover, terminate};
use crate::store::{Store, StoreError};

/// How long whoever sees a process out may take to write down its ending.
const NOTE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a rigup that was asked twice may take: it kills its children and notes their endings.
const URGENT_PATIENCE: Duration = Duration::from_secs(4);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// What became of a process that should end.
#[derive(Debug)]
pub enum Killed {
    /// It is over; how, stands in its record.
    Over(Box<Process>),
    /// It was over before.
    WasOver,
    /// It is recorded, and its rigup has not started it yet.
    NotStarted,
    /// These could not be ended.
    Survived(Vec<ProcessEntry>),
}

/// Ends a process: it and all that carries its id get the signal, and KILL after the grace. A run of rigup itself gets
/// the signal alone, and ends its children. The process counts as over only when it is gone and its ending is stored.
pub fn kill(store: &Store, process: &Process, signal: Signal, grace: Duration) -> Result<Killed, StoreError> {
    let running = match &process.state {
        ProcessState::Exited(..) => return Ok(Killed::WasOver),
        ProcessState::Queued if recover::finish_if_lost(store, process)?.is_none() => {
            return Ok(Killed::NotStarted);
        }
        ProcessState::Queued => return settle(store, process),
        ProcessState::Running(running) => running,
    };
    if let Some(root) = Handle::open(&running.identity) {
        // Whoever sees it out must know that it was asked to end. A run dir that cannot be written is no reason to let
        // it live.
        let run_dir = process.spec.run_dir.as_deref().map(RunDir::at);
        let _ = run_dir.as_ref().map(RunDir::write_stop);
        let left = if process.spec.process_type == ProcessType::Cli {
            end_rigup(&root, signal, grace)
        } else {
            terminate::end_tree_by(signal, process.id, &root, grace)
        };
        if !left.is_empty() {
            return Ok(Killed::Survived(left));
        }
    }
    settle(store, process)
}

/// Sends a signal to a process and its group, and waits for nothing. False where it is over.
pub fn signal(process: &Process, signal: Signal) -> bool {
    let ProcessState::Running(running) = &process.state else { return false };
    let Some(root) = Handle::open(&running.identity) else { return false };
    if process.spec.process_type != ProcessType::Cli {
        let members = tree::tree(process.id, root.entry).in_group;
        for member in members.iter().filter_map(Handle::of) {
            member.signal(signal);
        }
    }
    root.signal(signal)
}

/// Asks a rigup to end, then once more, which makes it kill its children at once, and then kills it.
fn end_rigup(root: &Handle, signal: Signal, grace: Duration) -> Vec<ProcessEntry> {
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

/// Waits for the ending of a process that is gone to be stored; where nobody is left to do it, it is done here.
fn settle(store: &Store, process: &Process) -> Result<Killed, StoreError> {
    let deadline = Instant::now() + NOTE_PATIENCE;
    loop {
        let now = store.process(process.id)?.unwrap_or_else(|| process.clone());
        if now.exit().is_some() {
            return Ok(Killed::Over(Box::new(now)));
        }
        if let Some(finished) = recover::finish_if_lost(store, &now)? {
            return Ok(Killed::Over(Box::new(finished)));
        }
        if Instant::now() >= deadline {
            let root = now.running().and_then(|it| handle::find(&it.identity));
            return Ok(Killed::Survived(root.into_iter().collect()));
        }
        poll::pause(Instant::now() + LOOK);
    }
}
