//! Decides which daemons are started and stopped, and when. Pure: it starts no processes and reads no clock. Every time
//! is a duration since the same arbitrary start.
//!
//! The caller carries out the actions, and reports what happens as events. It answers every [`Action::Start`] with
//! [`PolicyEvent::Started`] and later [`PolicyEvent::Exited`], or with [`PolicyEvent::CannotStart`]. An
//! [`Action::Stop`] may come before `Started`: then the caller cancels the start, and reports one of the latter two.

mod daemon;
mod order;
mod startup;
#[cfg(test)]
mod dependencies {
    mod tests;
}
#[cfg(test)]
mod health {
    mod tests;
}
#[cfg(test)]
mod properties {
    mod tests;
}
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use crate::model::{Condition, DaemonName, DaemonSpec, DaemonStatus, Dependency};
use daemon::SupervisedDaemon;

pub(crate) use daemon::{Action, Adopted, AdoptedState, DaemonState, Exit, PolicyEvent};
pub(crate) use order::{check, named, order, to_run, with_dependencies};
pub(crate) use startup::Startup;

/// The daemons in the order of their declaration.
#[derive(Debug, Default)]
pub(crate) struct DaemonPolicy {
    daemons: Vec<SupervisedDaemon>,
    is_ending: bool,
    /// Whether a daemon was declared or adopted since the last decision.
    has_changed: bool,
}

impl DaemonPolicy {
    /// Creates a policy without daemons.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a daemon, or replaces the declaration of a known one, whose failed starts are counted from now on. `is_wanted` starts it unless it is active or has ended
    /// with success; the next call of [`Self::tick`] or [`Self::handle`] returns the action. It is false for a daemon
    /// that was stopped by hand, and true for every daemon that a wanted one requires.
    pub(crate) fn declare(&mut self, spec: DaemonSpec, is_wanted: bool) {
        self.has_changed = true;
        let can_start = is_wanted && !self.is_ending;
        let Some(daemon) = self.find_mut(&spec.name) else {
            self.daemons.push(SupervisedDaemon::new(spec, is_wanted));
            return;
        };
        daemon.spec = spec;
        daemon.failed_starts = 0;
        if mem::take(&mut daemon.is_orphan) {
            daemon.state.is_wanted = is_wanted;
        }
        if can_start && matches!(daemon.state.status, DaemonStatus::Stopped | DaemonStatus::Failed) {
            daemon.wait_afresh();
        }
        if daemon.is_live() {
            daemon.begin_health();
        }
        if daemon.spec.ready.is_none() && daemon.running_since.is_some() {
            daemon.become_ready();
        }
    }

    /// Notes that a daemon is not declared any more: it is not started, but one that runs goes on until it ends or a command
    /// stops it.
    pub(crate) fn undeclare(&mut self, name: &DaemonName) {
        self.has_changed = true;
        if let Some(daemon) = self.find_mut(name) {
            daemon.is_orphan = true;
            daemon.rest();
        }
    }

    /// Removes a daemon that does not run.
    pub(crate) fn forget(&mut self, name: &DaemonName) {
        self.daemons.retain(|daemon| daemon.spec.name != *name);
        self.has_changed = true;
    }

    /// Takes over a declared daemon from an earlier supervisor.
    pub(crate) fn adopt(&mut self, name: &DaemonName, adopted: Adopted, now: Duration) {
        self.has_changed = true;
        if let Some(daemon) = self.find_mut(name) {
            daemon.adopt(adopted, now);
        }
    }

    /// Handles an event, and returns the actions that follow. It restarts no daemon whose backoff is over, so that one
    /// without a delay that cannot be started does not keep the caller from everything else.
    pub(crate) fn handle(&mut self, event: PolicyEvent<'_>, now: Duration) -> Vec<Action> {
        let is_ending = self.is_ending;
        let dependents =
            if let PolicyEvent::Restart(name) = event { self.restarted_with(name) } else { vec![] };
        let action = if let Some(name) = event.name() {
            self.find_mut(name).and_then(|daemon| daemon.handle(event, is_ending, now))
        } else {
            self.is_ending = true;
            None
        };
        let mut actions: Vec<Action> = action.into_iter().collect();
        for name in dependents.iter().filter(|_| !is_ending) {
            // One that does not run starts after its dependency anyway.
            actions.extend(self.find_mut(name).and_then(SupervisedDaemon::stop));
        }
        actions.extend(self.decide(now));
        actions
    }

