//! What is stored about a daemon, given its state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::model::{Daemon, DaemonName, DaemonStatus, Process, Wanted};
use crate::store::{Store, StoreError};
use crate::supervisor::policy::DaemonState;

/// The pause after which daemons that could not be stored are stored again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The daemons that could not be stored, such as while the disk is full.
#[derive(Debug, Default)]
pub(super) struct UnsavedDaemons {
    names: BTreeSet<DaemonName>,
    /// When to try again.
    retry_at: Option<Instant>,
}

impl UnsavedDaemons {
    /// Stores the daemons that have changed, with those that could not be stored before. If the store was rebuilt, stores all,
    /// and the record of the supervisor, because a rebuilt one has neither. Fails only if something has changed.
    pub(super) fn save(
        &mut self,
        changed: Vec<DaemonName>,
        daemons: &BTreeMap<DaemonName, Daemon>,
        store: &Store,
        supervisor: &Process,
    ) -> Result<(), StoreError> {
        let has_changed = !changed.is_empty();
        self.names.extend(changed);
        let reopened = store.reopen_if_replaced();
        if matches!(reopened, Ok(true)) {
            // The commands that follow the supervisor look for it.
            let _ = store.save_process(supervisor);
            self.names.extend(daemons.keys().cloned());
        } else if !has_changed && self.next_try().is_none_or(|pause| !pause.is_zero()) {
            return Ok(());
        }
        let rows = self.names.iter().filter_map(|name| daemons.get(name));
        let rows: Vec<Daemon> = rows.map(|daemon| daemon.clone().masked()).collect();
        let saved = reopened.and_then(|_| store.save_daemons(&rows));
        if saved.is_ok() {
            *self = Self::default();
        } else {
            self.retry_at = Some(Instant::now() + RETRY_PAUSE);
        }
        if has_changed { saved } else { Ok(()) }
    }

    /// Returns the time until daemons that could not be stored are stored again, or `None` if there are none.
    pub(super) fn next_try(&self) -> Option<Duration> {
        self.retry_at.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

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
