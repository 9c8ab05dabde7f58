//! GitLab CI: the log of each failed item in a section of the job's log.

use crate::report::item_log;
use crate::report::job_report::{JobItem, JobReport};
use crate::report::text::printable;

/// Clears the line, so that a viewer without sections shows nothing of the marks.
const CLEAR: &str = "\x1b[0K";

pub(super) fn lines(report: &JobReport, now: i64) -> String {
    let failures = report.failed_with_logs();
    let section = |(number, item): (usize, &JobItem)| {
        let name = format!("rigup_{number}_{}", item.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let title = format!("{}: log of {}", report.command, printable(&item.name));
        let logs = item_log::text(&item.logs);
        format!(
            "{CLEAR}section_start:{now}:{name}[collapsed=true]\r{CLEAR}{title}\n{logs}{CLEAR}section_end:{now}:{name}\r{CLEAR}\n"
        )
    };
    failures.enumerate().map(section).collect()
}
