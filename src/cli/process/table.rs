//! The table of processes, with the resource usage of those that run.

use crate::cli::output::Output;
use crate::clock;
use crate::model::Process;
use crate::process::handle;
use crate::process::usage::{self, LiveUsage};
use crate::report::table::Table;
use crate::report::tables::{self, ProcessRow};

/// Prints processes as a table or as records.
pub(crate) fn write(processes: &[Process], output: &mut Output) {
    let table = || table(processes.iter().map(|process| (process, "")));
    output.list(processes, "no processes", table);
}

/// Returns the table of processes, each with its branch of the tree in front.
pub(crate) fn table<'a>(processes: impl IntoIterator<Item = (&'a Process, &'a str)>) -> Table {
    let row = |(process, branch): (&'a Process, &'a str)| {
        let live = live_usage(process).map(|usage| (usage.cpu_ms, usage.rss));
        ProcessRow { process, branch, live }
    };
    tables::processes(&processes.into_iter().map(row).collect::<Vec<_>>(), clock::now())
}

/// Returns the current resource usage of a process, or `None` if it is not running.
pub(crate) fn live_usage(process: &Process) -> Option<LiveUsage> {
    usage::usage(handle::find_running(process).ok()??.pid)
}
