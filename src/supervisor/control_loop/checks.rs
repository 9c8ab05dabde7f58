//! The checks of executions, each of which runs in a thread of its own and ends with its execution.

use std::io::{PipeWriter, Write};

use crate::model::{DaemonSpec, Process, ReadinessCheck};
use crate::process::launcher;
use crate::process::run_dir::{self, RunDir};
use crate::process::signals::Interrupt;
use crate::supervisor::control_loop::{ControlLoop, ThreadReport};
use crate::supervisor::readiness::{self, ProbeContext};

impl ControlLoop<'_> {
    /// Starts the checks of an execution, and returns what ends them when it is dropped; `None` if there are none. One that
    /// `is_ready` is not checked for that.
    pub(super) fn start_checks(
        &mut self,
        spec: &DaemonSpec,
        process: &Process,
        is_ready: bool,
    ) -> Option<PipeWriter> {
        let ready = spec.ready.clone().filter(|_| !is_ready)?;
        let (end, writer) = Interrupt::on_drop().ok()?;
        let run_dir = RunDir::at(&run_dir::path(&self.settings.data_dir, process.id));
        let context = ProbeContext {
            stdout: run_dir.stdout(),
            stderr: run_dir.stderr(),
            env: self.launcher.environment(spec, process.id).all,
            cwd: spec.working_dir.clone(),
            launcher: launcher::words(&self.settings.rigup, spec.attributes.if_any()),
        };
        let (name, id) = (spec.name.clone(), process.id);
        let has_command = matches!(ready.probe, ReadinessCheck::Exec(_));
        self.spawn_check(has_command, move || {
            readiness::wait(&ready, &context, &end).map(|result| ThreadReport::Readiness(name, id, result))
        });
        Some(writer)
    }

    /// Does the work of a check in a thread, and passes its report on. The supervisor does not exit before a check that
    /// `has_command`.
    fn spawn_check(
        &mut self,
        has_command: bool,
        work: impl FnOnce() -> Option<ThreadReport> + Send + 'static,
    ) {
        let sender = self.reports.0.clone();
        let Ok(mut wake) = self.wake.1.try_clone() else { return };
        let check = std::thread::Builder::new().spawn(move || {
            if let Some(report) = work()
                && sender.send(report).is_ok()
            {
                let _ = wake.write_all(&[0]);
            }
        });
        self.checks.retain(|check| !check.is_finished());
        self.checks.extend(check.ok().filter(|_| has_command));
    }

    /// Waits until the checks have ended whose executions are over, so that no command of one is left.
    pub(super) fn join_checks(&mut self) {
        for check in self.checks.drain(..) {
            let _ = check.join();
        }
    }
}
