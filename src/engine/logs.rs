//! The processes whose logs a user asks for.

use std::collections::HashSet;

use crate::engine::error::EngineError;
use crate::engine::processes;
use crate::model::{MachineId, Outcome, Process, ProcessId, ProcessType};
use crate::shell;
use crate::sorting::sort_by_key;
use crate::store::{ProcessFilter, Store};

/// A process whose log is shown, and a note about it.
#[derive(Debug)]
pub(crate) struct Logged {
    /// The process.
    pub process: Process,
    /// Why this is not the process of a binary's last attempt.
    pub note: Option<String>,
}

/// Returns the process with this id or pid, the current or last execution of the daemon with this name, or the process of
/// the last attempt at the binary with it. A name comes before a part of an id, because names such as `fd` and `bc` could
/// be one.
pub(crate) fn find(store: &Store, machine_id: Option<MachineId>, typed: &str) -> Result<Logged, EngineError> {
    let is_whole_id = typed.parse::<ProcessId>().is_ok();
    if !is_whole_id
        && let Some(daemon) = store.daemon(typed)?
        && let Some(process) = daemon.process_id.map(|id| store.process(id)).transpose()?.flatten()
    {
        return Ok(Logged { process, note: None });
    }
    if let Some(machine_id) = machine_id.filter(|_| !is_whole_id)
        && let Some(binary) = store.binary(machine_id, typed)?
    {
        let attempts = store.attempts(binary.id)?;
        let last = attempts.last().map(|(attempt, _)| attempt);
        let started = attempts.iter().rev().find_map(|(attempt, _)| attempt.process_id);
        let reason = match last {
            Some(last) if last.process_id.is_none() => {
                let (provider, outcome) = (&last.provider, last.outcome.verb());
                Some(format!("the last attempt at {typed} ({provider} {outcome}) started no process"))
            }
            _ => None,
        };
        let process = started.map(|id| store.process(id)).transpose()?.flatten();
        return match process {
            Some(process) => {
                let note = reason.map(|reason| format!("{reason}; this is the log of an earlier one"));
                Ok(Logged { process, note })
            }
            None => Err(EngineError::NotFound(reason.unwrap_or_else(|| {
                let shown = shell::quote_text(typed);
                format!("no hook was run for {typed}, so there is no log; `rigup binary show {shown}` shows its record")
            }))),
        };
    }
    match processes::lookup(store, typed)? {
        Some(process) => Ok(Logged { process, note: None }),
        None => Err(not_found(typed)),
    }
}

/// Returns the error for a text that names no process.
pub(crate) fn not_found(typed: &str) -> EngineError {
    EngineError::NotFound(format!(
        "no process has the id {}, and no daemon or binary has that name; `rigup process list` shows the ids",
        shell::quote_text(typed)
    ))
}

/// Returns the last command of rigup that ran hooks, and the processes below it that failed or whose attempts failed,
/// oldest first. Returns `None` if no command is recorded.
pub(crate) fn failures_of_last_command(
    store: &Store,
) -> Result<Option<(Process, Vec<Process>)>, EngineError> {
    let newest = |status: &str| {
        let status = Some(status.to_owned());
        let process_type = Some(ProcessType::Cli);
        store.processes(&ProcessFilter { status, process_type, limit: Some(1), ..ProcessFilter::default() })
    };
    let newest = newest("running")?.into_iter().chain(newest("exited")?);
    let Some(newest) = newest.max_by_key(|command| (command.created_at, command.id)) else { return Ok(None) };
    // A hook may have run this command.
    let lineage = store.process_with_ancestors(newest.id)?;
    let is_command = |process: &Process| process.spec.process_type == ProcessType::Cli;
    let Some(command) = lineage.into_iter().rfind(is_command) else { return Ok(None) };

    let mut descendants = processes::with_descendants(store, vec![command.clone()])?;
    let mut rejected: HashSet<ProcessId> = HashSet::new();
    for command in descendants.iter().filter(|process| is_command(process)) {
        let attempts = store.attempts_of_children(command.id)?.into_iter().map(|named| named.attempt);
        let failed = attempts.filter(|attempt| {
            matches!(attempt.outcome, Outcome::Failed | Outcome::Rejected | Outcome::Timeout)
        });
        rejected.extend(failed.filter_map(|attempt| attempt.process_id));
    }
    descendants
        .retain(|process| !is_command(process) && (process.has_failed() || rejected.contains(&process.id)));
    sort_by_key(&mut descendants, |process| process.id);
    Ok(Some((command, descendants)))
}
