//! The report of a command as JUnit XML, which most CI systems display.

use std::fmt::{self, Write};

use askama::Template;
use askama::filters::Escaper;
use jiff::{SignedDuration, Timestamp};

use crate::report::html::Html;
use crate::report::item_log;
use crate::report::job_report::{ItemOutcome, JobItem, JobReport};

/// An escaper for text in XML 1.0, which has no reference for most control characters.
#[derive(Clone, Copy)]
pub(super) struct Xml;

impl Escaper for Xml {
    fn write_escaped_str<W: Write>(&self, file: W, text: &str) -> fmt::Result {
        Html.write_escaped_str(file, &text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"))
    }
}

/// The file: one suite, with a case for each item, and an error for each further problem.
#[derive(Template)]
#[template(path = "junit.xml", config = "src/report/askama.toml", whitespace = "preserve")]
struct JunitSuite<'r> {
    report: &'r JobReport,
    timestamp: String,
}

impl JunitSuite<'_> {
    fn count(&self, outcome: ItemOutcome) -> usize {
        self.report.items.iter().filter(|item| item.outcome == outcome).count()
    }

    fn tests(&self) -> usize {
        self.report.items.len() + self.report.problems.len()
    }

    fn failures(&self) -> usize {
        self.count(ItemOutcome::Failed)
    }

    fn class<'i>(&'i self, item: &'i JobItem) -> &'i str {
        if item.group.is_empty() { &self.report.command } else { &item.group }
    }
}

/// Returns the place and the reason of a failure.
fn details(item: &JobItem) -> String {
    let place = item.place.as_ref().map(|place| format!("{}: ", place.text())).unwrap_or_default();
    place + &item.reason
}

/// Returns the seconds of a duration, with milliseconds.
fn seconds(duration: &SignedDuration) -> String {
    format!("{:.3}", duration.as_secs_f64())
}

/// Returns the file. `started` is when the command started.
pub(crate) fn file(report: &JobReport, started: Timestamp) -> String {
    let suite = JunitSuite { report, timestamp: started.strftime("%Y-%m-%dT%H:%M:%S").to_string() };
    // Writing to a string cannot fail.
    suite.render().unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::item_log::ItemLog;

    #[test]
    fn each_item_is_a_case_and_no_text_is_markup_or_a_control_character() {
        let hostile = "]]></failure>\"&\u{1b}[2J\0\u{fffe}";
        let failed = JobItem {
            group: "p".to_owned(),
            name: "a<b".to_owned(),
            outcome: ItemOutcome::Failed,
            reason: hostile.to_owned(),
            elapsed: Some(SignedDuration::from_millis(1_500)),
            logs: vec![ItemLog { heading: "x: stderr".to_owned(), text: "<log>\n".to_owned() }],
            ..JobItem::default()
        };
        let skipped = JobItem {
            name: "s".to_owned(),
            outcome: ItemOutcome::Skipped,
            reason: "no".to_owned(),
            ..JobItem::default()
        };
        let report = JobReport {
            command: "rigup run".to_owned(),
            items: vec![failed, skipped, JobItem { name: "ok".to_owned(), ..JobItem::default() }],
            problems: vec![JobItem {
                name: "p".to_owned(),
                reason: "x & y".to_owned(),
                ..JobItem::default()
            }],
            elapsed: SignedDuration::from_secs(2),
            ..JobReport::default()
        };
        let escaped = "]]&gt;&lt;/failure&gt;&quot;&amp;\u{fffd}[2J\u{fffd}\u{fffd}";
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites name=\"rigup run\" tests=\"4\" failures=\"1\" errors=\"1\" time=\"2.000\">\n\
             <testsuite name=\"rigup run\" tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\" time=\"2.000\" timestamp=\"1970-01-01T00:00:00\">\n\
             <testcase classname=\"p\" name=\"a&lt;b\" time=\"1.500\">\n\
             <failure message=\"{escaped}\">{escaped}</failure>\n\
             <system-out>==&gt; x: stderr &lt;==\n&lt;log&gt;\n</system-out>\n\
             </testcase>\n\
             <testcase classname=\"rigup run\" name=\"s\">\n<skipped message=\"no\"/>\n</testcase>\n\
             <testcase classname=\"rigup run\" name=\"ok\">\n</testcase>\n\
             <testcase classname=\"rigup run\" name=\"p\">\n<error message=\"x &amp; y\">x &amp; y</error>\n</testcase>\n\
             </testsuite>\n</testsuites>\n"
        );
        assert_eq!(file(&report, Timestamp::UNIX_EPOCH), expected);
    }
}
