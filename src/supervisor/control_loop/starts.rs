//! The starts of executions: a few waiters start at a time, and the loop goes on meanwhile.

use std::time::{Duration, Instant};

use crate::clock;
use crate::model::{DaemonName, ExitReason, Health, LifecycleEvent, Process, Readiness};
use crate::process::waiter::LaunchError;
use crate::runs::start::{self, StartingRun};
use crate::supervisor::control_loop::stored_state::updated;
use crate::supervisor::control_loop::threads::ThreadReport;
use crate::supervisor::control_loop::{ControlLoop, Execution, Watched};
use crate::supervisor::execution;
use crate::supervisor::policy::PolicyEvent;
use crate::supervisor::readiness;
use crate::supervisor::staleness;

/// The number of waiters that start at a time. More do not start sooner, because the loop starts them one after another.
const MAX_STARTING: usize = 8;

impl ControlLoop<'_> {
    /// Starts a daemon once the hooks of its start have succeeded, if it has any.
    pub(super) fn request_start(&mut self, name: &DaemonName) {
        self.publish(LifecycleEvent::PreStart, name);
        if !self.is_start_pending(name) {
            self.starts.push_back(name.clone());
        }
    }

    /// Begins the next start that is due, unless enough waiters are starting. Returns whether it did.
    pub(super) fn begin_start(&mut self) -> bool {
        if self.starting().count() >= MAX_STARTING {
            return false;
        }
        let Some(name) = self.starts.pop_front() else { return false };
        match self.begin_execution(&name) {
            Ok(run) => {
                let process_id = run.process.id;
                let watched = Watched::Starting(Box::new(run), None);
                self.executions.insert(name, Execution::new(process_id, watched));
            }
            Err(problem) => self.handle(PolicyEvent::CannotStart(&name, problem)),
        }
        true
    }

    /// Begins an execution of a daemon. It is stored as the current one, with the digest that it is started with, before it
    /// runs: the next supervisor finds it, and knows whether the declaration has changed since then, whenever this one is
    /// killed.
    fn begin_execution(&mut self, name: &DaemonName) -> Result<StartingRun, String> {
        let now = self.now();
        let (Some(daemon), Some(state)) = (self.daemons.get_mut(name), self.policy.state(name)) else {
            return Err("it is not declared".to_owned());
        };
        let spec = daemon.spec.clone();
        let prepare = |ready: &Readiness| readiness::prepare(&ready.probe, spec.attributes.user.as_deref());
        spec.ready.as_ref().map_or(Ok(()), prepare)?;
        let reserved = self.launcher.reserve(&spec)?;
        daemon.binaries = staleness::binaries(self.store, reserved.process.machine_id, &spec.binaries)
            .map_err(|error| format!("cannot read its binaries: {error}"))?;
        (daemon.process_id, daemon.ready_at) = (Some(reserved.process.id), None);
        (daemon.digest, daemon.is_stale) = (spec.digest(), false);
        // What has changed is reported once it runs.
        let row = updated(daemon, state, true, clock::now(), now).masked();
        let saved = self.store.save_daemons(&[row]);
        saved.map_err(|error| format!("cannot store its execution: {error}"))?;
        self.launcher.begin(reserved, &spec)
    }

    /// Cancels a start that has not begun. Returns whether there was one.
    pub(super) fn cancel_start(&mut self, name: &DaemonName) -> bool {
        if self.is_start_pending(name) {
            self.cancel_hooks_of_start(name);
            return true;
        }
        let Some(index) = self.starts.iter().position(|start| start == name) else { return false };
        self.starts.remove(index);
        self.handle(PolicyEvent::CannotStart(name, "it was stopped before its start".to_owned()));
        true
    }

    /// Returns the time until a waiter that is starting must have reported, or `None` if none is starting.
    pub(super) fn next_overdue(&self) -> Option<Duration> {
        self.starting().map(|run| run.waiter.deadline.saturating_duration_since(Instant::now())).min()
    }

    /// Goes on with an execution whose waiter has reported, or has not in time.
    pub(super) fn finish_start(&mut self, name: DaemonName, run: StartingRun, is_stop_urgent: Option<bool>) {
        let StartingRun { process, waiter } = run;
        let waiter = match waiter.finish() {
            Ok(waiter) => waiter,
            Err(failed) => {
                return self
                    .spawn(move || Some(ThreadReport::CannotStart(name, Box::new(process), failed.end())));
            }
        };
        let Some(daemon) = self.daemons.get(&name) else { return };
        // Its waiter has recorded how it runs.
        let process = self.store.process(process.id).ok().flatten().unwrap_or(process);
        if process.exit().is_some_and(|exit| exit.reason == ExitReason::SpawnFailed) {
            // It never ran, which its exit will say.
            self.executions.insert(name, Execution::new(process.id, Watched::Waiter(waiter)));
            return;
        }
        let checks = self.start_checks(&daemon.spec.clone(), &process, false, Health::Starting);
        let identity = process.running().map(|running| running.identity.clone());
        let execution = Execution { identity, checks, ..Execution::new(process.id, Watched::Waiter(waiter)) };
        self.executions.insert(name.clone(), execution);
        self.handle(PolicyEvent::Started(&name));
        self.prune_executions(name.clone());
        if self.policy.state(&name).is_some_and(|state| state.is_restarted) {
            self.publish(LifecycleEvent::Restarted, &name);
        }
        if let Some(is_urgent) = is_stop_urgent {
            self.stop_daemon(&name, is_urgent);
        }
    }

    /// Removes old executions of a daemon in a thread, if there are any.
    fn prune_executions(&mut self, name: DaemonName) {
        if matches!(execution::is_prunable(self.store, &name), Ok(false)) {
            return;
        }
        let (data_dir, lib_dir) = (self.settings.data_dir.clone(), self.settings.lib_dir.clone());
        self.spawn(move || {
            let problem = execution::prune(&data_dir, &lib_dir, &name).err()?;
            Some(ThreadReport::Warning(format!("cannot remove old executions of {name}: {problem}")))
        });
    }

    /// Passes on that an execution could not be started.
    pub(super) fn fail_start(&mut self, name: &DaemonName, process: &Process, error: LaunchError) {
        let problem = start::record_failure(self.store, process, error).to_string();
        self.handle(PolicyEvent::CannotStart(name, problem));
    }

    fn starting(&self) -> impl Iterator<Item = &StartingRun> {
        self.executions.values().filter_map(|execution| match &execution.watched {
            Watched::Starting(run, _) => Some(&**run),
            Watched::Waiter(_) | Watched::Other(_) => None,
        })
    }
}
