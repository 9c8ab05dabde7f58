//! Finds recorded processes, and waits for them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::engine::error::EngineError;
use crate::engine::session::Session;
use crate::install::plan;
use crate::model::secret::MASKED;
use crate::model::{Process, ProcessId, ProcessType};
use crate::plugin::hook_name::{BINARY_REQUEST, HookName};
use crate::process::handle::{self, Handle};
use crate::process::run_dir::RunDir;
use crate::process::{poll, recover};
use crate::report::short_id::short_ids;
use crate::report::text;
use crate::runs::start::{RESERVED, Slug};
use crate::settings::Settings;
use crate::shell;
use crate::store::{Lookup, ProcessFilter, Store};

/// The time between two reads of a record if rigup cannot wait for its process.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The maximum number of digits of a pid on Linux, where the largest pid is 4,194,304. A table shows at least eight
/// characters of an id, so no short id is taken for a pid.
const MAX_PID_DIGITS: usize = 7;

/// How many columns of a command are shown with an ambiguous id.
const TITLE_COLUMNS: usize = 40;

/// Returns the process with this pid or id. A number of at most 7 digits is the pid of the process that runs now, or
/// else of the newest record with it. Only if there is none, or for any other text, this is an id or a unique prefix or
/// suffix of one.
pub(crate) fn find(store: &Store, typed: &str) -> Result<Process, EngineError> {
    lookup(store, typed)?.ok_or_else(|| not_found(typed))
}

/// Returns the process with this pid or id as [`find`] does, or `None` if there is none.
pub(crate) fn lookup(store: &Store, typed: &str) -> Result<Option<Process>, EngineError> {
    if let Some(pid) = parse_pid(typed)
        && let Some(process) = find_by_pid(store, pid)?
    {
        return Ok(Some(process));
    }
    match store.find_process(typed)? {
        Lookup::Found(process) => Ok(Some(process)),
        Lookup::NotFound => Ok(None),
        Lookup::Ambiguous { count, newest } => {
            let ids = short_ids(newest.iter().map(|process| process.id));
            let mut candidates: Vec<String> = newest
                .iter()
                .zip(ids)
                .map(|(process, id)| format!("{id} ({})", text::cut_end(&process.title(), TITLE_COLUMNS)))
                .collect();
            let others = count - newest.len() as u64;
            candidates.extend((others > 0).then(|| format!("{others} more")));
            Err(EngineError::NotFound(format!(
                "{typed} matches {count} ids: {}; type more characters",
                text::list(&candidates, candidates.len())
            )))
        }
    }
}

/// Returns the pid that a text is. An id may begin with 0, but a pid does not.
fn parse_pid(typed: &str) -> Option<u32> {
    let is_pid = typed.len() <= MAX_PID_DIGITS
        && typed.bytes().all(|byte| byte.is_ascii_digit())
        && !typed.starts_with('0');
    typed.parse().ok().filter(|_| is_pid)
}

/// Returns the process that runs now with this pid, or else the newest record with it.
fn find_by_pid(store: &Store, pid: u32) -> Result<Option<Process>, EngineError> {
    let with_pid = |is_live, limit| {
        store.processes(&ProcessFilter { pid: Some(pid), is_live, limit, ..ProcessFilter::default() })
    };
    let runs = |process: &Process| matches!(handle::find_running(process), Ok(Some(_)));
    // A process that is recorded as running may be lost.
    let mut recorded = with_pid(true, None)?;
    if let Some(at) = recorded.iter().position(runs) {
        return Ok(Some(recorded.swap_remove(at)));
    }
    let limit = u32::try_from(recorded.len() + 1).ok();
    Ok(with_pid(false, limit)?.into_iter().max_by_key(|process| (process.created_at, process.id)))
}

/// Returns the error for an unknown process id or pid.
pub(crate) fn not_found(typed: &str) -> EngineError {
    let noun = if parse_pid(typed).is_some() { "pid or id" } else { "id" };
    EngineError::NotFound(format!(
        "no process has the {noun} {}; `rigup process list` shows the ids",
        shell::quote_text(typed)
    ))
}

/// The processes that a command names.
#[derive(Debug, Default)]
pub(crate) struct FoundProcesses {
    /// The processes, each once.
    pub processes: Vec<Process>,
    /// The errors for ids that name no process of this machine and data dir.
    pub errors: Vec<EngineError>,
}

