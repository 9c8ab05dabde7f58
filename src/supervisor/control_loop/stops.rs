//! How the control loop stops an execution.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::model::DaemonName;
use crate::settings::Settings;
use crate::supervisor::control_loop::{ControlLoop, Watched};
use crate::supervisor::execution;

/// The pause after which a daemon is stopped again that could not be stopped.
const STOP_PAUSE: Duration = Duration::from_secs(1);

impl ControlLoop<'_> {
    /// Stops an execution in a thread, with its signal and its grace period, or kills it at once. Its exit is observed like any
    /// other.
    pub(super) fn stop_daemon(&mut self, name: &DaemonName, is_urgent: bool) {
        let (Some(daemon), Some(execution)) = (self.daemons.get(name), self.executions.get_mut(name)) else {
            return;
        };
        if let Watched::Starting(_, is_stop_urgent) = &mut execution.watched {
            *is_stop_urgent = Some(is_urgent);
            return;
        }
        execution.checks.clear();
        let (ends_with_it, end) = mpsc::channel();
        execution.stops.push(ends_with_it);
        let (mut spec, id, name) = (daemon.spec.clone(), execution.process_id, name.clone());
        let known = execution.identity.clone();
        if is_urgent {
            (spec.stop_signal, spec.stop_grace_period) = ("KILL".to_owned(), Duration::ZERO);
            (spec.stop_command, spec.is_signalled_alone) = (None, false);
        }
        let Settings { data_dir, lib_dir, rigup, .. } = self.settings;
        let (data_dir, lib_dir, rigup) = (data_dir.clone(), lib_dir.clone(), rigup.clone());
        self.threads.add(true, move |reporter| {
            let mut is_first = true;
            let warning = loop {
                match execution::stop(&data_dir, &lib_dir, &rigup, id, known.as_ref(), &spec) {
                    Ok(warning) => break warning,
                    Err(problem) if is_first => {
                        reporter
                            .warn(format!("cannot stop {name}: {problem}; trying again until that works"));
                    }
                    Err(_) => {}
                }
                is_first = false;
                if end.recv_timeout(STOP_PAUSE) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            };
            if let Some(text) = warning {
                reporter.warn(format!("{name}: {text}"));
            }
        });
        self.start_threads();
    }
}
