//! What a person sees while requests are worked on: a line per binary on a terminal, plain lines elsewhere.

use std::collections::{HashMap, HashSet};
use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::output::{Talk, say};
use crate::install::event::InstallEvent;
use crate::install::plan::Request;
use crate::model::attempt::Outcome;
use crate::model::name::BinaryName;
use crate::report::text::printable;
use crate::settings::Environment;

/// Shows progress on standard error. Safe to be told from several threads.
#[derive(Debug)]
pub(crate) struct Display {
    talk: Talk,
    bars: Option<MultiProgress>,
    lines: Mutex<HashMap<BinaryName, ProgressBar>>,
    remarks: Mutex<HashSet<String>>,
}

impl Display {
    /// Bars on a terminal, unless `CI` is set or quiet was asked for.
    pub(crate) fn new(talk: Talk, environment: &Environment) -> Self {
        let has_bars = io::stderr().is_terminal() && environment.get("CI").is_none() && !talk.quiet;
        Self {
            talk,
            bars: has_bars.then(MultiProgress::new),
            lines: Mutex::default(),
            remarks: Mutex::default(),
        }
    }

    /// Shows what happens to a request.
    pub(crate) fn show(&self, request: &Request, event: &InstallEvent) {
        let name = &request.name;
        match event {
            InstallEvent::Waiting { holder } => {
                self.step(name, format!("waiting for another rigup (pid {holder})"));
            }
            InstallEvent::Started { provider } => self.step(name, format!("trying {provider}")),
            InstallEvent::Output { line } => {
                let line: String = printable(line).chars().take(100).collect();
                if let Some(bar) = self.bar(name) {
                    bar.set_message(line);
                } else if line.starts_with("waiting for ") {
                    // As docs/hooks.md promises: without a bar, nobody would know why nothing happens.
                    let line = format!("{name}: {line}");
                    if self.is_new(&line) {
                        self.say(&line);
                    }
                }
            }
            InstallEvent::Attempted(attempt) if attempt.outcome == Outcome::Installed => {
                self.say(&format!("{name}: {} has it", attempt.provider));
            }
            InstallEvent::Attempted(attempt) => {
                if self.talk.verbose
                    || matches!(attempt.outcome, Outcome::Failed | Outcome::Timeout | Outcome::Rejected)
                {
                    let reason = printable(&attempt.reason);
                    self.say(&format!("{name}: {} {}: {reason}", attempt.provider, attempt.outcome));
                    if let (true, Some(id)) = (self.talk.verbose, attempt.process_id) {
                        self.say(&format!("{name}: rigup process logs {id}"));
                    }
                }
            }
            InstallEvent::Notice(text) => self.remark(text),
            InstallEvent::Finished => self.done(request),
            InstallEvent::Warning(text) => {
                if !self.talk.quiet {
                    self.print(&format!("warning: {name}: {}", printable(text)));
                }
            }
        }
    }

    /// Says what is true of a provider once, however many requests it is true of.
    fn remark(&self, text: &str) {
        if !self.talk.quiet && self.is_new(text) {
            self.print(&format!("warning: {}", printable(text)));
        }
    }

    /// Whether this is said for the first time.
    fn is_new(&self, text: &str) -> bool {
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned())
    }

    /// Takes the bar of a request away that is over.
    fn done(&self, request: &Request) {
        if let Some(bar) = self.bar(&request.name) {
            bar.finish_and_clear();
        }
    }

    /// Takes what is left of the bars away.
    pub(crate) fn clear(&self) {
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
        }
    }

    fn step(&self, name: &BinaryName, what: String) {
        match self.bar(name) {
            Some(bar) => bar.set_message(what),
            None => self.say(&format!("{name}: {what}")),
        }
    }

    fn say(&self, line: &str) {
        if !self.talk.quiet {
            self.print(line);
        }
    }

    fn print(&self, line: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(line);
            }
            None => say(line),
        }
    }

    /// The bar of a binary; none where there are no bars.
    fn bar(&self, name: &BinaryName) -> Option<ProgressBar> {
        let bars = self.bars.as_ref()?;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = lines.entry(name.clone()).or_insert_with(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix:.bold} {elapsed} {wide_msg}");
            let bar = bars.add(ProgressBar::new_spinner().with_prefix(name.to_string()));
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Some(bar.clone())
    }
}
