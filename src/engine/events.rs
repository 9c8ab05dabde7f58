//! The work of `rigup run`: runs the hooks of events.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::engine::apply::Applier;
use crate::engine::archive_results::ArchiveResults;
use crate::engine::catalog::Catalog;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::event::OnEvent;
use crate::engine::event_request::{EventRequest, EventSummary};
use crate::engine::follow_up::{self, FollowUps, Pending, is_applied};
use crate::engine::followed_events::FollowedEvents;
use crate::engine::install;
use crate::engine::programs::Programs;
use crate::engine::run_event::{FollowEvent, RunEvent};
use crate::engine::session::Session;
use crate::engine::status_check::InstallOptions;
use crate::hook::command::{self, InvalidTimeout, MAX_TIMEOUT};
use crate::hook::event::{self, Event, EventHook, Events, FollowUp};
use crate::hook::reporter::HookEvent;
use crate::model::{PluginName, Policy, ProcessId};
use crate::plugin::config::enabled;
use crate::plugin::config::value::{Setting, Variable};
use crate::plugin::discovery::{Hook, Start};
use crate::plugin::hook_name::{BINARY_REQUEST, Background};
use crate::process::lifetime;
use crate::process::signals::Interrupt;
use crate::settings::{Environment, Settings};

/// The default grace period of a background hook at the end of its event: that of abx-dl, as long as Chrome may take to
/// write its profile.
const BACKGROUND_GRACE: Duration = Duration::from_secs(15);

/// The result of events.
#[derive(Debug)]
pub struct EventReport {
    /// The exit status that `rigup run` ends with.
    pub status: ExitStatus,
    /// What they led to.
    pub summary: EventSummary,
    /// The record of this command.
    pub(crate) command: ProcessId,
}

/// Returns the name of the event whose hooks run at the end of an event.
fn end_of(event: &str) -> String {
    format!("{event}End")
}

/// Whether an enabled plugin has a hook for the event or for its end.
pub(crate) fn has_hooks(catalog: &Catalog, event: &str) -> bool {
    !(enabled_hooks(catalog, event).is_empty() && enabled_hooks(catalog, &end_of(event)).is_empty())
}

/// Returns the hooks of an event that enabled plugins have.
fn enabled_hooks<'c>(catalog: &'c Catalog, event: &str) -> Vec<&'c Hook> {
    let mut hooks = catalog.discovery.hooks_of(event);
    hooks.retain(|hook| catalog.is_enabled(&hook.plugin));
    hooks
}

/// Reads the plugins for a request. Only records that are applied need their requirements.
pub(crate) fn catalog(
    request: &EventRequest,
    settings: &Settings,
    on_event: OnEvent<'_>,
) -> Result<Catalog, EngineError> {
    let read = if request.applies_records { Catalog::read } else { Catalog::find };
    read(settings, &request.plugins, on_event)
}

