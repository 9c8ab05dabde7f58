//! What a supervisor finds of a daemon that an earlier one has started.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::model::{Daemon, DaemonStatus, ExitReason, Process};
use crate::process::system::{self, BOOT_ID};
use crate::supervisor::control_loop::{ControlLoop, exit_of};
use crate::supervisor::policy::{Adopted, AdoptedState, Exit};

impl ControlLoop<'_> {
    /// Returns the time of the policy that a stored time stands for. A time in the future, which a jump of the clock may have
    /// caused, is now.
    fn policy_time(&self, time: Timestamp) -> Duration {
        self.now().saturating_sub(age(time))
    }

    /// Returns what is stored about a daemon, for the policy.
    pub(super) fn adopted(&self, daemon: &Daemon, state: AdoptedState) -> Adopted {
        Adopted {
            state,
            restarts: daemon.restarts,
            doublings: daemon.restart_history.doublings,
            recent_restarts: daemon.restart_history.times.iter().map(|at| self.policy_time(*at)).collect(),
            last_error: daemon.last_error.clone(),
        }
    }

    /// Returns the state of an execution that runs.
    pub(super) fn running(&self, daemon: &Daemon, process: &Process) -> AdoptedState {
        let is_ready = daemon.ready_at.is_some() || daemon.spec.ready.is_none();
        let since =
            process.running().map_or_else(|| self.now(), |running| self.policy_time(running.started_at));
        AdoptedState::Running { is_ready, health: daemon.health, since }
    }

    /// Returns the state of a daemon that does not run, with its last execution, or `None` if it starts afresh: once a
    /// supervisor has stopped all daemons, everything starts again.
    pub(super) fn at_rest(&self, daemon: &Daemon, process: Option<&Process>) -> Option<AdoptedState> {
        let exit = || {
            let unstarted = || Exit { code: None, text: daemon.last_error.clone() };
            process.map_or_else(unstarted, exit_of)
        };
        let has_ended =
            daemon.status.is_alive() || daemon.status == DaemonStatus::Exited && self.server.replaces_killed;
        match (daemon.status, daemon.next_start_at) {
            (DaemonStatus::Backoff, Some(at)) => {
                let delay = Duration::try_from(at.duration_since(clock::now())).unwrap_or_default();
                let next_start = self.now() + delay.min(daemon.spec.restart_delay_max);
                Some(AdoptedState::Backoff { exit: exit(), next_start })
            }
            (DaemonStatus::Waiting, _) if daemon.restart_history.doublings > 0 => Some(AdoptedState::Waiting),
            _ if has_ended => {
                let process = process.filter(|process| is_ended_by_itself(process))?;
                let times = process.running().zip(process.exit());
                let uptime = times.map(|(running, exit)| exit.ended_at.duration_since(running.started_at));
                let uptime = uptime.and_then(|uptime| Duration::try_from(uptime).ok()).unwrap_or_default();
                Some(AdoptedState::Ended { exit: exit(), uptime })
            }
            _ => None,
        }
    }
}

/// Whether an execution has run and has ended by itself. The end of one that a supervisor was stopping, that a killed
/// supervisor did not start, or that ended together with an earlier boot or container says nothing about its daemon.
fn is_ended_by_itself(process: &Process) -> bool {
    let is_requested = process.exit().is_some_and(|exit| exit.reason == ExitReason::Stopped);
    let is_of_this_boot = process.running().is_some_and(|running| running.identity.boot_id == *BOOT_ID);
    is_of_this_boot && !is_requested && !system::is_first_process()
}

/// Returns how long ago a time was; nothing for a time in the future.
fn age(time: Timestamp) -> Duration {
    Duration::try_from(clock::now().duration_since(time)).unwrap_or_default()
}
