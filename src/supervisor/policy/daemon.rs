//! One daemon: its state, the events that change it, and what its `restart` field decides.

#[cfg(test)]
mod tests;

use std::mem;
use std::time::Duration;

use crate::model::{DaemonName, DaemonSpec, DaemonStatus, Restart};

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

/// The state in which a supervisor finds a daemon that an earlier supervisor has started.
#[derive(Debug, Clone)]
pub(crate) enum Adopted {
    /// It runs.
    Running {
        /// Whether it has been ready.
        is_ready: bool,
        /// How often it was restarted.
        restarts: u32,
    },
    /// It ended with success, or while it was not supervised.
    Ended {
        /// How it ended.
        exit: Exit,
        /// How often it was restarted.
        restarts: u32,
    },
}

/// The state of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DaemonState {
    /// Its status.
    pub status: DaemonStatus,
    /// Whether it runs and is ready.
    pub is_ready: bool,
    /// How often it was restarted since it was last started by hand.
    pub restarts: u32,
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

/// A daemon with what the decisions about it need.
#[derive(Debug)]
pub(super) struct SupervisedDaemon {
    /// Its declaration.
    pub spec: DaemonSpec,
    /// Its state.
    pub state: DaemonState,
    /// When the current execution was started, or `None` before that. An adopted one counts from the start of time.
    pub running_since: Option<Duration>,
    /// Whether the current execution is stopped because it was not ready in time.
    has_timed_out: bool,
    /// Whether it has succeeded, and has neither failed nor been started by hand since then.
    pub has_succeeded: bool,
    /// Whether its next start is a restart.
    is_restart: bool,
    /// How often the delay was doubled.
    doublings: u32,
    /// The times of the restarts that may count for `restart_limit`.
    recent_restarts: Vec<Duration>,
}

impl SupervisedDaemon {
    pub(super) fn new(spec: DaemonSpec, is_wanted: bool) -> Self {
        let state = DaemonState {
            status: if is_wanted { DaemonStatus::Waiting } else { DaemonStatus::Stopped },
            is_ready: false,
            restarts: 0,
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
            has_timed_out: false,
            has_succeeded: false,
            is_restart: false,
            doublings: 0,
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

    /// Handles an event about this daemon, and returns an action if it must be stopped at once.
    pub(super) fn handle(
        &mut self,
        event: PolicyEvent<'_>,
        is_ending: bool,
        now: Duration,
    ) -> Option<Action> {
        match event {
            PolicyEvent::Want(_) => self.want(is_ending),
            PolicyEvent::Restart(_) => {
                self.want(is_ending);
                if !is_ending {
                    self.has_timed_out = false;
                    return self.stop();
                }
            }
            PolicyEvent::Unwant(_) => {
                self.state.is_wanted = false;
                self.has_timed_out = false;
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
                self.has_timed_out = true;
                self.state.last_error = text;
                return self.stop();
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

    pub(super) fn start(&mut self, now: Duration) -> Action {
        if mem::take(&mut self.is_restart) {
            self.state.restarts = self.state.restarts.saturating_add(1);
            self.recent_restarts.push(now);
        }
        self.state.status = DaemonStatus::Starting;
        self.state.exit = None;
        self.running_since = None;
        self.has_timed_out = false;
        Action::Start(self.spec.name.clone())
    }

    pub(super) fn become_ready(&mut self) {
        if self.state.status == DaemonStatus::Starting {
            self.state.status = DaemonStatus::Running;
            self.state.is_ready = true;
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
        let is_requested = self.state.status == DaemonStatus::Stopping && !self.has_timed_out;
        self.state.is_ready = false;
        if self.state.is_wanted && !is_requested {
            return self.conclude(exit, is_ending, now);
        }
        self.state.exit = Some(exit);
        self.state.status = DaemonStatus::Stopped;
        if self.state.is_wanted && !is_ending {
            self.wait_afresh();
            self.state.is_restarted = true;
        }
    }

    /// Decides by the `restart` field what follows an end that was not requested.
    pub(super) fn conclude(&mut self, exit: Exit, is_ending: bool, now: Duration) {
        let is_failure = self.is_failure(&exit);
        if !is_failure {
            self.state.last_error.clear();
        } else if !self.has_timed_out {
            self.state.last_error.clone_from(&exit.text);
        }
        self.state.exit = Some(exit);
        self.has_succeeded = !is_failure;
        let is_restarted = match self.spec.restart {
            Restart::No => false,
            Restart::OnFailure => is_failure,
            Restart::Always | Restart::UnlessStopped => true,
        };
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
        if uptime >= self.spec.restart_reset && !self.has_timed_out {
            self.doublings = 0;
        }
        let delay = self.spec.restart_delay.saturating_mul(2_u32.saturating_pow(self.doublings));
        let next_start = now.saturating_add(delay.min(self.spec.restart_delay_max));
        self.doublings = self.doublings.saturating_add(1);
        if let Some((limit, period)) = self.spec.restart_limit {
            self.recent_restarts.retain(|at| at.saturating_add(period) > next_start);
            if self.recent_restarts.len() >= limit as usize {
                self.state.status = DaemonStatus::Failed;
                let reason = format!("; it was restarted {limit} times within {period:?}");
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

    pub(super) fn is_failure(&self, exit: &Exit) -> bool {
        self.has_timed_out || !exit.code.is_some_and(|code| self.spec.success_exit_codes.contains(&code))
    }

    /// Whether its end stops all daemons.
    pub(super) fn stops_all(&self, is_failure: bool) -> bool {
        let by_timeout = self.has_timed_out && self.spec.ready.as_ref().is_some_and(|ready| ready.stops_all);
        self.spec.exit_on_end || is_failure && (self.spec.exit_on_failure || by_timeout)
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
