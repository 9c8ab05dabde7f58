//! What is stored about a daemon, given its state.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Daemon, DaemonStatus, Wanted};
use crate::supervisor::policy::DaemonState;

/// Whether [`updated`] would change nothing. Much faster, because this is asked about every daemon after every event.
pub(super) fn is_current(daemon: &Daemon, state: &DaemonState, has_execution: bool) -> bool {
    (daemon.wanted == Wanted::Started) == state.is_wanted
        && !(daemon.is_stopped_by_hand && state.is_wanted)
        && (daemon.status, daemon.restarts) == (status(state, has_execution), state.restarts)
        && (daemon.health, daemon.restart_history.doublings) == (state.health, state.doublings)
        && (daemon.ready_at.is_some() || !state.is_ready)
        && daemon.next_start_at.is_some() == state.next_start.is_some()
        && daemon.last_error == state.last_error
}

/// Returns a daemon with its state as of now.
pub(super) fn updated(
    daemon: &Daemon,
    state: &DaemonState,
    has_execution: bool,
    clock_now: Timestamp,
    now: Duration,
) -> Daemon {
    let mut restart_history = daemon.restart_history.clone();
    let limit = daemon.spec.restart_limit.map_or(0, |(limit, _)| limit);
    restart_history.count(daemon.restarts, state.restarts, limit, clock_now);
    restart_history.doublings = state.doublings;
    let next_start_at = state.next_start.map(|at| clock_now + at.saturating_sub(now));
    Daemon {
        wanted: if state.is_wanted { Wanted::Started } else { Wanted::Stopped },
        is_stopped_by_hand: daemon.is_stopped_by_hand && !state.is_wanted,
        status: status(state, has_execution),
        health: state.health,
        restarts: state.restarts,
        restart_history,
        ready_at: daemon.ready_at.or_else(|| state.is_ready.then_some(clock_now)),
        next_start_at: daemon.next_start_at.filter(|_| next_start_at.is_some()).or(next_start_at),
        last_error: state.last_error.clone(),
        ..daemon.clone()
    }
}

/// Returns the status to store. Before an execution exists, the next supervisor finds nothing to take over.
fn status(state: &DaemonState, has_execution: bool) -> DaemonStatus {
    if state.status == DaemonStatus::Starting && !has_execution {
        DaemonStatus::Waiting
    } else {
        state.status
    }
}
