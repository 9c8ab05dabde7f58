//! What `rigup run` does with the records that hooks print: it applies them, and starts events.

use std::cell::RefCell;

use crate::engine::apply::Applier;
use crate::engine::catalog::Catalog;
use crate::engine::event::EngineEvent;
use crate::engine::followed_events::FollowedEvents;
use crate::engine::run_event::RunEvent;
use crate::engine::session::Session;
use crate::hook::event::FollowUp;
use crate::hook::run::Runner;
use crate::model::ProcessId;
use crate::plugin::discovery::Hook;
use crate::plugin::requirement;
use crate::process::signals::Interrupt;
use crate::protocol::Record;

/// The records that hooks have printed and that nothing was done with yet, each with its hook.
pub(super) type Pending = RefCell<Vec<(String, Record)>>;

/// The type of the records that change the configuration of this machine.
const MACHINE: &str = "Machine";

/// What a command does with the records of its hooks.
pub(super) struct FollowUps<'a> {
    pub session: &'a Session<'a>,
    pub catalog: &'a Catalog,
    pub runner: &'a Runner<'a>,
    pub interrupt: &'a Interrupt,
    pub command: ProcessId,
    pub pending: &'a Pending,
    /// `None` if the records are not applied.
    pub applier: Option<Applier<'a>>,
    pub followed: FollowedEvents<'a>,
    pub on_event: &'a mut dyn FnMut(RunEvent<'_>),
    /// Whether records could not be applied because of an error that is not about them.
    pub has_error: bool,
}

/// Whether a record is applied if the command applies records.
pub(super) fn is_applied(kind: &str) -> bool {
    kind == MACHINE || requirement::is_requirement(kind)
}

/// Returns a hook as it is named in messages.
pub(super) fn title(hook: &Hook) -> String {
    format!("{}/{}", hook.plugin, hook.name.file_name)
}

impl FollowUps<'_> {
    /// Applies the records of one hook.
    fn apply_batch(&mut self, hook: String, batch: Vec<Record>) {
        let Some(applier) = self.applier.as_mut().filter(|_| self.interrupt.signal().is_none()) else {
            return;
        };
        let changes_machine = batch.iter().any(|record| record.kind == MACHINE);
        match applier.apply(batch) {
            Ok(output) => (self.on_event)(RunEvent::Applied(hook, output)),
            Err(error) => {
                self.has_error = true;
                self.session
                    .report(EngineEvent::Error(format!("cannot apply the records of {hook}: {error}")));
            }
        }
        let guid = &self.session.machine.guid.value;
        if changes_machine && let Ok(Some(machine)) = self.session.store.machine_by_guid(guid) {
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
            self.followed.queue.add(&record.kind, &record.fields, 0, self.command);
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

    fn advance(&mut self, failure: Option<&str>) -> bool {
        self.apply();
        self.followed.advance(failure, &mut |event| (self.on_event)(RunEvent::Followed(event)))
    }
}