/// Returns the processes with these ids or pids. Rejects a process that runs on another machine or belongs to another
/// data dir, because its exit will not be recorded here.
pub(crate) fn find_all(session: &Session<'_>, ids: &[String]) -> Result<FoundProcesses, EngineError> {
    let mut found = FoundProcesses::default();
    for id in ids {
        match find(&session.store, id).and_then(|process| check_observable(session, process)) {
            Ok(process) if found.processes.iter().any(|known| known.id == process.id) => {}
            Ok(process) => found.processes.push(process),
            Err(error @ EngineError::NotFound(_)) => found.errors.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn check_observable(session: &Session<'_>, process: Process) -> Result<Process, EngineError> {
    let rejected = |reason| Err(EngineError::NotFound(format!("process {} {reason}", process.id)));
    if process.exit().is_none() && process.machine_id != session.machine.id {
        return rejected("runs on another machine");
    }
    if process.exit().is_none() && recover::is_elsewhere(&session.store, &process)? {
        return rejected("belongs to another data dir, of which this one is a copy; use that one");
    }
    Ok(process)
}

/// Returns the live processes of this machine and data dir with this slug and of this type, without those that this
/// command runs in.
pub(crate) fn find_live(
    session: &Session<'_>,
    slug: Option<Slug>,
    process_type: Option<ProcessType>,
) -> Result<Vec<Process>, EngineError> {
    let store = &session.store;
    let machine_id = Some(session.machine.id);
    let slug = slug.map(|slug| slug.to_string());
    let filter = ProcessFilter { slug, process_type, machine_id, is_live: true, ..ProcessFilter::default() };
    let callers = match session.settings.parent_process {
        Some(id) => store.process_with_ancestors(id)?,
        None => Vec::new(),
    };
    let mut live = store.processes(&filter)?;
    live.retain(|process| callers.iter().all(|caller| caller.id != process.id));
    let mut here = Vec::new();
    for process in live {
        if !recover::is_elsewhere(store, &process)? {
            here.push(process);
        }
    }
    Ok(here)
}

/// A recorded command, to run it again.
#[derive(Debug)]
pub(crate) struct RecordedCommand {
    /// The process.
    pub(super) id: ProcessId,
    /// The program and its arguments.
    pub(super) words: Vec<String>,
    /// The working directory.
    pub(super) pwd: PathBuf,
    /// The variables that rigup added, except for those that it sets for each process, and for secrets.
    pub(super) variables: Vec<(String, OsString)>,
    /// The file with the standard input of a hook, if it had one.
    pub(super) input: Option<PathBuf>,
    /// The plugin of a hook; empty for other processes.
    pub(super) plugin: String,
    /// The file name of a hook; empty for other processes.
    pub(super) hook_name: String,
    /// Whether it is the hook of a provider that installs into LIB_DIR.
    pub(super) installs: bool,
}

/// Returns the command of a process. Fails for a command of rigup, if a secret that the command had is not in the
/// caller's environment, because no record has its value, and if the file with its standard input was removed.
pub(crate) fn recorded_command(
    process: &Process,
    store: &Store,
    settings: &Settings,
) -> Result<RecordedCommand, EngineError> {
    let Process { id, spec, .. } = process;
    let problem = |reason: String| EngineError::NotFound(format!("cannot replay process {id}: {reason}"));
    if spec.process_type == ProcessType::Supervisord {
        return Err(problem("it is a supervisor; start one with `rigup up -d`".to_owned()));
    }
    if !spec.process_type.is_replayable() {
        let arguments = shell::quote_command(spec.cmd.get(1..).unwrap_or_default());
        return Err(problem(format!("it is a command of rigup; run `rigup {arguments}`")));
    }
    if spec.cmd.is_empty() {
        return Err(problem("its record has no command".to_owned()));
    }
    let (secrets, variables): (Vec<_>, Vec<_>) = spec
        .env
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_str()?)))
        .partition(|(_, value)| *value == MASKED);
    let is_unset = |name: &&String| settings.command_environment.get(name).is_none();
    let missing: Vec<&String> = secrets.into_iter().map(|(name, _)| name).filter(is_unset).collect();
    if !missing.is_empty() {
        return Err(problem(format!(
            "no record has the values of its secrets; set {}",
            text::list(&missing, missing.len())
        )));
    }
    let hook = replayed_hook(process, store)?;
    let name = hook.as_ref().and_then(|hook| HookName::parse(&hook.spec.hook_name));
    let variables = variables.into_iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    let input = spec.run_dir.as_ref().map(|path| RunDir::at(path).input()).filter(|file| file.is_file());
    if input.is_none()
        && let (Some(hook), Some(name)) = (&hook, &name)
        && let Some(command) = command_with_input(hook, name, store)?
    {
        return Err(problem(format!("its recorded standard input was removed; run `rigup {command}`")));
    }
    Ok(RecordedCommand {
        id: *id,
        words: spec.cmd.clone(),
        pwd: spec.pwd.clone(),
        variables: variables.map(|(name, value)| (name.clone(), value.into())).collect(),
        input,
        plugin: spec.plugin.clone(),
        hook_name: spec.hook_name.clone(),
        installs: hook.is_some_and(|hook| hook.spec.plugin != plan::ENV)
            && name.is_some_and(|name| name.event == BINARY_REQUEST),
    })
}

