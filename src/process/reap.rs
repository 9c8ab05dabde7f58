//! Finishing the stories of processes that a crashed rigup left behind.

use uuid::Uuid;

use crate::clock;
use crate::process::run_dir::RunDir;
use crate::process::{identity, stop};
use crate::record::process::{Ending, Process, ProcessType, State};
use crate::store::{Store, StoreError};

/// Ends and finishes what is recorded as queued or running while its rigup is gone: a hook whose rigup was killed is
/// ended with its tree and recorded with the code that stands in its run dir, else as lost. Gives back what was finished.
pub fn finish_lost(store: &Store, machine_id: Uuid) -> Result<Vec<Process>, StoreError> {
    let open = store.running_processes(machine_id)?;
    let mut finished = Vec::new();
    for process in &open {
        if has_living_rigup(process, &open) {
            continue;
        }
        let run_dir = process.order.run_dir.as_deref().map(RunDir::at);
        let seen = run_dir.as_ref().and_then(RunDir::read_exit);
        if seen.is_none() {
            end(process);
        }
        let lost = || {
            let lost = Ending::lost(clock::now());
            match &run_dir {
                Some(run_dir) => run_dir.with_logs(lost),
                None => lost,
            }
        };
        let process = process.clone().ended(seen.unwrap_or_else(lost));
        store.save_process(&process)?;
        finished.push(process);
    }
    Ok(finished)
}

/// Ends what is left of a process. Where its root ended by itself, what left its group may go on, as ever.
fn end(process: &Process) {
    match &process.state {
        State::Running(running) => match identity::find(&running.identity) {
            Some(root) => stop::end_tree(process.id, root, stop::LEFTOVER_GRACE, None),
            None => stop::end_marked(process.id, Some(running.identity.pid)),
        },
        // Its rigup may have been killed between the start and the note of it.
        State::Queued => stop::end_marked(process.id, None),
        State::Exited(..) => Vec::new(),
    };
}

/// Whether somebody lives who sees this process out: a command line its own process, a hook its parent's.
fn has_living_rigup(process: &Process, open: &[Process]) -> bool {
    let rigup = match process.order.process_type {
        ProcessType::Hook => open.iter().find(|it| Some(it.id) == process.parent_id),
        _ => Some(process),
    };
    rigup.and_then(Process::running).is_some_and(|it| identity::find(&it.identity).is_some())
}