/// Runs the hooks of the events, the events that their records start, then the hooks of the ends, and calls `on_event` for
/// each of their records, warnings and exits. At the end, calls `on_end`, before the exit of this command is recorded,
/// because a signal counts until then.
pub(crate) fn run(
    session: &Session<'_>,
    catalog: &mut Catalog,
    request: &EventRequest,
    on_event: impl FnMut(RunEvent<'_>),
    on_end: impl FnOnce(&EventSummary),
) -> Result<EventReport, EngineError> {
    let names = request.names()?;
    catalog.apply_machine_config(&session.machine.config);
    let catalog = &*catalog;
    let variables = catalog.variables();
    let programs = Programs::of(session)?;
    let event = |name: &str| {
        let hooks = event_hooks(catalog, name, &variables, request, session, &programs)?;
        Ok(Event { hooks, arguments: arguments(name, request, catalog) })
    };
    let events: Vec<Event<'_>> = names.iter().map(|name| event(name)).collect::<Result<_, EngineError>>()?;
    let ends: Vec<Event<'_>> =
        names.iter().rev().map(|name| event(&end_of(name))).collect::<Result<_, EngineError>>()?;
    let interrupt = Interrupt::install().map_err(EngineError::Signals)?;
    let followed = session.settings.followed.as_ref();
    if let Some(followed) = followed
        && !lifetime::end_with(&session.store, Some(followed.by)).map_err(EngineError::Signals)?
    {
        return Err(EngineError::Setup("the rigup that started this one is gone".to_owned()));
    }
    session.unpack_providers(&interrupt)?;
    let command = session.begin()?;
    let command_id = command.process.id;
    let events_dir = session.settings.data_dir.join("events").join(names[0]);
    let output_dir = match request.output_dir.as_ref().or(followed.map(|followed| &followed.output_dir)) {
        Some(dir) => std::path::absolute(dir).map_err(EngineError::CurrentDir)?,
        None => events_dir.join(command_id.to_string()),
    };
    let runner = session.runner(&command.process, variables.clone(), &interrupt);
    let events = Events { sequence: &events, ends: &ends, output_dir };
    let output_dir = events.output_dir.as_path();
    let (records, on_event) = (RefCell::new(BTreeMap::new()), RefCell::new(on_event));
    let report = |event: RunEvent<'_>| {
        let kind = match &event {
            RunEvent::Hook(_, HookEvent::Record(record)) => Some(record.kind.as_str()),
            RunEvent::Followed(FollowEvent::Record(record)) => record.get("type").and_then(Value::as_str),
            _ => None,
        };
        if let Some(kind) = kind.filter(|kind| *kind != "Process") {
            *records.borrow_mut().entry(kind.to_owned()).or_insert(0) += 1;
        }
        (on_event.borrow_mut())(event);
    };
    let (pending, mut report_follow_up) = (Pending::default(), &report);
    let applier = || {
        let options =
            InstallOptions { waits_for_retry: true, timeout: install::TIMEOUT, ..InstallOptions::default() };
        Applier::new(catalog, session, &interrupt, Policy::default(), options, false, Some(&command.process))
    };
    let mut follow_ups = FollowUps {
        session,
        catalog,
        runner: &runner,
        interrupt: &interrupt,
        command: command_id,
        pending: &pending,
        applier: request.applies_records.then(applier),
        followed: FollowedEvents::new(session, request, &names, &interrupt, command_id, output_dir),
        on_event: &mut report_follow_up,
        has_error: false,
    };
    let mut results = ArchiveResults::new(output_dir, &request.arguments, command_id.to_string(), &interrupt);
    let mut failed = 0;
    let on_hook_event = |hook: &Hook, event: HookEvent<'_>| {
        failed += usize::from(matches!(event, HookEvent::Failed(_)));
        if let HookEvent::Record(record) = &event
            && (request.follow.follows(&record.kind) || request.applies_records && is_applied(&record.kind))
        {
            pending.borrow_mut().push((follow_up::title(hook), record.clone()));
        }
        results.pass_on(hook, event, &mut |hook, event| report(RunEvent::Hook(hook, event)));
    };
    let result = event::run(&runner, &events, on_hook_event, &mut follow_ups);
    // The hooks of the ends have printed more.
    follow_ups.apply();
    let FollowUps { applier, mut followed, has_error, .. } = follow_ups;
    let (too_deep, too_late) = followed.finish(&mut |event| report(RunEvent::Followed(event)));
    failed += followed.failed;
    if request.output_dir.is_none() {
        remove_empty_folders(output_dir);
        let _ = std::fs::remove_dir(events_dir);
    }
    let summary = EventSummary {
        output_dir: Some(output_dir).filter(|dir| dir.exists()).map(Path::to_owned),
        failed,
        records: records.take(),
        too_deep,
        too_late,
    };
    if result.is_ok() {
        on_end(&summary);
    }
    let status = match interrupt.signal() {
        Some(signal) => ExitStatus::Interrupted(signal),
        None if result.is_err() || has_error => ExitStatus::Setup,
        None if failed > 0 || !catalog.discovery.diagnostics.is_empty() => ExitStatus::Incomplete,
        None => applier.map_or(ExitStatus::Success, |applier| applier.status()),
    };
    // The lock of this command names the folder for temporary files of the runner.
    drop(runner);
    session.finish(command, status)?;
    result?;
    Ok(EventReport { status, summary, command: command_id })
}

/// Returns the arguments of the hooks. A `BinaryRequest` that names no providers allows only the curated ones.
fn arguments(name: &str, request: &EventRequest, catalog: &Catalog) -> Vec<OsString> {
    let mut arguments = request.arguments.clone();
    let names_providers = arguments.iter().any(|argument| argument.as_bytes().starts_with(b"--binproviders"));
    if name == BINARY_REQUEST && !names_providers {
        arguments.push(format!("--binproviders={}", catalog.curated_providers().join(",")).into());
    }
    arguments
}

