//! The daemons that are no longer declared.

use crate::model::{Daemon, DaemonName, DaemonSpec, DaemonStatus};
use crate::report::text::printable;
use crate::sorting::collect_sorted;
use crate::supervisor::control_loop::{ControlLoop, DaemonEvent};

impl ControlLoop<'_> {
    /// Finds the daemons that are no longer declared. Returns those to stop, and a warning for each other one that is not at
    /// rest. Replicas of a declared daemon that are more than it has now are always stopped.
    pub(super) fn find_orphans(
        &mut self,
        specs: &[DaemonSpec],
        removes_orphans: bool,
    ) -> (Vec<DaemonName>, Vec<String>) {
        let is_orphan = |name: &&DaemonName| !specs.iter().any(|spec| spec.name == **name);
        self.orphans = collect_sorted(self.daemons.keys().filter(is_orphan).cloned());
        let (mut unwanted, mut warnings) = (Vec::new(), Vec::new());
        for name in &self.orphans {
            self.policy.undeclare(name);
            let daemon = &self.daemons[name];
            let is_surplus = specs.iter().any(|spec| spec.declared_name() == daemon.spec.declared_name());
            let has_execution = self.executions.contains_key(name);
            // One without an execution may wait for hooks, or for its turn to start.
            if removes_orphans || is_surplus || !has_execution {
                unwanted.push(name.clone());
            }
            if !removes_orphans && !is_surplus {
                warnings.extend(orphan_warning(daemon, has_execution));
            }
        }
        (unwanted, warnings)
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

/// Returns the warning about a daemon that is no longer declared, or `None` if it is at rest.
fn orphan_warning(daemon: &Daemon, has_execution: bool) -> Option<String> {
    let state = match daemon.status {
        _ if has_execution => "still runs; stop it with --remove-orphans",
        DaemonStatus::Waiting => "is not started",
        DaemonStatus::Backoff => "is not started again",
        _ => return None,
    };
    Some(format!("{} is no longer declared, and {state}", printable(&daemon.spec.name)))
}
