//! Buildkite: the log of each failed item in an open group of the job's log, and a last group with the errors.

use crate::report::item_log;
use crate::report::job_report::{JobItem, JobReport};
use crate::report::text::printable;

pub(super) fn lines(report: &JobReport) -> String {
    let command = &report.command;
    let group = |item: &JobItem| {
        // A line of a log that begins like a heading begins no group.
        let logs = item_log::text(&item.logs).trim_end().replace('\n', "\n  ");
        format!("--- {command}: log of {}\n  {logs}\n^^^ +++\n", printable(&item.name))
    };
    let error = |item: &JobItem| {
        let place = item.place.as_ref().map(|place| format!(" ({})", place.text())).unwrap_or_default();
        format!("  {}: {}{place}\n", printable(&item.name), printable(&item.reason))
    };
    let errors: String = report.failures().map(error).collect();
    let heading = (!errors.is_empty()).then(|| format!("+++ {command}: {}\n", report.closing));
    report.failed_with_logs().map(group).chain(heading).chain([errors]).collect()
}
