//! The times of a command and of the hooks that it started.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;

use crate::model::{Process, ProcessId, ProcessType};
use crate::plugin::hook_name::{self, HookName};
use crate::report::timings::{AttemptTiming, HookTiming, TimedCommand};
use crate::shell;
use crate::store::{Store, StoreError};

/// Returns the hooks that a process started, with their attempts. The time of a hook includes that of the hooks that it
/// started. `as_of_now` returns a recorded hook as it is now.
pub(crate) fn hooks(
    store: &Store,
    parent_id: ProcessId,
    now: Timestamp,
    as_of_now: impl Fn(Process) -> Process,
) -> Result<Vec<HookTiming>, StoreError> {
    let mut attempts: HashMap<ProcessId, Vec<AttemptTiming>> = HashMap::new();
    for stored in store.attempts_of_children(parent_id)? {
        let attempt = stored.attempt;
        if let Some(process_id) = attempt.process_id {
            let (outcome, reason) = (attempt.outcome, attempt.reason);
            let timing = AttemptTiming { binary: stored.binary, outcome, reason, at: stored.at };
            attempts.entry(process_id).or_default().push(timing);
        }
    }
    let mut hooks = store.process_children(parent_id)?;
    hooks.retain(|process| process.spec.process_type == ProcessType::Hook);
    Ok(hooks
        .into_iter()
        .map(|hook| {
            let hook = as_of_now(hook);
            let attempts = attempts.remove(&hook.id).unwrap_or_default();
            HookTiming::of(&hook, is_of_event(&hook), attempts, now)
        })
        .collect())
}

/// Whether a hook is that of an event, and not that of a provider.
fn is_of_event(process: &Process) -> bool {
    HookName::parse(&process.spec.hook_name).is_some_and(|hook| !hook_name::is_of_provider(&hook.event))
}

/// Returns the times of a recorded command. That of a running command ends at `now`.
pub(crate) fn command(process: &Process, now: Timestamp) -> TimedCommand {
    let ended = process.exit().map_or(now, |exit| exit.ended_at);
    let started = process.running().map_or(ended, |running| running.started_at).min(ended);
    TimedCommand { command_line: recorded_command_line(process), started, ended }
}

/// Returns the command line of a recorded command of rigup. The record of a command that rigup ran has the words of that alone.
fn recorded_command_line(process: &Process) -> String {
    let words = &process.spec.cmd;
    let options = match (process.spec.process_type, &process.spec.run) {
        (ProcessType::Binary, None) => vec!["rigup", "exec", "--"],
        (ProcessType::Binary, Some(run)) => vec!["rigup", "start", "--slug", &run.slug, "--"],
        _ => return command_line(words.clone()),
    };
    let words: Vec<String> = options.into_iter().map(str::to_owned).chain(words.iter().cloned()).collect();
    shell::quote_command(&words)
}

/// Returns the command line of these words, with the program's name instead of its path.
pub(crate) fn command_line(mut words: Vec<String>) -> String {
    if let Some(program) = words.first_mut() {
        *program = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    shell::quote_command(&words)
}
