//! What `rigup report` shows of a data dir.

use jiff::Timestamp;

use crate::clock;
use crate::engine::command_timings;
use crate::engine::current_processes::CurrentProcesses;
use crate::engine::daemons;
use crate::engine::error::EngineError;
use crate::install::status;
use crate::model::{Attempt, Binary, Process, ProcessType};
use crate::report::log_text::last_bytes;
use crate::report::overview::{MAX_LOG, MissingBinary, Overview, RecentCommand};
use crate::report::timings::Timings;
use crate::settings::Settings;
use crate::sorting::sort_by_key;
use crate::store::{BinaryFilter, ProcessFilter, Store, StoreError};

// So that a browser can show the page, it has at most this many binaries, commands, hooks of all commands together, and
// attempts of each binary.
const MAX_BINARIES: usize = 500;
const MAX_COMMANDS: u32 = 20;
const MAX_HOOKS: usize = 500;
const MAX_ATTEMPTS: usize = 6;

/// Returns what a data dir contains; without a store, nothing.
pub(crate) fn read(settings: &Settings, store: Option<&Store>) -> Result<Overview, EngineError> {
    let mut overview = Overview {
        data_dir: settings.data_dir.clone(),
        lib_bin_dir: settings.lib_bin_dir.clone(),
        at: clock::now(),
        installed: Vec::new(),
        missing: Vec::new(),
        binaries_left_out: 0,
        commands: Vec::new(),
        daemons: Vec::new(),
    };
    let Some(store) = store else { return Ok(overview) };
    let mut binaries = store.binaries(&BinaryFilter::default())?;
    // Those that are not installed are never left out for the others.
    sort_by_key(&mut binaries, |binary| binary.installed().is_some());
    overview.binaries_left_out = binaries.len().saturating_sub(MAX_BINARIES);
    binaries.truncate(MAX_BINARIES);
    for binary in binaries {
        match binary.installed() {
            Some(installed) => {
                let is_linked = status::is_linked(&binary.name, installed, settings);
                overview.installed.push((binary, is_linked));
            }
            None => overview.missing.push(missing(store, binary)?),
        }
    }
    overview.commands = commands(&CurrentProcesses::new(store, settings)?, store, overview.at)?;
    overview.daemons = daemons::stored(store)?;
    Ok(overview)
}

fn missing(store: &Store, binary: Binary) -> Result<MissingBinary, StoreError> {
    let mut attempts = store.attempts(binary.id)?;
    attempts.drain(..attempts.len().saturating_sub(MAX_ATTEMPTS));
    attempts.reverse();
    let with_log = |(attempt, at): (Attempt, Timestamp)| {
        let process = attempt.process_id.map(|id| store.readable_process(id)).transpose()?.flatten();
        let log = process.as_ref().and_then(Process::exit).map(|exit| last_bytes(&exit.stderr_tail, MAX_LOG));
        let log = log.unwrap_or_default().trim_end().replace("\r\n", "\n");
        Ok((attempt, at, log))
    };
    let attempts = attempts.into_iter().map(with_log).collect::<Result<_, StoreError>>()?;
    Ok(MissingBinary { binary, attempts })
}

/// Returns the newest commands, newest first: those with a record of their own, and those that `exec` and `start` ran.
fn commands(
    current: &CurrentProcesses<'_>,
    store: &Store,
    now: Timestamp,
) -> Result<Vec<RecentCommand>, StoreError> {
    let mut processes = Vec::new();
    for process_type in [ProcessType::Cli, ProcessType::Binary] {
        let filter = ProcessFilter {
            is_root: true,
            process_type: Some(process_type),
            limit: Some(MAX_COMMANDS),
            ..ProcessFilter::default()
        };
        processes.extend(current.matching(&filter)?.list()?);
    }
    // In each list, the live ones are first.
    sort_by_key(&mut processes, |process| std::cmp::Reverse((process.created_at, process.id)));
    processes.truncate(MAX_COMMANDS as usize);
    let mut left = MAX_HOOKS;
    let mut commands = Vec::new();
    for process in processes {
        let mut hooks = command_timings::hooks(store, process.id, now, |hook| current.now(hook))?;
        let hooks_left_out = hooks.len().saturating_sub(left);
        hooks.truncate(left);
        left -= hooks.len();
        for hook in &mut hooks {
            hook.stdout_tail = last_bytes(&hook.stdout_tail, MAX_LOG).to_owned();
            hook.stderr_tail = last_bytes(&hook.stderr_tail, MAX_LOG).to_owned();
        }
        let timings = Timings::new(command_timings::command(&process, now), hooks);
        commands.push(RecentCommand { process, timings, hooks_left_out });
    }
    Ok(commands)
}
