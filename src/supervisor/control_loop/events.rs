//! The events in the life of daemons, as the control loop publishes them.

use crate::clock;
use crate::model::DaemonName;
use crate::supervisor::control::Answer;
use crate::supervisor::control_loop::ControlLoop;
use crate::supervisor::control_loop::connected_client::ConnectedClient;
use crate::supervisor::control_loop::stored_state::updated;
use crate::supervisor::lifecycle::LifecycleEvent;

impl ControlLoop<'_> {
    /// Publishes an event with the record of the daemon as it is now. A client that does not read what it follows is
    /// dropped.
    pub(super) fn publish(&mut self, event: LifecycleEvent, name: &DaemonName) {
        let follows = |connected: &ConnectedClient| connected.follows(name);
        // The record reads the store.
        if !self.clients.iter().any(follows) {
            return;
        }
        let (Some(daemon), Some(state)) = (self.daemons.get(name), self.policy.state(name)) else { return };
        let daemon = updated(daemon, state, clock::now(), self.now());
        let process = daemon.process_id.and_then(|id| self.store.process(id).ok().flatten());
        let answer = Answer::with(vec![event.to_record(&daemon, process.as_ref())]);
        self.clients
            .retain_mut(|connected| !connected.follows(name) || connected.client.send(&answer).is_ok());
    }
}
