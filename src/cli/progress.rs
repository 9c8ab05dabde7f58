//! The progress of requests: one bar for each binary on a terminal, plain lines elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::ci_log;
use crate::cli::command::{Context, Verbosity};
use crate::cli::message::{message, print_event};
use crate::engine::EngineEvent;
use crate::install::event::InstallEvent;
use crate::model::{BinaryName, Outcome};
use crate::report::short_id::short_id;
use crate::report::text::printable;

/// The length to which a line of a hook is cut, in characters.
const MAX_LINE_CHARS: usize = 100;

/// A display of the engine's events on standard error. Several threads may call it at the same time.
#[derive(Debug)]
pub(crate) struct ProgressDisplay {
    /// Whether nothing is installed, so that providers only find binaries.
    pub(crate) is_lookup: bool,
    verbosity: Verbosity,
    /// Hidden if there are no bars.
    bars: MultiProgress,
    bar_by_name: Mutex<HashMap<String, ProgressBar>>,
    printed: Mutex<HashSet<String>>,
}

impl ProgressDisplay {
    /// Returns a display with bars on a terminal, unless `CI` or `--quiet` is set or a CI system reads the messages.
    pub(crate) fn new(context: &Context) -> Self {
        let bars = MultiProgress::new();
        let is_job = context.settings.environment.get("CI").is_some() || ci_log::reader().is_some();
        if is_job || context.verbosity.quiet {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        let verbosity = context.verbosity;
        Self { is_lookup: false, verbosity, bars, bar_by_name: Mutex::default(), printed: Mutex::default() }
    }

    /// Shows an event.
    pub(crate) fn show(&self, event: &EngineEvent<'_>) {
        match event {
            EngineEvent::Install(name, event) => self.show_install(name, event),
            EngineEvent::Waiting(text) => self.note(text),
            other => print_event(other),
        }
    }

    fn show_install(&self, name: &BinaryName, event: &InstallEvent) {
        match event {
            InstallEvent::Waiting(holder) => {
                self.show_step(name.as_str(), &format!("waiting for another rigup ({holder})"));
            }
            InstallEvent::Started(provider) => self.show_step(name.as_str(), &format!("trying {provider}")),
            InstallEvent::Output(line) => self.show_output(name, line),
            InstallEvent::Attempted(attempt) if attempt.outcome == Outcome::Installed => {
                let verb = if self.is_lookup { "found" } else { "installed" };
                self.note(&format!("{name}: {verb} by {}", attempt.provider));
            }
            InstallEvent::Attempted(attempt) => {
                let is_notable =
                    matches!(attempt.outcome, Outcome::Failed | Outcome::Timeout | Outcome::Rejected);
                if self.verbosity.verbose || is_notable {
                    let reason = printable(&attempt.reason);
                    self.note(&format!("{name}: {} {}: {reason}", attempt.provider, attempt.outcome.verb()));
                }
                if let (true, Some(id)) = (self.verbosity.verbose, attempt.process_id) {
                    self.note(&format!("{name}: rigup process logs {}", short_id(id)));
                }
            }
            InstallEvent::Notice(text) if self.is_new(text) => {
                self.print(&format!("warning: {}", printable(text)));
            }
            InstallEvent::Notice(_) => {}
            InstallEvent::Warning(text) => self.print(&format!("warning: {name}: {}", printable(text))),
            InstallEvent::Finished => {
                if let Some(bar) = self.bar(name.as_str()) {
                    bar.finish_and_clear();
                }
            }
        }
    }

    /// Shows the latest line of a hook. Without bars, it shows only a line that begins with `waiting for`, as
    /// docs/hooks.md promises, so that the user sees why the hook does not continue.
    fn show_output(&self, name: &BinaryName, line: &str) {
        let line: String = printable(line).chars().take(MAX_LINE_CHARS).collect();
        if let Some(bar) = self.bar(name.as_str()) {
            bar.set_message(line);
        } else if line.starts_with("waiting for ") {
            let line = format!("{name}: {line}");
            if self.is_new(&line) {
                self.note(&line);
            }
        }
    }

    /// Shows what a binary or a daemon does.
    pub(crate) fn show_step(&self, name: &str, step: &str) {
        match self.bar(name) {
            Some(bar) => bar.set_message(printable(step)),
            None => self.note(&format!("{name}: {step}")),
        }
    }

    /// Prints the last step, in place of its bar.
    pub(crate) fn finish_step(&self, name: &str, step: &str) {
        let mut bar_by_name = self.bar_by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bar_by_name.remove(name) {
            bar.finish_and_clear();
        }
        drop(bar_by_name);
        self.note(&format!("{name}: {step}"));
    }

    /// Does something while no bar is on the terminal.
    pub(crate) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bars.suspend(work)
    }

    /// Whether there are bars.
    pub(crate) fn has_bars(&self) -> bool {
        !self.bars.is_hidden()
    }

    /// Prints a line, unless `--quiet` is set.
    fn note(&self, line: &str) {
        if !self.verbosity.quiet {
            self.print(line);
        }
    }

    /// Prints a line.
    fn print(&self, line: &str) {
        self.suspend(|| message!("{line}"));
    }

    /// Removes the remaining bars.
    pub(crate) fn clear(&self) {
        let _ = self.bars.clear();
    }

    /// Whether a text has not been printed yet. Counts it as printed.
    fn is_new(&self, text: &str) -> bool {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned())
    }

    /// Returns the bar of a binary or a daemon, or `None` if there are no bars.
    fn bar(&self, name: &str) -> Option<ProgressBar> {
        if self.bars.is_hidden() {
            return None;
        }
        let mut bar_by_name = self.bar_by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar_by_name.entry(name.to_owned()).or_insert_with(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix:.bold} {elapsed} {wide_msg}");
            let style = style.unwrap_or_else(|_error| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_prefix(printable(name)).with_style(style);
            let bar = self.bars.add(bar);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Some(bar.clone())
    }
}
