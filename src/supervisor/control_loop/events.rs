//! The events in the life of daemons, as the control loop publishes them.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::model::{Daemon, DaemonName, Wanted};
use crate::supervisor::control::Answer;
use crate::supervisor::control_loop::ControlLoop;
use crate::supervisor::control_loop::connected_client::ConnectedClient;
use crate::supervisor::lifecycle::LifecycleEvent;
use crate::supervisor::policy::DaemonState;

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

/// Returns a daemon with its state as of now.
pub(super) fn updated(daemon: &Daemon, state: &DaemonState, clock_now: Timestamp, now: Duration) -> Daemon {
    let next_start_at = state.next_start.map(|at| clock_now + at.saturating_sub(now));
    Daemon {
        wanted: if state.is_wanted { Wanted::Started } else { Wanted::Stopped },
        status: state.status,
        restarts: state.restarts,
        ready_at: daemon.ready_at.or_else(|| state.is_ready.then_some(clock_now)),
        next_start_at: daemon.next_start_at.filter(|_| next_start_at.is_some()).or(next_start_at),
        last_error: state.last_error.clone(),
        ..daemon.clone()
    }
}
