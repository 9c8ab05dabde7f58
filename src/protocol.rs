//! The records in a hook's standard output.

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use crate::jsonl::{self, Line, Lines, StrictValue};

pub(crate) mod environment;

/// A JSON object with a string `type`.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The line of the object, from 1; 0 for a record that rigup made.
    pub line: u64,
    /// Its `type`.
    pub kind: String,
    /// All its fields, `type` included.
    pub fields: Map<String, Value>,
}

/// The type of a record that says what a hook saved.
pub(crate) const ARCHIVE_RESULT: &str = "ArchiveResult";

impl Record {
    /// Returns the record on a line, or `None` if the value is not an object with a string `type`.
    pub(crate) fn from_value(line: u64, value: Value) -> Option<Self> {
        let Value::Object(fields) = value else { return None };
        let kind = fields.get("type")?.as_str().filter(|kind| !kind.is_empty())?.to_owned();
        Some(Self { line, kind, fields })
    }

    /// Returns whether this is the result of a hook whose work is done.
    pub(crate) fn is_final_result(&self) -> bool {
        let status = self.fields.get("status").and_then(Value::as_str);
        self.kind == ARCHIVE_RESULT
            && status.is_some_and(|status| !["", "queued", "started"].contains(&status))
    }
}

/// The origin of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// A hook, whose lines are quoted in diagnostics.
    #[default]
    Hook,
    /// A file, whose lines are not quoted, because it may be a link to any file.
    File,
}

/// The parts of an output that are not records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unparsed {
    /// The number of lines without a record: logs, numbers, lists, objects without a type.
    pub ignored: u64,
    /// A message for each of the first [`MAX_DIAGNOSTICS`] lines that start like a record but cannot be parsed.
    pub diagnostics: Vec<String>,
    /// The numbers of the first [`MAX_DIAGNOSTICS`] lines without a record that no diagnostic is about.
    pub lines: Vec<u64>,
    /// The number of lines like those with a diagnostic for which none is kept.
    more: u64,
    source: Source,
}

/// The maximum number of diagnostics that are kept, so that endless invalid output cannot fill the memory.
pub const MAX_DIAGNOSTICS: usize = 20;

/// The maximum number of records of a hook that are kept when one would be enough.
pub(crate) const MAX_RECORDS: usize = 1000;

/// Parses the complete output of a hook, and passes each record to `on_record`.
pub fn read(output: impl BufRead, on_record: impl FnMut(Record)) -> io::Result<Unparsed> {
    read_from(Source::Hook, output, on_record)
}

/// Parses complete lines of any source, and passes each record to `on_record`.
pub(crate) fn read_from(
    source: Source,
    output: impl BufRead,
    mut on_record: impl FnMut(Record),
) -> io::Result<Unparsed> {
    let mut unparsed = Unparsed { source, ..Unparsed::default() };
    jsonl::for_each_line(output, |number, line| unparsed.parse_line(number, line, &mut on_record))?;
    Ok(unparsed)
}

/// A parser of an output that is still being written.
#[derive(Debug, Default)]
pub struct RecordReader {
    lines: Lines,
    unparsed: Unparsed,
}

impl RecordReader {
    /// Returns a reader of lines of this source.
    pub fn new(source: Source) -> Self {
        Self { lines: Lines::default(), unparsed: Unparsed { source, ..Unparsed::default() } }
    }

    /// Takes the next bytes, and passes the records on complete lines to `on_record`.
    pub fn push(&mut self, bytes: &[u8], mut on_record: impl FnMut(Record)) {
        let unparsed = &mut self.unparsed;
        self.lines.push(bytes, |number, line| unparsed.parse_line(number, line, &mut on_record));
    }

    /// Parses the last line if it has no newline, and returns the parts of the output that are not records.
    pub fn finish(mut self, mut on_record: impl FnMut(Record)) -> Unparsed {
        let unparsed = &mut self.unparsed;
        self.lines.finish(|number, line| unparsed.parse_line(number, line, &mut on_record));
        self.unparsed
    }

    /// Returns the parts of the output that are not records, if the rest of the output is not read.
    pub(crate) fn cut(self) -> Unparsed {
        self.unparsed
    }
}

impl Unparsed {
    /// Returns warnings about the standard output of a hook.
    pub(crate) fn into_warnings(self) -> impl Iterator<Item = String> {
        let more = (self.more > 0).then(|| format!("and {} more", self.more));
        self.diagnostics.into_iter().map(|diagnostic| format!("stdout {diagnostic}")).chain(more)
    }