/// Returns the hook that a process is or, if it is a replay, that it repeats; `None` if that is no hook.
fn replayed_hook(process: &Process, store: &Store) -> Result<Option<Process>, EngineError> {
    let lineage = store.process_with_ancestors(process.id)?;
    let mut repeated = lineage.into_iter().take_while(|ancestor| ancestor.spec.cmd == process.spec.cmd);
    Ok(repeated.find(|ancestor| ancestor.spec.process_type == ProcessType::Hook))
}

/// Returns the arguments of the rigup that gave a hook a standard input: a batch hook always has one, and a foreground hook
/// of an event if that rigup had `--stdin`.
fn command_with_input(hook: &Process, name: &HookName, store: &Store) -> Result<Option<String>, EngineError> {
    let parent = hook.parent_id.map(|id| store.process(id)).transpose()?.flatten();
    let words = parent.map(|parent| parent.spec.cmd).unwrap_or_default();
    let has_option = || name.background.is_none() && words.iter().any(|word| word == "--stdin");
    let has_input = name.is_batch || has_option();
    Ok(has_input.then(|| shell::quote_command(words.get(1..).unwrap_or_default())))
}

/// Splits processes into those that can be terminated at the same time, and those that an ancestor of them among the
/// others terminates first. A run is independent of its ancestors: it outlives them.
pub(crate) fn split_dependent(
    store: &Store,
    processes: Vec<Process>,
) -> Result<(Vec<Process>, Vec<Process>), EngineError> {
    let ids: HashSet<ProcessId> = processes.iter().map(|process| process.id).collect();
    let (mut independent, mut dependent) = (Vec::new(), Vec::new());
    for process in processes {
        let lineage = store.process_with_ancestors(process.id)?;
        let own = lineage.iter().position(|one| one.spec.run.is_some()).unwrap_or(lineage.len());
        let mut ancestors = lineage.iter().take(own + 1).skip(1);
        let is_dependent = ancestors.any(|ancestor| ids.contains(&ancestor.id));
        if is_dependent { &mut dependent } else { &mut independent }.push(process);
    }
    Ok((independent, dependent))
}

/// Returns processes with all their descendants, each once.
pub(crate) fn with_descendants(store: &Store, mut queue: Vec<Process>) -> Result<Vec<Process>, EngineError> {
    let mut seen: HashSet<ProcessId> = HashSet::new();
    let mut all = Vec::new();
    while let Some(process) = queue.pop() {
        if seen.insert(process.id) {
            queue.extend(store.process_children(process.id)?);
            all.push(process);
        }
    }
    Ok(all)
}

/// Waits until the exit of a process is recorded. If the deadline passes first, the returned process has no exit.
pub(crate) fn wait(
    store: &Store,
    mut process: Process,
    deadline: Option<Instant>,
) -> Result<Process, EngineError> {
    loop {
        if process.exit().is_none()
            && let Some(completed) = recover::recover_if_lost(store, &process)?
        {
            return Ok(completed);
        }
        let now = Instant::now();
        if process.exit().is_some() || deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(process);
        }
        match Handle::open_running(&process) {
            // After this time at the latest, rigup checks whether a process without a waiter has vanished.
            Ok(Some(handle)) => {
                let wake_up = now + 50 * POLL_INTERVAL;
                poll::readable([handle.fd()], deadline.map_or(wake_up, |deadline| deadline.min(wake_up)));
            }
            _ => poll::pause(now + POLL_INTERVAL),
        }
        process = store.process(process.id)?.unwrap_or(process);
    }
}
