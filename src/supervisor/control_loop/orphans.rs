//! The daemons that are no longer declared.

use crate::model::{DaemonName, DaemonSpec, DaemonStatus};
use crate::supervisor::control_loop::{ControlLoop, DaemonEvent, orphan_warning};
use crate::supervisor::policy::PolicyEvent;

impl ControlLoop<'_> {
    /// Stops the daemons that are no longer declared, or names those that still run. Replicas of a declared daemon that are
    /// more than it has now are always stopped.
    pub(super) fn remove_orphans(&mut self, specs: &[DaemonSpec], removes_orphans: bool) {
        let is_orphan = |name: &&DaemonName| !specs.iter().any(|spec| spec.name == **name);
        self.orphans = self.daemons.keys().filter(is_orphan).cloned().collect();
        for name in self.orphans.clone() {
            let is_surplus = self.daemons.get(&name).is_some_and(|daemon| {
                specs.iter().any(|spec| spec.declared_name() == daemon.spec.declared_name())
            });
            if removes_orphans || is_surplus {
                self.handle(PolicyEvent::Unwant(&name));
            } else if self.executions.contains_key(&name) {
                (self.on_event)(DaemonEvent::Warning(orphan_warning(&name)));
            }
        }
    }

    /// Deletes the daemons that are no longer declared and do not run. The records of their executions are kept.
    pub(super) fn forget_orphans(&mut self) {
        let is_at_rest = |name: &DaemonName| {
            !self.executions.contains_key(name)
                && self.policy.state(name).is_none_or(|state| {
                    matches!(
                        state.status,
                        DaemonStatus::Stopped | DaemonStatus::Exited | DaemonStatus::Failed
                    )
                })
        };
        let forgotten: Vec<DaemonName> =
            self.orphans.iter().filter(|name| is_at_rest(name)).cloned().collect();
        if forgotten.is_empty() {
            return;
        }
        if let Err(error) = self.store.delete_daemons(&forgotten) {
            (self.on_event)(DaemonEvent::Warning(format!("cannot delete daemons: {error}")));
        }
        for name in forgotten {
            self.orphans.remove(&name);
            self.daemons.remove(&name);
            self.policy.forget(&name);
        }
    }
}
