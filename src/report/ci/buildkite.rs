//! Buildkite: the log of each failed item in an open group of the job's log, and a last group with the errors.

use crate::report::item_log;
use crate::report::job_report::{JobItem, JobReport};
use crate::report::text::printable;

pub(super) fn lines(report: &JobReport) -> String {
    let command = &report.command;
    let group = |item: &JobItem| {
        let logs = inert_log(&item_log::text(&item.logs));
        format!("--- {command}: log of {}\n{logs}^^^ +++\n", printable(&item.name))
    };
    let error = |item: &JobItem| {
        let place = item.place.as_ref().map(|place| format!(" ({})", place.text())).unwrap_or_default();
        format!("  {}: {}{place}\n", printable(&item.name), printable(&item.reason))
    };
    let errors: String = report.failures().map(error).collect();
    let heading = (!errors.is_empty()).then(|| format!("+++ {command}: {}\n", report.closing));
    report.failed_with_logs().map(group).chain(heading).chain([errors]).collect()
}

/// Returns lines of a log, indented, so that none is a heading, which begins a group.
pub(super) fn inert_log(log: &str) -> String {
    format!("  {}\n", log.trim_end().replace('\n', "\n  "))
}

/// Returns a line, indented if it would be a heading or would open a group.
pub(super) fn inert(line: &str) -> String {
    let is_mark = ["---", "+++", "~~~", "^^^"].iter().any(|mark| line.starts_with(mark));
    format!("{}{line}", if is_mark { "  " } else { "" })
}