/// Removes the folders of plugins whose hooks wrote no files.
fn remove_empty_folders(output_dir: &Path) {
    let plugins = std::fs::read_dir(output_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in plugins.chain([output_dir.to_owned()]) {
        // This fails for a folder with files, which is kept.
        let _ = std::fs::remove_dir(folder);
    }
}

/// Returns the hooks of an event. A daemon has the maximum timeout, because it runs until the last event ends.
fn event_hooks<'c>(
    catalog: &'c Catalog,
    event: &str,
    variables: &HashMap<PluginName, Vec<Variable>>,
    request: &EventRequest,
    session: &Session<'_>,
    programs: &Programs,
) -> Result<Vec<EventHook<'c>>, EngineError> {
    let settings = &session.settings;
    let mut binary_ids = HashMap::new();
    let event_hook = |hook: &'c Hook| {
        let variables = variables.get(&hook.plugin).map(Vec::as_slice).unwrap_or_default();
        let timeout = match request.timeout {
            _ if hook.name.background == Some(Background::Daemon) => MAX_TIMEOUT,
            Some(timeout) => timeout,
            None => setting_timeout(command::timeout, hook, variables, settings)?,
        };
        let ready_timeout = match request.ready_timeout {
            Some(timeout) => timeout,
            None => setting_timeout(command::ready_timeout, hook, variables, settings)?,
        };
        let schema = catalog.configs.schema(&hook.plugin);
        let mut required = catalog.configs.required(&hook.plugin, &catalog.discovery.plugins);
        required.retain(|name| *name != hook.plugin.as_str());
        let program = match &hook.start {
            Start::Itself => hook.path.as_os_str(),
            Start::ByShebang(program) => program,
            Start::By(name) => OsStr::new(name),
        };
        let search_path = || command::search_path(settings, variables);
        let find = || programs.binary_id(program, Path::new("/"), search_path);
        let binary_id = *binary_ids.entry((&hook.plugin, program)).or_insert_with(find);
        Ok(EventHook {
            hook,
            timeout,
            ready_timeout,
            grace: grace(catalog, hook, variables, settings)?,
            required,
            waits_for_background: schema.is_some_and(|schema| schema.waits_for_background),
            binary_id,
        })
    };
    enabled_hooks(catalog, event).into_iter().map(event_hook).collect()
}

/// Returns the timeout of a hook that the settings give, as `timeout_of` reads them.
fn setting_timeout(
    timeout_of: fn(&str, &[Variable], &Environment) -> Result<Duration, InvalidTimeout>,
    hook: &Hook,
    variables: &[Variable],
    settings: &Settings,
) -> Result<Duration, EngineError> {
    timeout_of(&hook.plugin, variables, &settings.environment)
        .map_err(|error| EngineError::Setup(error.to_string()))
}

/// Returns the grace period of a background hook: the timeout of its plugin if the user has set it, or the default.
fn grace(
    catalog: &Catalog,
    hook: &Hook,
    variables: &[Variable],
    settings: &Settings,
) -> Result<Duration, EngineError> {
    let name = format!("{}_TIMEOUT", enabled::prefix(&hook.plugin));
    let mut known = catalog.settings.get(&hook.plugin).into_iter().flatten();
    let setting = known.find(|setting| setting.name == name);
    let is_set = setting.map_or(settings.environment.get(&name).is_some(), Setting::is_explicit);
    if is_set { setting_timeout(command::timeout, hook, variables, settings) } else { Ok(BACKGROUND_GRACE) }
}

/// Normalizes an argument for hooks: `--snapshot_id=1` becomes `--snapshot-id=1`. The value does not change.
pub(crate) fn hook_argument(argument: OsString) -> Result<OsString, EngineError> {
    let mut bytes = argument.into_vec();
    let key = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
    if !bytes.starts_with(b"--") || key <= 2 {
        return Err(EngineError::InvalidRequest(format!(
            "{:?} is not an argument for hooks; write --key=value, and put rigup's own options before the event",
            String::from_utf8_lossy(&bytes)
        )));
    }
    for byte in bytes[2..key].iter_mut().filter(|byte| **byte == b'_') {
        *byte = b'-';
    }
    Ok(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_argument_has_hyphens_and_its_value_is_not_changed() {
        let normalized =
            |text: &str| hook_argument(text.into()).ok().and_then(|argument| argument.into_string().ok());
        assert_eq!(normalized("--snapshot_id=a_b=c d").as_deref(), Some("--snapshot-id=a_b=c d"));
        assert_eq!(normalized("--dry_run").as_deref(), Some("--dry-run"));
        for invalid in ["url=x", "-u", "--", "--=x", ""] {
            assert_eq!(normalized(invalid), None, "{invalid}");
        }
        let bytes = OsString::from_vec(b"--a_b=\xff_".to_vec());
        assert_eq!(hook_argument(bytes).unwrap().into_vec(), b"--a-b=\xff_");
    }
}
