//! The work of `rigup run`: runs the hooks of events.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::archive_results::ArchiveResults;
use crate::engine::catalog::Catalog;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::event::OnEvent;
use crate::engine::event_plan::EventPlan;
use crate::engine::event_plugins;
use crate::engine::event_request::{EventRequest, EventSummary};
use crate::engine::follow_queue;
use crate::engine::follow_up::{self, FollowUps, Pending};
use crate::engine::run_event::RunEvent;
use crate::engine::session::Session;
use crate::hook::event::{self, Events};
use crate::hook::reporter::HookEvent;
use crate::model::ProcessId;
use crate::plugin::discovery::Hook;
use crate::process::lifetime;
use crate::process::signals::Interrupt;
use crate::settings::Settings;

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

/// Reads the plugins for a request. Only records that are applied need their requirements.
pub(crate) fn catalog(
    request: &EventRequest,
    settings: &Settings,
    on_event: OnEvent<'_>,
) -> Result<Catalog, EngineError> {
    let read = if request.applies_records { Catalog::read } else { Catalog::find };
    let mut catalog = read(settings, &request.plugins, on_event)?;
    event_plugins::check(&mut catalog, request)?;
    Ok(catalog)
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
    let plan = EventPlan::new(&names, session, catalog, request, &variables)?;
    let interrupt = Interrupt::install().map_err(EngineError::Signals)?;
    let started = session.settings.followed.as_ref();
    if let Some(started) = started
        && !lifetime::end_with(&session.store, Some(started.by)).map_err(EngineError::Signals)?
    {
        return Err(EngineError::Setup("the rigup that started this one is gone".to_owned()));
    }
    let command = session.begin()?;
    let command_id = command.process.id;
    let events_dir = session.settings.data_dir.join("events").join(names[0]);
    let output_dir =
        match request.output_dir.as_ref().or(started.and_then(|started| started.output_dir.as_ref())) {
            Some(dir) => std::path::absolute(dir).map_err(EngineError::CurrentDir)?,
            None => events_dir.join(command_id.to_string()),
        };
    let runner = session.runner(&command.process, variables, &interrupt);
    let events = Events {
        sequence: &plan.sequence,
        ends: &plan.ends,
        required_by_followed: plan.required_by_followed,
        failed_daemons: started.map(|started| started.failed_daemons.clone()).unwrap_or_default(),
        output_dir,
        input: request.input.as_deref(),
    };
    let output_dir = events.output_dir.as_path();
    let (counts, on_event) = (RefCell::new(BTreeMap::new()), RefCell::new(on_event));
    let report = |event: RunEvent<'_>| {
        if let Some(kind) = event.record_type() {
            *counts.borrow_mut().entry(kind.to_owned()).or_insert(0) += 1;
        }
        (on_event.borrow_mut())(event);
    };
    let pending = Pending::default();
    let mut report_follow_up = &report;
    let mut follow_ups =
        FollowUps::new(session, catalog, &runner, request, output_dir, &pending, &mut report_follow_up)?;
    let mut results = ArchiveResults::new(output_dir, &request.arguments, command_id.to_string(), &interrupt);
    let mut failed = 0;
    let on_hook_event = |hook: &Hook, mut event: HookEvent<'_>| {
        failed += usize::from(matches!(event, HookEvent::Failed(_)));
        if let HookEvent::Record(record) = &mut event
            && request.handles(&record.kind)
        {
            if request.follow.follows(&record.kind) {
                follow_queue::add_id(&mut record.fields);
            }
            pending.borrow_mut().push((follow_up::title(hook), record.clone()));
        }
        results.pass_on(hook, event, &mut |hook, event| report(RunEvent::Hook(hook, event)));
    };
    let result = event::run(&runner, &events, on_hook_event, &mut follow_ups);
    let followed = follow_ups.finish();
    failed += followed.failed;
    if request.output_dir.is_none() {
        remove_empty_folders(output_dir);
        let _ = std::fs::remove_dir(events_dir);
    }
    let summary = EventSummary {
        output_dir: Some(output_dir).filter(|dir| dir.exists()).map(Path::to_owned),
        failed,
        records: counts.take(),
        too_deep: followed.too_deep,
        too_late: followed.too_late,
    };
    if result.is_ok() {
        on_end(&summary);
    }
    let status = match interrupt.signal() {
        Some(signal) => ExitStatus::Interrupted(signal),
        None if result.is_err() => ExitStatus::Setup,
        // Named hooks exist, so the problems of other plugins do not concern them.
        None if failed > 0 || request.hooks.is_empty() && !catalog.discovery.diagnostics.is_empty() => {
            followed.status.or_incomplete()
        }
        None => followed.status,
    };
    // The lock of this command names the folder for temporary files of the runner.
    drop(runner);
    session.finish(command, status)?;
    result?;
    Ok(EventReport { status, summary, command: command_id })
}

/// Removes the folders of plugins whose hooks wrote no files.
fn remove_empty_folders(output_dir: &Path) {
    let plugins = std::fs::read_dir(output_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in plugins.chain([output_dir.to_owned()]) {
        // This fails for a folder with files, which is kept.
        let _ = std::fs::remove_dir(folder);
    }
}