    /// Restarts the daemons whose backoff is over, and returns the actions that are due.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Action> {
        for daemon in &mut self.daemons {
            if daemon.state.next_start.is_some_and(|at| at <= now) {
                daemon.state.status = DaemonStatus::Waiting;
                daemon.state.next_start = None;
            }
        }
        self.decide(now)
    }

    /// Returns when [`Self::tick`] must be called next, or `None` if only an event can change something.
    pub(crate) fn next_tick(&self) -> Option<Duration> {
        let timers = self.daemons.iter().filter_map(|daemon| daemon.state.next_start);
        timers.chain(self.has_changed.then_some(Duration::ZERO)).min()
    }

    /// Returns the state of a daemon, or `None` if it is unknown.
    pub(crate) fn state(&self, name: &DaemonName) -> Option<&DaemonState> {
        self.find(name).map(|daemon| &daemon.state)
    }

    /// Whether no daemon runs or waits, so that only a command could start one.
    pub(crate) fn is_over(&self) -> bool {
        self.daemons.iter().all(SupervisedDaemon::is_at_rest)
    }

    /// Whether all daemons are being stopped for good.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Whether a daemon has failed for good. The first failure of one with `exit_on_failure` is for good.
    pub(crate) fn has_failed(&self) -> bool {
        self.daemons.iter().any(|daemon| daemon.state.status == DaemonStatus::Failed)
    }

    /// Returns how far the start of the daemons with these names is.
    pub(crate) fn startup(&self, names: &BTreeSet<DaemonName>, now: Duration) -> Startup {
        Startup::of(&self.daemons, names, self.is_ending, now)
    }

    /// Returns those of the daemons with these names that have failed, were stopped or are not ready, each with the reason.
    pub(crate) fn startup_problems(
        &self,
        names: &BTreeSet<DaemonName>,
        now: Duration,
    ) -> Vec<(DaemonName, String)> {
        let awaited = self.daemons.iter().filter(|daemon| names.contains(&daemon.spec.name));
        let problem = |daemon: &SupervisedDaemon| {
            let problem = daemon.startup_problem(&self.daemons, self.is_ending, now)?;
            Some((daemon.spec.name.clone(), problem))
        };
        let forgotten = names.iter().filter(|name| self.find(name).is_none());
        let forgotten = forgotten.map(|name| (name.clone(), startup::UNDECLARED.to_owned()));
        awaited.filter_map(problem).chain(forgotten).collect()
    }

    /// Fails the daemons that can never start, stops those that are not wanted, and starts those whose dependencies hold.
    fn decide(&mut self, now: Duration) -> Vec<Action> {
        self.has_changed = false;
        self.is_ending |= self.daemons.iter().any(SupervisedDaemon::has_stopped_all);
        while !self.is_ending
            && let Some((index, reason)) = self.blocked()
        {
            let daemon = &mut self.daemons[index];
            daemon.state.status = DaemonStatus::Failed;
            daemon.state.last_error = reason;
            self.is_ending = daemon.has_stopped_all();
        }
        if self.is_ending {
            return self.stop_in_order();
        }
        let unwanted = self.daemons.iter_mut().filter(|daemon| !daemon.state.is_wanted);
        let mut actions: Vec<Action> = unwanted.filter_map(SupervisedDaemon::stop).collect();
        let can_start = |daemon: &SupervisedDaemon| {
            let is_waiting = daemon.state.status == DaemonStatus::Waiting;
            is_waiting
                && daemon.spec.depends_on.iter().all(|dependency| self.holds(dependency) == Ok(true))
                && !self.daemons.iter().any(|other| other.is_replaced_by(&daemon.spec))
        };
        let startable: Vec<usize> =
            (0..self.daemons.len()).filter(|i| can_start(&self.daemons[*i])).collect();
        actions.extend(startable.into_iter().map(|index| self.daemons[index].start(now)));
        actions
    }

    /// Returns the daemons that a restart of a daemon by a command restarts, too.
    fn restarted_with(&self, name: &DaemonName) -> Vec<DaemonName> {
        let mut found = vec![name.clone()];
        let mut next = 0;
        while let Some(dependency) = found.get(next).cloned() {
            let depends = |daemon: &&SupervisedDaemon| {
                let mut depends_on = daemon.spec.depends_on.iter();
                !daemon.is_orphan && depends_on.any(|other| other.restart && other.name == dependency)
            };
            let dependents = self.daemons.iter().filter(depends).map(|daemon| &daemon.spec.name);
            let new: Vec<DaemonName> = dependents.filter(|name| !found.contains(name)).cloned().collect();
            found.extend(new);
            next += 1;
        }
        found.remove(0);
        found
    }

    fn find(&self, name: &DaemonName) -> Option<&SupervisedDaemon> {
        self.daemons.iter().find(|daemon| daemon.spec.name == *name)
    }

    fn find_mut(&mut self, name: &DaemonName) -> Option<&mut SupervisedDaemon> {
        self.daemons.iter_mut().find(|daemon| daemon.spec.name == *name)
    }

    /// Whether a dependency lets its dependent start, or why it never will unless it is started by hand. An optional
    /// one holds unless it is going to run. One that is required and not declared yet does not hold; [`check`] finds those
    /// that are never declared.
    fn holds(&self, dependency: &Dependency) -> Result<bool, String> {
        let name = &dependency.name;
        if dependency.condition == Condition::None {
            return Ok(true);
        }
        let Some(daemon) = self.find(name) else { return Ok(!dependency.required) };
        let holds = match (daemon.state.status, dependency.condition) {
            (DaemonStatus::Failed | DaemonStatus::Stopped, _) if !dependency.required => true,
            // One that failed without a start has not run.
            (DaemonStatus::Failed, Condition::Completed) if daemon.state.exit.is_some() => true,
            (DaemonStatus::Failed, _) => {
                return Err(format!("the dependency {name} failed: {}", daemon.state.last_error));
            }
            (DaemonStatus::Running, Condition::Healthy) => daemon.is_healthy(),
            (DaemonStatus::Running, Condition::Started | Condition::Ready)
            | (DaemonStatus::Exited, Condition::Started | Condition::Ready | Condition::Healthy) => true,
            (DaemonStatus::Starting, Condition::Started) => daemon.running_since.is_some(),
            (_, Condition::CompletedSuccessfully | Condition::Completed) => daemon.has_succeeded,
            _ => false,
        };
        Ok(holds)
    }

    /// Returns a waiting daemon that can never start, and the reason.
    fn blocked(&self) -> Option<(usize, String)> {
        let mut waiting = self
            .daemons
            .iter()
            .enumerate()
            .filter(|(_, daemon)| daemon.state.status == DaemonStatus::Waiting);
        waiting.find_map(|(index, daemon)| {
            let reason = daemon.spec.depends_on.iter().find_map(|dependency| self.holds(dependency).err())?;
            Some((index, reason))
        })
    }

    /// Stops the daemons on which no live one depends, directly or through others.
    fn stop_in_order(&mut self) -> Vec<Action> {
        let live: Vec<&SupervisedDaemon> = self.daemons.iter().filter(|daemon| daemon.is_live()).collect();
        let mut needed: BTreeSet<DaemonName> = BTreeSet::new();
        let mut rest = live.clone();
        while let Some(daemon) = rest.pop() {
            for Dependency { name, .. } in &daemon.spec.depends_on {
                if needed.insert(name.clone()) {
                    rest.extend(self.find(name));
                }
            }
        }
        // Declarations that were replaced one by one may form a cycle.
        if live.iter().all(|daemon| needed.contains(&daemon.spec.name)) {
            needed.clear();
        }
        self.daemons.iter_mut().for_each(SupervisedDaemon::rest);
        let next = self.daemons.iter_mut().filter(|daemon| !needed.contains(&daemon.spec.name));
        next.filter_map(SupervisedDaemon::stop).collect()
    }
}
