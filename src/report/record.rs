//! One record as text for people.

use std::fmt::Write as _;

use serde_json::Value;

use crate::report::text::{cut_end, printable, width};

/// Returns a record as lines, each with a key and its value. Leaves out empty values.
pub(crate) fn lines(record: &Value) -> String {
    let Some(fields) = record.as_object() else {
        return format!("{record}\n");
    };
    let entries: Vec<(String, String)> = fields
        .iter()
        .filter(|(_, value)| !is_empty(value))
        .map(|(key, value)| (printable(key), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    let key_width = entries.iter().map(|(key, _)| width(key)).max().unwrap_or_default();
    let mut lines = String::new();
    for (key, value) in entries {
        for (index, line) in value.trim_end().lines().enumerate() {
            let label = if index == 0 { key.as_str() } else { "" };
            let _ = writeln!(lines, "{label:key_width$}  {}", printable(line));
        }
    }
    lines
}

/// Returns a record that a hook of `plugin` printed as one line of at most 160 columns.
pub(crate) fn line(plugin: &str, record: &Value) -> String {
    const COLUMNS: usize = 160;
    let fields = record.as_object().into_iter().flatten();
    let entries = fields
        .filter(|(key, value)| !matches!(key.as_str(), "type" | "plugin" | "hook_name") && !is_empty(value));
    let mut line = format!("{plugin}  {}", record["type"].as_str().unwrap_or_default());
    for (key, value) in entries {
        let _ = match value {
            Value::String(text) => write!(line, "  {key}={text}"),
            other => write!(line, "  {key}={other}"),
        };
    }
    format!("{}\n", cut_end(&printable(&line), COLUMNS))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn empty_values_of_a_record_are_left_out() {
        let record = json!({"type": "Binary", "name": "rg", "overrides": {}, "retry_at": null, "count": 0});
        assert_eq!(lines(&record), "type   Binary\nname   rg\ncount  0\n");
    }

    #[test]
    fn a_line_has_the_plugin_the_type_and_the_values() {
        let record = json!({"type": "Snapshot", "plugin": "wget", "url": "x\u{1b}", "size": 7, "title": ""});
        assert_eq!(line("wget", &record), "wget  Snapshot  url=x\u{fffd}  size=7\n");
    }
}
