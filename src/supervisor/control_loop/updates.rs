//! The daemons whose binaries an install has changed.

use crate::model::DaemonName;
use crate::supervisor::control_loop::ControlLoop;
use crate::supervisor::policy::PolicyEvent;
use crate::supervisor::staleness;

impl ControlLoop<'_> {
    /// Restarts the daemons that are to be restarted at once, and of which an install has changed a binary.
    pub(super) fn restart_stale(&mut self) {
        let is_due = |name: &&DaemonName| self.daemons[*name].spec.restart_on_update && self.is_stale(name);
        let names: Vec<DaemonName> = self.daemons.keys().filter(is_due).cloned().collect();
        for name in &names {
            self.handle(PolicyEvent::Restart(name));
        }
    }

    /// Whether a daemon runs with a binary that an install has changed since.
    pub(super) fn is_stale(&self, name: &DaemonName) -> bool {
        let daemon = self.daemons.get(name).filter(|_| self.executions.contains_key(name));
        // A store that cannot be read is no reason to restart it.
        daemon.is_some_and(|daemon| {
            staleness::is_stale(self.store, self.launcher.command.machine_id, daemon).unwrap_or(false)
        })
    }
}
