//! Azure Pipelines: groups, issues and the PATH of the next steps, as lines in the log of the step.

use crate::report::item_log;
use crate::report::job_report::{JobItem, JobReport};
use crate::report::text::{printable, printable_lines};

pub(super) fn lines(report: &JobReport) -> String {
    let command = &report.command;
    let group = |item: &JobItem| {
        let logs = inert(&item_log::text(&item.logs));
        format!("##[group]{command}: log of {}\n{logs}##[endgroup]\n", inert(&printable(&item.name)))
    };
    let issue = |item: &JobItem| {
        let place = item.place.as_ref().map(|place| {
            let line = place.line.map(|line| format!("linenumber={line};")).unwrap_or_default();
            format!("sourcepath={};{line}", escape_property(&inert(&printable_lines(&place.file))))
        });
        let message =
            inert(&format!("{command}: {}: {}", printable_lines(&item.name), printable_lines(&item.reason)));
        let place = place.unwrap_or_default();
        format!("##vso[task.logissue type=error;{place}]{}\n", escape_data(&message))
    };
    let path = |folder: &String| format!("##vso[task.prependpath]{}\n", escape_data(folder));
    let groups = report.failed_with_logs().map(group);
    groups.chain(report.failures().map(issue)).chain(report.bin_dir.iter().map(path)).collect()
}

/// Returns text without the beginnings of commands.
pub(super) fn inert(text: &str) -> String {
    text.replace("##vso[", "## vso[").replace("##[", "## [")
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%AZP25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(']', "%5D").replace(';', "%3B")
}
