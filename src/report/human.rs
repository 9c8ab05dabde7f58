//! Tables and sheets for a terminal.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::model::process::{ExitReason, Process, ProcessState};

/// How a word in a table feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Neither.
    Plain,
}

/// A text with its tone.
pub type Toned = (String, Tone);

/// A table with a header; columns are as wide as what is in them.
pub fn table(header: &[&str], rows: Vec<Vec<Toned>>, color: bool) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(header.iter().map(Cell::new));
    for row in rows {
        table.add_row(row.into_iter().map(|(text, tone)| {
            let cell = Cell::new(printable(&text));
            match tone {
                _ if text.is_empty() => cell,
                Tone::Good => cell.fg(Color::Green),
                Tone::Bad => cell.fg(Color::Red),
                Tone::Plain => cell,
            }
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// A record as a sheet of `key  value` lines; what is empty is left out.
pub fn sheet(record: &Value) -> String {
    let Some(fields) = record.as_object() else {
        return format!("{record}\n");
    };
    let shown: Vec<(&String, String)> = fields
        .iter()
        .filter(|(_, value)| !is_empty(value))
        .map(|(key, value)| (key, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    let width = shown.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    let mut sheet = String::new();
    for (key, value) in shown {
        for (index, line) in value.trim_end().lines().enumerate() {
            let label = if index == 0 { key.as_str() } else { "" };
            let _ = writeln!(sheet, "{label:width$}  {}", printable(line));
        }
    }
    sheet
}

/// A record as one line: who printed it, its type, and what it says, cut to a length that a terminal can show.
pub fn line(who: &str, record: &Value) -> String {
    const CHARS: usize = 160;
    let fields = record.as_object().into_iter().flatten();
    let said = fields
        .filter(|(key, value)| !matches!(key.as_str(), "type" | "plugin" | "hook_name") && !is_empty(value));
    let mut line = format!("{who}  {}", record["type"].as_str().unwrap_or_default());
    for (key, value) in said {
        let _ = match value {
            Value::String(text) => write!(line, "  {key}={text}"),
            other => write!(line, "  {key}={other}"),
        };
    }
    let cut: String = line.chars().take(CHARS).collect();
    format!("{}\n", printable(&cut))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A text that changes nothing but its own cell: control characters, escape among them, are replaced.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// How a process stands, in a word or two.
pub fn standing(process: &Process) -> Toned {
    match &process.state {
        ProcessState::Queued => ("queued".to_owned(), Tone::Plain),
        ProcessState::Running(_) => ("running".to_owned(), Tone::Good),
        ProcessState::Exited(_, exit) => {
            let code = exit.exit_code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
            match exit.reason {
                ExitReason::Exited if exit.exit_code == Some(0) => ("exit 0".to_owned(), Tone::Good),
                ExitReason::Exited if process.run_state() == "finished" => {
                    ("skipped".to_owned(), Tone::Plain)
                }
                ExitReason::Exited => (format!("exit {code}"), Tone::Bad),
                ExitReason::Signalled => (format!("signal {}", exit.signal.unwrap_or_default()), Tone::Bad),
                ExitReason::Timeout => (format!("timeout ({code})"), Tone::Bad),
                ExitReason::Stopped if exit.is_clean_stop() => (format!("stopped ({code})"), Tone::Plain),
                ExitReason::Stopped => (format!("stopped ({code})"), Tone::Bad),
                ExitReason::Lost => ("lost".to_owned(), Tone::Bad),
                ExitReason::SpawnFailed => ("not started".to_owned(), Tone::Bad),
            }
        }
    }
}

/// How long a process took, or takes.
pub fn took(process: &Process, now: Timestamp) -> String {
    let Some(running) = process.running() else {
        return String::new();
    };
    let end = process.exit().map_or(now, |it| it.ended_at);
    duration(end.duration_since(running.started_at))
}

/// `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 2 min`.
pub fn duration(time: SignedDuration) -> String {
    let millis = time.as_millis().max(0);
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{} s", millis % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Bytes in a unit that leaves at most four digits: `812 B`, `41 MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut count = count;
    let mut unit = 0;
    while count >= 10_000 && unit + 1 < UNITS.len() {
        count = (count + 500) / 1000;
        unit += 1;
    }
    format!("{count} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_no_trailing_blanks_and_no_escape_sequences_without_color() {
        let cell = |text: &str, tone| (text.to_owned(), tone);
        let rows = vec![
            vec![cell("rg", Tone::Plain), cell("installed", Tone::Good)],
            vec![cell("a-long-name", Tone::Plain), cell("queued\x1b[31m", Tone::Bad)],
        ];
        let text = table(&["NAME", "STATUS"], rows, false);
        assert_eq!(text, "NAME         STATUS\nrg           installed\na-long-name  queued\u{fffd}[31m\n");
    }

    #[test]
    fn a_sheet_leaves_out_what_is_empty() {
        let sheet =
            sheet(&json!({"type": "Binary", "name": "rg", "overrides": {}, "retry_at": null, "count": 0}));
        assert_eq!(sheet, "type   Binary\nname   rg\ncount  0\n");
    }

    #[test]
    fn durations_and_sizes_are_short() {
        let spelled = |millis| duration(SignedDuration::from_millis(millis));
        assert_eq!(
            [12, 3_456, 125_000, 10_920_000].map(spelled),
            ["12 ms", "3.4 s", "2 min 5 s", "3 h 2 min"]
        );
        assert_eq!([812, 41_000_000, 3_000_000_000].map(bytes), ["812 B", "41 MB", "3000 MB"]);
    }
}
