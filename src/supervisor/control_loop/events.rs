//! The events in the life of daemons, as the control loop publishes them.

use crate::clock;
use crate::model::{Daemon, DaemonName, LifecycleEvent, Process};
use crate::process::recover;
use crate::supervisor::control::Answer;
use crate::supervisor::control_loop::connected_client::ConnectedClient;
use crate::supervisor::control_loop::{ControlLoop, stored_state};

impl ControlLoop<'_> {
    /// Publishes an event with the record of the daemon as it is now: queues it for the hooks of the daemon, and sends it to
    /// the clients that follow the daemon. A client that does not read what it follows is dropped.
    pub(super) fn publish(&mut self, event: LifecycleEvent, name: &DaemonName) {
        let Some(daemon) = self.daemons.get(name) else { return };
        let has_hooks = daemon.spec.hooks.names.contains_key(&event);
        // The record reads the store.
        if !has_hooks && !self.clients.iter().any(|connected| connected.follows(name)) {
            return;
        }
        let Some(daemon) = self.updated(daemon) else { return };
        let process = self.execution_of(&daemon);
        let record = daemon.to_event_record(event, process.as_ref());
        if has_hooks {
            self.queue_hooks(daemon.spec.hooks, event, name, &record, None);
        }
        let answer = Answer::with(vec![record]);
        self.clients.retain_mut(|connected: &mut ConnectedClient| {
            !connected.follows(name) || connected.client.send(&answer).is_ok()
        });
    }

    /// Returns the current or last execution of a daemon, with its exit if it is over, even if that is not stored yet.
    pub(super) fn execution_of(&self, daemon: &Daemon) -> Option<Process> {
        let process = self.store.process(daemon.process_id?).ok().flatten()?;
        Some(recover::as_found(self.store, process))
    }

    /// Returns a daemon with its state as of now, or `None` if it is unknown.
    pub(super) fn updated(&self, daemon: &Daemon) -> Option<Daemon> {
        let state = self.policy.state(&daemon.spec.name)?;
        let has_execution = self.executions.contains_key(&daemon.spec.name);
        Some(stored_state::updated(daemon, state, has_execution, clock::now(), self.now()))
    }
}
