//! GitHub Actions: groups and annotations in the log of the step, and the files that the runner reads after it.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::report::ci::command_file::CommandFile;
use crate::report::item_log;
use crate::report::job_report::{JobItem, JobReport};
use crate::report::text::{printable, printable_lines};
use crate::report::units;

/// The number of errors of a step that GitHub shows.
const MAX_ERRORS: usize = 10;

/// The size of the summary of a step from which GitHub rejects it, in bytes.
const MAX_SUMMARY: u64 = 1 << 20;

/// The length to which a reason in the summary is cut, in characters.
const MAX_REASON: usize = 500;

/// The files that the runner reads.
pub(super) const FILES: [CommandFile; 3] = [
    CommandFile { variable: "GITHUB_PATH", text: |report, _, _| path(report) },
    CommandFile { variable: "GITHUB_OUTPUT", text: |report, token, _| outputs(report, token) },
    CommandFile { variable: "GITHUB_STEP_SUMMARY", text: |report, _, size| summary(report, size) },
];

/// Returns the log of each failed item in a group, and an annotation for each failure.
pub(super) fn lines(report: &JobReport, token: &str) -> String {
    let mut text = String::new();
    let failures: Vec<&JobItem> = report.failures().collect();
    for item in report.failed_with_logs() {
        text += &command("group", &[], &inert(&printable_lines(&item.name)));
        text += &inert_log(&item_log::text(&item.logs), token);
        text += &command("endgroup", &[], "");
    }
    let shown = if failures.len() > MAX_ERRORS { MAX_ERRORS - 1 } else { failures.len() };
    for item in &failures[..shown] {
        text += &annotation(report, item);
    }
    if failures.len() > shown {
        let more = format!("{} more errors; see the log of this step", failures.len() - shown);
        text += &error(&more, &report.command, None, None);
    }
    text
}

/// Returns lines of a log, in which GitHub does not look for commands.
pub(super) fn inert_log(log: &str, token: &str) -> String {
    command("stop-commands", &[], token) + log + &command(token, &[], "")
}

/// Returns a line that is no command: one of the older form begins anywhere in a line, and a newer one after blanks.
pub(super) fn inert(line: &str) -> String {
    let line = line.replace("##[", "## [");
    let blanks = line.len() - line.trim_start().len();
    match line[blanks..].strip_prefix("::") {
        Some(rest) => format!("{}: :{rest}", &line[..blanks]),
        None => line,
    }
}

fn annotation(report: &JobReport, item: &JobItem) -> String {
    let title = format!("{}: {}", report.command, inert(&printable_lines(&item.name)));
    let file = item.place.as_ref().map(|place| printable_lines(&place.file));
    error(
        &inert(&printable_lines(&item.reason)),
        &title,
        file.as_deref(),
        item.place.as_ref().and_then(|place| place.line),
    )
}

/// Returns the command for an annotation, as `@actions/core` writes it.
pub fn error(message: &str, title: &str, file: Option<&str>, line: Option<u64>) -> String {
    let line = line.map(|line| line.to_string()).unwrap_or_default();
    command("error", &[("title", title), ("file", file.unwrap_or_default()), ("line", &line)], message)
}

/// Returns a command, as `@actions/core` writes it: without the properties that are empty.
pub fn command(name: &str, properties: &[(&str, &str)], data: &str) -> String {
    let properties = properties.iter().filter(|(_, value)| !value.is_empty());
    let properties: Vec<String> =
        properties.map(|(key, value)| format!("{key}={}", escape_property(value))).collect();
    let separator = if properties.is_empty() { "" } else { " " };
    format!("::{name}{separator}{}::{}\n", properties.join(","), escape_data(data))
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

fn path(report: &JobReport) -> String {
    report.bin_dir.as_ref().map(|folder| format!("{folder}\n")).unwrap_or_default()
}

/// Returns the values for the next steps. The delimiter is a word that no value contains.
fn outputs(report: &JobReport, token: &str) -> String {
    let output = |(name, value): &(&str, String)| format!("{name}<<{token}\n{value}\n{token}\n");
    report.outputs.iter().map(output).collect()
}

/// Returns a table in Markdown for a summary that already has this number of bytes.
fn summary(report: &JobReport, size: u64) -> String {
    let room = usize::try_from(MAX_SUMMARY.saturating_sub(size)).unwrap_or_default();
    let columns = report.columns;
    let mut text = format!("\n### {}: {}\n\n", report.command, report.closing);
    if !report.items.is_empty() {
        let _ = writeln!(text, "| {} |\n|{}", columns.join(" | "), " --- |".repeat(columns.len()));
    }
    let rows = report.items.iter().map(|item| {
        let elapsed = item.elapsed.map(units::duration).unwrap_or_default();
        let cells = [&item.name].into_iter().chain(&item.cells).chain([&item.reason, &elapsed]);
        format!("| {} |\n", cells.map(|cell| escape_markdown(&cut(cell))).collect::<Vec<_>>().join(" | "))
    });
    let problems = report.problems.iter().map(|problem| {
        let place = problem.place.as_ref().map(|place| place.text() + ": ").unwrap_or_default();
        format!("\n- {}\n", escape_markdown(&cut(&(place + &problem.reason))))
    });
    let lines: Vec<String> = rows.chain(problems).collect();
    for (index, line) in lines.iter().enumerate() {
        let more = format!("\n{} more\n", lines.len() - index);
        if text.len() + line.len() + more.len() > room {
            text += &more;
            break;
        }
        text += line;
    }
    if text.len() > room { String::new() } else { text }
}

fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_REASON) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Replaces each character that could begin a tag, a link, a cell or other markup by a reference to it.
fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in printable(text).chars() {
        if character.is_ascii_punctuation()
            && !matches!(character, '.' | ',' | '-' | '/' | '=' | '(' | ')' | ';' | '\'')
        {
            let _ = write!(escaped, "&#{};", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}
