//! What a command in the foreground prints about daemons while it supervises them or waits for them.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use crate::cli::command::CliError;
use crate::cli::line_printer::LinePrinter;
use crate::cli::message::warning;
use crate::cli::output::Output;
use crate::cli::status_display::StatusDisplay;
use crate::engine::EngineError;
use crate::engine::daemon_logs::DaemonLogReader;
use crate::model::Daemon;
use crate::process::tail::POLL_INTERVAL;
use crate::settings::Settings;
use crate::store::Store;

/// What is printed besides the work of a command.
pub(crate) struct Attachment<'a> {
    /// Standard output, if the lines of daemons are printed to it.
    pub output: Option<&'a mut Output>,
    /// The display of the status of daemons.
    pub display: &'a StatusDisplay<'a>,
    /// Whether the status of daemons is shown as the store has it, because another process supervises them.
    pub shows_status: bool,
    /// The declared daemons.
    pub names: Vec<String>,
    /// Whether other daemons are printed, too.
    pub includes_others: bool,
}

impl Attachment<'_> {
    /// Does the work of a command, while a thread prints what daemons write and do from now on.
    pub(crate) fn during<T>(self, settings: &Settings, work: impl FnOnce() -> T) -> Result<T, CliError> {
        // The version of the store changes only if another connection writes.
        let store = Store::open(&settings.data_dir, &settings.lib_dir)?;
        let names = if self.includes_others { Vec::new() } else { self.names.clone() };
        let mut logs = DaemonLogReader::new(&store, names, None);
        logs.skip_kept()?;
        self.display.skip(&store.daemons()?);
        let display = self.display;
        let (end, ended) = mpsc::channel::<()>();
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                let ended = ended;
                if let Err(error) = self.print(&store, logs, &ended) {
                    warning!("cannot print what daemons write: {error}");
                }
            });
            // Dropped also if the work panics, because the thread would go on otherwise.
            let _end = end;
            work()
        });
        display.clear();
        Ok(result)
    }

    /// Prints until the work has ended, and then what is left.
    fn print(
        self,
        store: &Store,
        mut logs: DaemonLogReader<'_>,
        ended: &mpsc::Receiver<()>,
    ) -> Result<(), EngineError> {
        let Self { output, display, shows_status, names, includes_others } = self;
        let is_shown = |daemon: &Daemon| includes_others || names.contains(&daemon.name);
        let mut printer = output.map(|output| LinePrinter::with_names(output, names.clone()).inert());
        let mut version = None;
        loop {
            let is_last = ended.recv_timeout(POLL_INTERVAL) == Err(RecvTimeoutError::Disconnected);
            let now = Some(store.version()?);
            if shows_status && std::mem::replace(&mut version, now) != now {
                display.show_changes(store, is_shown)?;
            }
            if let Some(printer) = &mut printer {
                let count = printer.count;
                let read = logs.read(&mut |name, line| printer.print(name, line));
                if printer.count > count {
                    display.suspend(|| printer.flush());
                }
                // The daemons run on if no one reads what they write.
                if !printer.has_failed() {
                    read?;
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
