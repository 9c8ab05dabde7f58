//! One daemon: its state, the events that change it, and what its `restart` field decides.

#[cfg(test)]
mod tests;

use std::mem;
use std::time::Duration;

use crate::duration;
use crate::model::{DaemonName, DaemonSpec, DaemonStatus, Health};

/// What happened, or what a command requests. An event about an unknown daemon changes nothing, and neither does one
/// that does not fit its status, such as the exit of a daemon that does not run.
#[derive(Debug, Clone)]
pub(crate) enum PolicyEvent<'a> {
    /// A command starts it by its name, even if it has failed or has ended with success.
    Want(&'a DaemonName),
    /// A command stops it.
    Unwant(&'a DaemonName),
    /// A command stops it and starts it again.
    Restart(&'a DaemonName),
    /// It runs.
    Started(&'a DaemonName),
    /// It could not be started, for this reason.
    CannotStart(&'a DaemonName, String),
    /// It is ready.
    Ready(&'a DaemonName),
    /// It was not ready in time; the text says why.
    NotReady(&'a DaemonName, String),
    /// A check of its health has succeeded, after others had failed or at first.
    Healthy(&'a DaemonName),
    /// Too many checks of its health have failed; the text says why.
    Unhealthy(&'a DaemonName, String),
    /// It has ended.
    Exited(&'a DaemonName, Exit),
    /// Every daemon is to be stopped, and none is started any more.
    End,
}

impl<'a> PolicyEvent<'a> {
    /// Returns the daemon, or `None` for the end of all daemons.
    pub(super) fn name(&self) -> Option<&'a DaemonName> {
        match self {
            Self::Want(name)
            | Self::Unwant(name)
            | Self::Restart(name)
            | Self::Started(name)
            | Self::CannotStart(name, _)
            | Self::Ready(name)
            | Self::NotReady(name, _)
            | Self::Healthy(name)
            | Self::Unhealthy(name, _)
            | Self::Exited(name, _) => Some(name),
            Self::End => None,
        }
    }
}

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start this daemon.
    Start(DaemonName),
    /// Stop this daemon.
    Stop(DaemonName),
}

/// How an execution of a daemon ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The exit code, or `None` after a signal or a failed start, or if it is unknown.
    pub code: Option<i32>,
    /// The reason, for `last_error`.
    pub text: String,
}

impl Exit {
    /// Returns the exit of an execution whose exit no process observed.
    pub(crate) fn lost() -> Self {
        Self { code: None, text: "lost: no process observed its exit".to_owned() }
    }
}

/// What a supervisor finds of a daemon that an earlier supervisor has started.
#[derive(Debug, Clone)]
pub(crate) struct Adopted {
    /// What it does.
    pub state: AdoptedState,
    /// How often it was restarted.
    pub restarts: u32,
    /// How often the delay was doubled.
    pub doublings: u32,
    /// The times of the restarts that may count for `restart_limit`.
    pub recent_restarts: Vec<Duration>,
    /// Why it failed last.
    pub last_error: String,
}

/// The state in which a supervisor finds a daemon that an earlier supervisor has started.
#[derive(Debug, Clone)]
pub(crate) enum AdoptedState {
    /// It runs.
    Running {
        /// Whether it has been ready.
        is_ready: bool,
        /// Its health.
        health: Health,
        /// When it was started.
        since: Duration,
    },
    /// It ended with success, or while it was not supervised.
    Ended {
        /// How it ended.
        exit: Exit,
        /// How long it ran.
        uptime: Duration,
    },
    /// It waits for its restart.
    Backoff {
        /// How its last execution ended.
        exit: Exit,
        /// The end of its backoff.
        next_start: Duration,
    },
    /// Its backoff is over, and it waits for its dependencies.
    Waiting,
}

/// The state of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DaemonState {
    /// Its status.
    pub status: DaemonStatus,
    /// Whether it runs and is ready.
    pub is_ready: bool,
    /// Its health while it runs.
    pub health: Health,
    /// How often it was restarted since it was last started by hand.
    pub restarts: u32,
    /// How often the delay before a restart was doubled.
    pub doublings: u32,
    /// Whether its current or next execution replaces an earlier one, by its `restart` field or by a command.
    pub is_restarted: bool,
    /// The end of its backoff.
    pub next_start: Option<Duration>,
    /// Why it failed last; empty if it has not failed since it was last started by hand, or has succeeded since then.
    pub last_error: String,
    /// How its last execution ended, or `None` while one runs.
    pub exit: Option<Exit>,
    /// Whether it is meant to run. The end of all daemons does not change that.
    pub is_wanted: bool,
}

/// What the checks have shown of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckedState {
    /// Nothing yet, or nothing that matters after a command has stopped it.
    Pending,
    /// It has been ready.
    Ready,
    /// It was not ready in time, and is stopped for that.
    TimedOut,
    /// It is unhealthy, and is stopped for that.
    Unhealthy,
}

/// A daemon with what the decisions about it need.
#[derive(Debug)]
pub(super) struct SupervisedDaemon {
    /// Its declaration.
    pub spec: DaemonSpec,
    /// Its state.
    pub state: DaemonState,
    /// When the current execution was started, or `None` before that. An adopted one counts from the start of time.
    pub running_since: Option<Duration>,
    /// What the checks have shown of the current execution.
    pub checked: CheckedState,
    /// How many executions in a row have failed before they had come up, since the daemon was declared last.
    pub failed_starts: u32,
    /// Whether it has succeeded, and has neither failed nor been started by hand since then.
    pub has_succeeded: bool,
    /// Whether it is not declared any more, so that nothing starts it.
    pub is_orphan: bool,
    /// Whether its next start is a restart.
    is_restart: bool,
    /// The times of the restarts that may count for `restart_limit`.
    recent_restarts: Vec<Duration>,
}

impl SupervisedDaemon {
    pub(super) fn new(spec: DaemonSpec, is_wanted: bool) -> Self {
        let state = DaemonState {
            status: if is_wanted { DaemonStatus::Waiting } else { DaemonStatus::Stopped },
            is_ready: false,
            health: Health::None,
            restarts: 0,
            doublings: 0,
            is_restarted: false,
            next_start: None,
            last_error: String::new(),
            exit: None,
            is_wanted,
        };
        Self {
            spec,
            state,
            running_since: None,
            checked: CheckedState::Pending,
            failed_starts: 0,
            has_succeeded: false,
            is_orphan: false,
            is_restart: false,
            recent_restarts: Vec::new(),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        use DaemonStatus::{Running, Starting, Stopping};
        matches!(self.state.status, Starting | Running | Stopping)
    }

    pub(super) fn is_at_rest(&self) -> bool {
        use DaemonStatus::{Exited, Failed, Stopped};
        matches!(self.state.status, Stopped | Exited | Failed)
    }

    /// Whether it still runs, and its number among the replicas of its declaration is now that of another daemon.
    pub(super) fn is_replaced_by(&self, spec: &DaemonSpec) -> bool {
        self.is_orphan
            && self.is_live()
            && self.spec.declared_name() == spec.declared_name()
            && self.spec.replica_index() == spec.replica_index()
    }

    /// Handles an event about this daemon, and returns an action if it must be stopped at once.
    pub(super) fn handle(
        &mut self,
        event: PolicyEvent<'_>,
        is_ending: bool,
        now: Duration,
    ) -> Option<Action> {
        match event {
            PolicyEvent::Want(_) | PolicyEvent::Restart(_) if self.is_orphan => {}
            PolicyEvent::Want(_) => self.want(is_ending),
            PolicyEvent::Restart(_) => {
                self.want(is_ending);
                if !is_ending {
                    self.checked = CheckedState::Pending;
                    return self.stop();
                }
            }
            PolicyEvent::Unwant(_) => {
                self.state.is_wanted = false;
                self.checked = CheckedState::Pending;
                self.rest();
            }
            PolicyEvent::Started(_) if self.is_live() => {
                self.running_since.get_or_insert(now);
                if self.spec.ready.is_none() {
                    self.become_ready();
                }
            }
            PolicyEvent::Ready(_) if self.running_since.is_some() => self.become_ready(),
            PolicyEvent::NotReady(_, text) if self.state.status == DaemonStatus::Starting && !is_ending => {
                self.checked = CheckedState::TimedOut;
                self.state.last_error = text;
                return self.stop();
            }
            PolicyEvent::Healthy(_) if self.is_checked() => self.state.health = Health::Healthy,
            PolicyEvent::Unhealthy(_, text) if self.is_checked() => {
                self.state.health = Health::Unhealthy;
                self.state.last_error = format!("unhealthy: {text}");
                let restarts = self.spec.healthcheck.as_ref().is_some_and(|check| check.restarts);
                if restarts && !is_ending && !self.is_orphan {
                    self.checked = CheckedState::Unhealthy;
                    return self.stop();
                }
            }
            PolicyEvent::CannotStart(_, text) => self.end(Exit { code: None, text }, is_ending, now),
            PolicyEvent::Exited(_, exit) => self.end(exit, is_ending, now),
            _ => {}
        }
        None
    }

    /// Makes it run: one that does not run or waits for its restart starts now.
    fn want(&mut self, is_ending: bool) {
        self.state.is_wanted = true;
        if !is_ending && (self.is_at_rest() || self.state.status == DaemonStatus::Backoff) {
            self.wait_afresh();
        }
    }

    /// Waits for the dependencies, regardless of earlier failures.
    pub(super) fn wait_afresh(&mut self) {
        let exit = self.state.exit.take();
        *self = Self::new(self.spec.clone(), true);
        self.state.exit = exit;
    }

    /// Ends a wait without a start.
    pub(super) fn rest(&mut self) {
        if matches!(self.state.status, DaemonStatus::Waiting | DaemonStatus::Backoff) {
            self.state.status = DaemonStatus::Stopped;
            self.state.next_start = None;
        }
    }

    /// Continues as if it had been observed from the start. The `restart` field decides about one that has ended, except that
    /// one whose end stops all daemons is started again: otherwise it would stop the new supervisor, too.
    pub(super) fn adopt(&mut self, adopted: Adopted, now: Duration) {
        self.state.restarts = adopted.restarts;
        self.state.doublings = adopted.doublings;
        self.state.last_error = adopted.last_error;
        self.recent_restarts = adopted.recent_restarts;
        match adopted.state {
            AdoptedState::Running { is_ready, health, since } => {
                self.state.status = DaemonStatus::Starting;
                self.state.health = health;
                self.begin_health();
                self.running_since = Some(since);
                if is_ready || self.spec.ready.is_none() {
                    self.become_ready();
                }
            }
            AdoptedState::Ended { exit, uptime }
                if self.state.is_wanted && !self.stops_all(self.is_failure(&exit)) =>
            {
                self.running_since = Some(now.saturating_sub(uptime));
                self.conclude(exit, false, now);
            }
            AdoptedState::Backoff { exit, next_start } if self.state.is_wanted => {
                self.state.exit = Some(exit);
                self.state.status = DaemonStatus::Backoff;
                self.state.next_start = Some(next_start);
                self.is_restart = true;
            }
            AdoptedState::Ended { exit, .. } | AdoptedState::Backoff { exit, .. } => {
                self.state.exit = Some(exit);
            }
            AdoptedState::Waiting => self.is_restart = true,
        }
    }

    pub(super) fn start(&mut self, now: Duration) -> Action {
        if mem::take(&mut self.is_restart) {
            self.state.restarts = self.state.restarts.saturating_add(1);
            self.recent_restarts.push(now);
        }
        self.state.status = DaemonStatus::Starting;
        self.state.exit = None;
        self.running_since = None;
        self.checked = CheckedState::Pending;
        self.state.health = Health::None;
        self.begin_health();
        Action::Start(self.spec.name.clone())
    }

    /// Adapts the health of a daemon that runs to whether it is checked.
    pub(super) fn begin_health(&mut self) {
        if self.spec.healthcheck.is_none() {
            self.state.health = Health::None;
        } else if self.state.health == Health::None {
            self.state.health = Health::Starting;
        }
    }

    /// Whether the health of the current execution is checked.
    fn is_checked(&self) -> bool {
        self.spec.healthcheck.is_some()
            && matches!(self.state.status, DaemonStatus::Starting | DaemonStatus::Running)
    }

    pub(super) fn become_ready(&mut self) {
        if self.state.status == DaemonStatus::Starting {
            self.state.status = DaemonStatus::Running;
            self.state.is_ready = true;
            self.checked = CheckedState::Ready;
        }
    }

    /// Returns the action that stops it, or `None` if it does not run or is being stopped.
    pub(super) fn stop(&mut self) -> Option<Action> {
        if !matches!(self.state.status, DaemonStatus::Starting | DaemonStatus::Running) {
            return None;
        }
        self.state.status = DaemonStatus::Stopping;
        self.state.is_ready = false;
        Some(Action::Stop(self.spec.name.clone()))
    }

    /// Handles the end of an execution.
    fn end(&mut self, exit: Exit, is_ending: bool, now: Duration) {
        if !self.is_live() {
            return;
        }
        let is_requested = self.state.status == DaemonStatus::Stopping && !self.has_failed_check();
        self.state.is_ready = false;
        self.state.health = Health::None;
        if self.state.is_wanted && !is_requested {
            return self.conclude(exit, is_ending, now);
        }
        self.state.exit = Some(exit);
        self.state.status = DaemonStatus::Stopped;
        if self.state.is_wanted && !is_ending && !self.is_orphan {
            self.wait_afresh();
            self.state.is_restarted = true;
        }
    }

    /// Decides by the `restart` field what follows an end that was not requested.
    pub(super) fn conclude(&mut self, exit: Exit, is_ending: bool, now: Duration) {
        let is_failure = self.is_failure(&exit);
        if !is_failure {
            self.state.last_error.clear();
        } else if !self.has_failed_check() {
            self.state.last_error.clone_from(&exit.text);
        }
        self.failed_starts =
            if is_failure && !self.has_come_up(now) { self.failed_starts.saturating_add(1) } else { 0 };
        self.state.exit = Some(exit);
        self.has_succeeded = !is_failure;
        let is_restarted = self.spec.restart.follows(is_failure) && !self.is_orphan;
        if is_restarted && !is_ending && !self.stops_all(is_failure) {
            self.back_off(now);
        } else {
            self.state.status = if is_failure { DaemonStatus::Failed } else { DaemonStatus::Exited };
        }
    }

    /// Waits for the next restart, or fails if `restart_limit` is reached. The time until a readiness timeout does not
    /// count as uptime.
    fn back_off(&mut self, now: Duration) {
        let uptime = self.running_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if uptime >= self.spec.restart_reset && !self.has_timed_out() {
            self.state.doublings = 0;
        }
        let delay = self.spec.restart_delay.saturating_mul(2_u32.saturating_pow(self.state.doublings));
        let next_start = now.saturating_add(delay.min(self.spec.restart_delay_max));
        self.state.doublings = self.state.doublings.saturating_add(1);
        if let Some((limit, period)) = self.spec.restart_limit {
            self.recent_restarts.retain(|at| at.saturating_add(period) > next_start);
            if self.recent_restarts.len() >= limit as usize {
                self.state.status = DaemonStatus::Failed;
                let times = if limit == 1 { "once".to_owned() } else { format!("{limit} times") };
                let separator = if self.state.last_error.is_empty() { "" } else { "; " };
                let within =
                    if period < duration::MAX { format!(" within {period:?}") } else { String::new() };
                let reason = format!("{separator}it was restarted {times}{within}");
                self.state.last_error.push_str(&reason);
                return;
            }
        } else {
            self.recent_restarts.clear();
        }
        self.state.status = DaemonStatus::Backoff;
        self.state.next_start = Some(next_start);
        self.state.is_restarted = true;
        self.is_restart = true;
    }

    pub(super) fn has_timed_out(&self) -> bool {
        self.checked == CheckedState::TimedOut
    }

    /// Whether the current execution is stopped because of a check.
    fn has_failed_check(&self) -> bool {
        matches!(self.checked, CheckedState::TimedOut | CheckedState::Unhealthy)
    }

    pub(super) fn is_failure(&self, exit: &Exit) -> bool {
        self.has_failed_check() || self.spec.is_failure(exit.code)
    }

    /// Whether its end stops all daemons.
    pub(super) fn stops_all(&self, is_failure: bool) -> bool {
        let by_timeout =
            self.has_timed_out() && self.spec.ready.as_ref().is_some_and(|ready| ready.stops_all);
        !self.is_orphan && (self.spec.stops_all(is_failure) || is_failure && by_timeout)
    }

    /// Whether it has ended, and that stops all daemons.
    pub(super) fn has_stopped_all(&self) -> bool {
        match self.state.status {
            DaemonStatus::Exited => self.stops_all(false),
            DaemonStatus::Failed => self.stops_all(true),
            _ => false,
        }
    }
}
