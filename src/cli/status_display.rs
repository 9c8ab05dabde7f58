//! What daemons do, on standard error: a bar for each that starts on a terminal, and plain lines.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::cli::progress::ProgressDisplay;
use crate::engine::EngineError;
use crate::model::{Daemon, DaemonStatus, Health, Process};
use crate::report::tables;
use crate::report::text::printable;
use crate::shell;
use crate::sorting::sort_by_key;
use crate::store::Store;

/// A display of the status of daemons. Several threads may call it at the same time.
#[derive(Debug)]
pub(crate) struct StatusDisplay<'p> {
    progress: &'p ProgressDisplay,
    /// The status that each daemon had last.
    last: Mutex<BTreeMap<String, DaemonStatus>>,
}

impl<'p> StatusDisplay<'p> {
    /// Returns a display that has shown nothing.
    pub(crate) fn new(progress: &'p ProgressDisplay) -> Self {
        Self { progress, last: Mutex::default() }
    }

    /// Shows the status of a daemon. The process is its current or last execution.
    pub(crate) fn show(&self, daemon: &Daemon, process: Option<&Process>) {
        self.note(daemon);
        let text = state(daemon, process);
        if matches!(daemon.status, DaemonStatus::Waiting | DaemonStatus::Starting) {
            self.progress.show_step(&daemon.name, &text);
        } else {
            self.progress.finish_step(&daemon.name, &text);
        }
    }

    /// Shows the daemons whose status has changed in the store, of those that `is_shown` selects.
    pub(crate) fn show_changes(
        &self,
        store: &Store,
        is_shown: impl Fn(&Daemon) -> bool,
    ) -> Result<(), EngineError> {
        let mut daemons = store.daemons()?;
        // As the supervisor reports them: one that has ended before those that start or stop for that reason.
        sort_by_key(&mut daemons, |daemon| daemon.status.is_alive());
        for daemon in daemons.iter().filter(|daemon| is_shown(daemon)) {
            if self.note(daemon) != Some(daemon.status) {
                let process = daemon.process_id.map(|id| store.process(id)).transpose()?.flatten();
                self.show(daemon, process.as_ref());
            }
        }
        Ok(())
    }

    /// Counts the status of daemons as shown.
    pub(crate) fn skip(&self, daemons: &[Daemon]) {
        for daemon in daemons {
            self.note(daemon);
        }
    }

    /// Does something while no bar is on the terminal.
    pub(crate) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.progress.suspend(work)
    }

    /// Removes the remaining bars.
    pub(crate) fn clear(&self) {
        self.progress.clear();
    }

    /// Notes the status of a daemon, and returns the one before.
    fn note(&self, daemon: &Daemon) -> Option<DaemonStatus> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(daemon.name.clone(), daemon.status)
    }
}

/// Returns what a daemon does now, without its name.
fn state(daemon: &Daemon, process: Option<&Process>) -> String {
    let pid = process.and_then(Process::running).map(|running| format!(" (pid {})", running.identity.pid));
    match daemon.status {
        DaemonStatus::Starting | DaemonStatus::Running => {
            let health = match daemon.current_health() {
                Health::None | Health::Starting => String::new(),
                Health::Healthy => ", healthy".to_owned(),
                Health::Unhealthy => format!(", {}", printable(&daemon.last_error)),
            };
            format!("{}{}{health}", daemon.status, pid.unwrap_or_default())
        }
        DaemonStatus::Backoff | DaemonStatus::Failed => {
            let name = printable(&shell::quote_text(&daemon.name));
            format!("{}: {} (rigup logs {name})", daemon.status, printable(&daemon.last_error))
        }
        DaemonStatus::Exited => {
            let state = process.map(|process| tables::process_state(process).text).unwrap_or_default();
            format!("{} ({state})", daemon.status)
        }
        status => status.to_string(),
    }
}

/// Returns what a daemon does now, as a line.
pub(crate) fn describe(daemon: &Daemon, process: Option<&Process>) -> String {
    format!("{}: {}", printable(&daemon.name), state(daemon, process))
}