    /// Parses a line. If a line contains several objects, each is a record. Invalid bytes are replaced.
    fn parse_line(&mut self, number: u64, line: Line<'_>, on_record: &mut impl FnMut(Record)) {
        let text = match line {
            Line::Text(text) if text[0] == b'{' => text,
            Line::Text(_) => return self.ignore(number),
            Line::TooLong(text) => {
                let max = jsonl::MAX_LINE;
                self.report(format!("line {number} is longer than {max} bytes and is dropped"), text);
                return;
            }
        };
        let decoded = String::from_utf8_lossy(text);
        for value in serde_json::Deserializer::from_str(&decoded).into_iter() {
            match value {
                Ok(StrictValue(value)) => match Record::from_value(number, value) {
                    Some(record) => on_record(record),
                    None => self.ignore(number),
                },
                Err(error) => {
                    let problem = if error.is_data() { "is refused" } else { "is not JSON" };
                    self.report(format!("line {number} {problem} ({})", jsonl::parse_error(&error)), text);
                }
            }
        }
    }

    fn ignore(&mut self, number: u64) {
        self.ignored += 1;
        if self.lines.len() < MAX_DIAGNOSTICS && self.lines.last() != Some(&number) {
            self.lines.push(number);
        }
    }

    fn report(&mut self, mut diagnostic: String, line: &[u8]) {
        self.ignored += 1;
        if self.source == Source::Hook {
            diagnostic = format!("{diagnostic}: {}", jsonl::head(&environment::without_environments(line)));
        }
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        } else {
            self.more += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(output: &[u8]) -> (Vec<(u64, String)>, Unparsed) {
        let mut records = Vec::new();
        let unparsed = read(output, |record| records.push((record.line, record.kind))).unwrap();
        (records, unparsed)
    }

    #[test]
    fn finds_records_between_log_lines_in_their_order() {
        let output = b"starting\n{\"type\":\"A\"}\n# note\n{\"type\":\"B\",\"x\":1}\r\n{\"type\":\"C\"}";
        let (records, unparsed) = kinds(output);
        assert_eq!(records, [(2, "A".to_owned()), (4, "B".to_owned()), (5, "C".to_owned())]);
        assert_eq!((unparsed.ignored, unparsed.diagnostics, unparsed.lines), (2, Vec::new(), vec![1, 3]));
    }

    #[test]
    fn only_an_object_with_a_string_type_is_a_record() {
        let output = b"{\"type\":[\"Binary\"]}\n{\"type\":\"\"}\n{\"type\":5}\n{\"type\":null}\n{}\n[{\"type\":\"A\"}]\n\"A\"\nnull\n7\nhttps://example.org\n";
        let (records, unparsed) = kinds(output);
        assert!(records.is_empty());
        assert_eq!((unparsed.ignored, unparsed.diagnostics), (10, Vec::new()));
    }

    #[test]
    fn objects_on_one_line_are_several_records() {
        let (records, unparsed) = kinds(b"{\"type\":\"A\"}{\"type\":\"B\"} {\"type\":\"C\"}\n");
        assert_eq!(records.len(), 3);
        assert_eq!(unparsed.ignored, 0);
    }

    #[test]
    fn a_truncated_line_is_reported_with_its_start() {
        let (records, unparsed) = kinds(b"{\"type\":\"A\"}\n{\"type\":\"Bin");
        assert_eq!(records.len(), 1);
        assert_eq!(unparsed.diagnostics.len(), 1);
        assert!(unparsed.diagnostics[0].starts_with("line 2 is not JSON"), "{}", unparsed.diagnostics[0]);
        assert!(unparsed.diagnostics[0].ends_with(": {\"type\":\"Bin"), "{}", unparsed.diagnostics[0]);
    }

    #[test]
    fn invalid_bytes_are_replaced() {
        let mut names = Vec::new();
        read(&b"\xef\xbb\xbf{\"type\":\"A\",\"name\":\"x\xff\"}\0\n"[..], |record| {
            names.push(record.fields["name"].clone());
        })
        .unwrap();
        assert_eq!(names, [Value::from("x\u{fffd}")]);
    }

    #[test]
    fn endless_garbage_leaves_a_bounded_list_of_diagnostics() {
        let (_, unparsed) = kinds("{oops\n".repeat(1000).as_bytes());
        assert_eq!(unparsed.ignored, 1000);
        assert_eq!(unparsed.diagnostics.len(), MAX_DIAGNOSTICS);
    }

    proptest::proptest! {
        #[test]
        fn parses_any_bytes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            kinds(&bytes);
        }
    }
}
