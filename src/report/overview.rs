//! The page of `rigup report`: what a data dir contains, in one file of HTML, SVG and CSS.

use std::path::PathBuf;

use askama::Template;
use jiff::{SignedDuration, Timestamp};

use crate::clock;
use crate::model::{Attempt, Binary, Daemon, Health, Installed, Process};
use crate::report::log_text::last_bytes;
use crate::report::timings::Timings;
use crate::report::timings::chart::Chart;
use crate::report::{tables, units};

/// The number of bytes of a log that the page shows, so that a browser can show the page.
pub(crate) const MAX_LOG: usize = 1000;

/// What a data dir contains.
#[derive(Debug)]
pub(crate) struct Overview {
    /// The data dir.
    pub data_dir: PathBuf,
    /// LIB_BIN_DIR.
    pub lib_bin_dir: PathBuf,
    /// When it was read.
    pub at: Timestamp,
    /// The binaries that are installed, with whether they are linked.
    pub installed: Vec<(Binary, bool)>,
    /// The binaries that are not installed.
    pub missing: Vec<MissingBinary>,
    /// The number of binaries that are left out.
    pub binaries_left_out: usize,
    /// The newest commands, newest first.
    pub commands: Vec<RecentCommand>,
    /// The daemons, with their current or last executions.
    pub daemons: Vec<(Daemon, Option<Process>)>,
}

/// A binary that is not installed.
#[derive(Debug)]
pub(crate) struct MissingBinary {
    /// The binary.
    pub binary: Binary,
    /// The last attempts, newest first, with the time of each and the end of its log.
    pub attempts: Vec<(Attempt, Timestamp, String)>,
}

/// A command of rigup, with its hooks.
#[derive(Debug)]
pub(crate) struct RecentCommand {
    /// The process.
    pub process: Process,
    /// The times of its first hooks.
    pub timings: Timings,
    /// The number of its hooks that are left out.
    pub hooks_left_out: usize,
}

impl RecentCommand {
    fn duration(&self) -> SignedDuration {
        tables::elapsed(&self.process, self.timings.command.ended).unwrap_or_default()
    }
}

#[derive(Template)]
#[template(path = "overview/page.html", config = "src/report/askama.toml")]
struct OverviewPage<'a> {
    overview: &'a Overview,
}

impl OverviewPage<'_> {
    fn ago(&self, at: Timestamp) -> String {
        units::relative_time(at, self.overview.at)
    }

    fn alive(&self) -> usize {
        self.overview.daemons.iter().filter(|(daemon, _)| daemon.status.is_alive()).count()
    }

    /// Returns how a process ended, and the class with the color for it.
    fn state(process: &Process) -> (String, &'static str) {
        let class = match process.exit() {
            None => "mixed",
            Some(_) if process.has_failed() => "failed",
            Some(_) if process.is_skipped() => "skipped",
            Some(_) => "installed",
        };
        (tables::process_state(process).text, class)
    }

    /// Returns the class with the color for the status of a daemon.
    fn daemon_class(daemon: &Daemon) -> &'static str {
        if !daemon.last_error.is_empty() || daemon.current_health() == Health::Unhealthy {
            "failed"
        } else if daemon.status.is_alive() {
            "installed"
        } else {
            "plain"
        }
    }

    fn end_of(log: &str) -> &str {
        last_bytes(log, MAX_LOG).trim_end()
    }

    fn installed(binary: &Binary) -> &Installed {
        binary.installed().expect("the list has only installed binaries")
    }
}

/// Returns the page, which needs no other file, no network and no script.
pub(crate) fn page(overview: &Overview) -> String {
    // Writing to a string never fails.
    OverviewPage { overview }.render().unwrap_or_default()
}
