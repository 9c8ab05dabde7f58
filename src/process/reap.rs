//! Finishing the stories of processes that a crashed rigup left behind.

use std::time::Duration;

use uuid::Uuid;

use crate::clock;
use crate::process::run_dir::RunDir;
use crate::process::{identity, stop};
use crate::record::process::{Ending, Process, ProcessType, State};
use crate::store::{Store, StoreError};

/// Ends and finishes what is recorded as queued or running while its rigup is gone: a hook whose rigup was killed is
/// ended with its tree and recorded with the code it left in its run dir, else as lost. Gives back what was finished.
pub fn finish_lost(store: &Store, machine_id: Uuid) -> Result<Vec<Process>, StoreError> {
    let open = store.running_processes(machine_id)?;
    let mut finished = Vec::new();
    for process in &open {
        if has_living_rigup(process, &open) {
            continue;
        }
        if let State::Running(running) = &process.state
            && let Some(root) = identity::find(&running.identity)
        {
            stop::end_tree(process.id, root, Duration::from_secs(1), None);
        }
        let seen = process.order.run_dir.as_deref().and_then(|path| RunDir::at(path).read_exit());
        let process = process.clone().ended(seen.unwrap_or_else(|| Ending::lost(clock::now())));
        store.save_process(&process)?;
        finished.push(process);
    }
    Ok(finished)
}

/// Whether somebody lives who sees this process out: a command line its own process, a hook its parent's.
fn has_living_rigup(process: &Process, open: &[Process]) -> bool {
    let rigup = match process.order.process_type {
        ProcessType::Hook => open.iter().find(|it| Some(it.id) == process.parent_id),
        _ => Some(process),
    };
    rigup.and_then(Process::running).is_some_and(|it| identity::find(&it.identity).is_some())
}
