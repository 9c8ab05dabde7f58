//! The checks of executions, each of which runs in a thread of its own and ends with its execution.

use std::io::PipeWriter;
use std::time::Duration;

use crate::clock;
use crate::model::{DaemonName, DaemonSpec, DaemonStatus, Health, Process, ProcessId, ReadinessCheck};
use crate::process::launcher;
use crate::process::run_dir::{self, RunDir};
use crate::process::signals::Interrupt;
use crate::store::StoreError;
use crate::supervisor::control_loop::ControlLoop;
use crate::supervisor::control_loop::threads::{ThreadReport, ThreadReporter};
use crate::supervisor::health;
use crate::supervisor::policy::PolicyEvent;
use crate::supervisor::readiness::{self, ProbeContext};

impl ControlLoop<'_> {
    /// Starts the checks of an execution that has this health, and returns what ends them when it is dropped. One that
    /// `is_ready` is not checked for that.
    pub(super) fn start_checks(
        &mut self,
        spec: &DaemonSpec,
        process: &Process,
        is_ready: bool,
        health: Health,
    ) -> Vec<PipeWriter> {
        let ready = spec.ready.clone().filter(|_| !is_ready);
        if ready.is_none() && spec.healthcheck.is_none() {
            return Vec::new();
        }
        let mut ends = Vec::new();
        let run_dir = RunDir::at(&run_dir::path(&self.settings.data_dir, process.id));
        let context = ProbeContext {
            execution: Some(process.clone()),
            run_dir: run_dir.path().into_owned(),
            stdout: run_dir.stdout(),
            stderr: run_dir.stderr(),
            env: self.launcher.environment(spec, process.id).all,
            cwd: spec.working_dir.clone(),
            launcher: launcher::words(&self.settings.rigup, spec.attributes.if_any()),
        };
        let (name, id) = (spec.name.clone(), process.id);
        if let Some(check) = spec.healthcheck.clone()
            && let Ok((end, writer)) = Interrupt::on_drop()
        {
            ends.push(writer);
            let (context, name) = (context.clone(), name.clone());
            let started = process.running().map(|running| clock::now().duration_since(running.started_at));
            let uptime = started.and_then(|uptime| Duration::try_from(uptime).ok()).unwrap_or_default();
            let health = if health == Health::None { Health::Starting } else { health };
            self.spawn_check(&check.probe.clone(), move |reporter| {
                health::watch(&check, &context, health, uptime, &end, |result| {
                    reporter.send(ThreadReport::Health(name.clone(), id, result));
                });
            });
        }
        if let Some(ready) = ready
            && let Ok((end, writer)) = Interrupt::on_drop()
        {
            ends.push(writer);
            self.spawn_check(&ready.probe.clone(), move |reporter| {
                if let Some(result) = readiness::wait(&ready, &context, &end) {
                    reporter.send(ThreadReport::Readiness(name, id, result));
                }
            });
        }
        ends
    }

    /// Passes a change of health on to the policy, unless the execution is over.
    pub(super) fn note_health(&mut self, name: &DaemonName, id: ProcessId, result: Result<(), String>) {
        if self.executions.get(name).is_some_and(|execution| execution.process_id == id) {
            self.handle(match result {
                Ok(()) => PolicyEvent::Healthy(name),
                Err(problem) => PolicyEvent::Unhealthy(name, problem),
            });
        }
    }

    /// Ends the checks of a daemon, and starts those of its new declaration.
    pub(super) fn restart_checks(&mut self, name: &DaemonName) -> Result<(), StoreError> {
        let Some(execution) = self.executions.get_mut(name) else { return Ok(()) };
        execution.checks.clear();
        let process = self.store.process(execution.process_id)?;
        let (Some(process), Some(daemon)) = (process, self.daemons.get(name).cloned()) else { return Ok(()) };
        let Some(state) = self.policy.state(name).filter(|state| state.status != DaemonStatus::Stopping)
        else {
            return Ok(());
        };
        let health = state.health;
        let checks = self.start_checks(&daemon.spec, &process, daemon.ready_at.is_some(), health);
        if let Some(execution) = self.executions.get_mut(name) {
            execution.checks = checks;
        }
        Ok(())
    }

    /// Runs a check in a thread. The supervisor does not exit before one that runs commands.
    fn spawn_check(
        &mut self,
        probe: &ReadinessCheck,
        work: impl FnOnce(&mut ThreadReporter) + Send + 'static,
    ) {
        self.threads.add(matches!(probe, ReadinessCheck::Exec(_)), work);
        self.start_threads();
    }
}
