//! What `rigup run` does with the records that hooks print: it applies them, and starts events.

use std::cell::RefCell;
use std::path::Path;

use crate::engine::apply::Applier;
use crate::engine::catalog::Catalog;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::event::EngineEvent;
use crate::engine::event_request::{EventRequest, is_applied};
use crate::engine::followed_events::FollowedEvents;
use crate::engine::install;
use crate::engine::run_event::RunEvent;
use crate::engine::session::Session;
use crate::engine::status_check::InstallOptions;
use crate::hook::background::DaemonFailures;
use crate::hook::event::FollowUp;
use crate::hook::run::Runner;
use crate::model::Policy;
use crate::plugin::discovery::Hook;
use crate::protocol::Record;

/// The records that hooks have printed and that nothing was done with yet, each with its hook.
pub(super) type Pending = RefCell<Vec<(String, Record)>>;

/// What a command does with the records of its hooks.
pub(super) struct FollowUps<'a> {
    session: &'a Session<'a>,
    catalog: &'a Catalog,
    runner: &'a Runner<'a>,
    pending: &'a Pending,
    /// `None` if the records are not applied.
    applier: Option<Applier<'a>>,
    followed: FollowedEvents<'a>,
    on_event: &'a mut dyn FnMut(RunEvent<'_>),
    /// Whether an error that is not about a record kept records from being applied.
    has_error: bool,
}

/// What became of the records.
#[derive(Debug)]
pub(super) struct FollowUpReport {
    /// The number of events that were not started or did not succeed.
    pub failed: usize,
    /// The number of records that started no event because they were too deep.
    pub too_deep: u64,
    /// The number of records that started no event because they came after the last hook of the events.
    pub too_late: u64,
    /// The exit status that the records which were applied lead to.
    pub status: ExitStatus,
}

/// Returns a hook as it is named in messages.
pub(super) fn title(hook: &Hook) -> String {
    format!("{}/{}", hook.plugin, hook.name.file_name)
}

impl<'a> FollowUps<'a> {
    /// Prepares for the records that hooks will print, which the caller adds to `pending`.
    pub(super) fn new(
        session: &'a Session<'_>,
        catalog: &'a Catalog,
        runner: &'a Runner<'_>,
        request: &'a EventRequest,
        output_dir: &'a Path,
        pending: &'a Pending,
        on_event: &'a mut dyn FnMut(RunEvent<'_>),
    ) -> Result<Self, EngineError> {
        let (interrupt, command) = (runner.interrupt, runner.command);
        let applier = || {
            let options = InstallOptions {
                waits_for_retry: true,
                timeout: install::TIMEOUT,
                ..InstallOptions::default()
            };
            Applier::new(catalog, session, interrupt, Policy::default(), options, false, Some(command))
        };
        let followed = FollowedEvents::new(session, request, interrupt, command.id, output_dir)?;
        let applier = request.applies_records.then(applier);
        Ok(Self { session, catalog, runner, pending, applier, followed, on_event, has_error: false })
    }

    /// Applies the remaining records, which hooks of the ends have printed, and terminates the events that still run after
    /// an error.
    pub(super) fn finish(mut self) -> FollowUpReport {
        self.apply();
        let (too_deep, too_late) =
            self.followed.finish(&mut |event| (self.on_event)(RunEvent::Followed(event)));
        let status = match self.applier {
            _ if self.has_error => ExitStatus::Setup,
            Some(applier) => applier.status(),
            None => ExitStatus::Success,
        };
        FollowUpReport { failed: self.followed.failed, too_deep, too_late, status }
    }

    /// Applies the records of one hook.
    fn apply_batch(&mut self, hook: String, batch: Vec<Record>) {
        let Some(applier) = self.applier.as_mut().filter(|_| self.runner.interrupt.signal().is_none()) else {
            return;
        };
        match applier.apply(batch) {
            Ok(output) => (self.on_event)(RunEvent::Applied(hook, output)),
            Err(error) => {
                self.has_error = true;
                self.session
                    .report(EngineEvent::Error(format!("cannot apply the records of {hook}: {error}")));
            }
        }
        // Machine records, and binaries that settings name, change the settings of the next hooks.
        let guid = &self.session.machine.guid.value;
        if let Ok(Some(machine)) = self.session.store.machine_by_guid(guid) {
            self.runner.set_variables(self.catalog.variables_with(&machine.config));
        }
    }
}

impl FollowUp for FollowUps<'_> {
    fn applies_records(&self) -> bool {
        self.applier.is_some()
    }

    fn apply(&mut self) {
        let mut batches: Vec<(String, Vec<Record>)> = Vec::new();
        for (hook, record) in self.pending.take() {
            self.followed.queue.add(&record.kind, &record.fields, 0, self.runner.command.id);
            if self.applier.is_some() && is_applied(&record.kind) {
                match batches.last_mut().filter(|(last, _)| *last == hook) {
                    Some((_, batch)) => batch.push(record),
                    None => batches.push((hook, vec![record])),
                }
            }
        }
        for (hook, batch) in batches {
            self.apply_batch(hook, batch);
        }
    }

    fn advance(&mut self, failures: &DaemonFailures) -> bool {
        self.apply();
        self.followed.advance(failures, &mut |event| (self.on_event)(RunEvent::Followed(event)))
    }
}
