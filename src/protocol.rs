//! What a hook prints -> records, with diagnostics that name the line.

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use crate::jsonl::{self, Line, Lines};

/// One JSON object with a string `type`.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The line it stands on, from 1.
    pub line: u64,
    /// Its `type`.
    pub kind: String,
    /// All its fields, `type` included.
    pub fields: Map<String, Value>,
}

/// What was not a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftover {
    /// Lines that are no record: logs, numbers, lists, objects without a type.
    pub ignored: u64,
    /// Lines that were meant as records and could not be read, the first [`MAX_COMPLAINTS`] of them.
    pub diagnostics: Vec<String>,
}

/// So many diagnostics are kept; a hook that prints garbage without end does not fill the memory.
pub const MAX_COMPLAINTS: usize = 20;

/// So many records of one hook are looked at where one is enough.
pub const MAX_RECORDS: usize = 1000;

/// Reads a hook's standard output from its beginning to its end.
pub fn read(output: impl BufRead, mut take: impl FnMut(Record)) -> io::Result<Leftover> {
    let mut left = Leftover::default();
    jsonl::for_each_line(output, |number, line| left.read(number, line, &mut take))?;
    Ok(left)
}

/// A hook's standard output, read while it is written.
#[derive(Debug, Default)]
pub struct Records {
    lines: Lines,
    left: Leftover,
}

impl Records {
    /// Takes the next bytes, and hands out the records on the lines that are over.
    pub fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Record)) {
        let left = &mut self.left;
        self.lines.push(bytes, |number, line| left.read(number, line, &mut take));
    }

    /// The output is over: hands out the records on a last line without its newline, and tells what was none.
    pub fn finish(mut self, mut take: impl FnMut(Record)) -> Leftover {
        let left = &mut self.left;
        self.lines.finish(|number, line| left.read(number, line, &mut take));
        self.left
    }
}

impl Leftover {
    /// Reads a line. Several objects on one line are several records; a bad byte is replaced; of equal keys the last
    /// one counts; numbers beyond 64 bits become floating point.
    fn read(&mut self, number: u64, line: Line<'_>, take: &mut impl FnMut(Record)) {
        let text = match line {
            Line::Text(text) if text[0] == b'{' => text,
            Line::Text(_) => {
                self.ignored += 1;
                return;
            }
            Line::TooLong(text) => {
                self.complain(format!(
                    "line {number} is longer than {} bytes and was dropped: {}",
                    jsonl::MAX_LINE,
                    jsonl::head(text)
                ));
                return;
            }
        };
        let readable = String::from_utf8_lossy(text);
        for value in serde_json::Deserializer::from_str(&readable).into_iter::<Value>() {
            match value {
                Ok(Value::Object(fields)) => match fields.get("type") {
                    Some(Value::String(kind)) if !kind.is_empty() => {
                        take(Record { line: number, kind: kind.clone(), fields });
                    }
                    _ => self.ignored += 1,
                },
                Ok(_) => self.ignored += 1,
                Err(error) => {
                    self.complain(format!("line {number} is not JSON ({error}): {}", jsonl::head(text)));
                }
            }
        }
    }

    fn complain(&mut self, diagnostic: String) {
        self.ignored += 1;
        if self.diagnostics.len() < MAX_COMPLAINTS {
            self.diagnostics.push(diagnostic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(output: &[u8]) -> (Vec<(u64, String)>, Leftover) {
        let mut records = Vec::new();
        let left = read(output, |record| records.push((record.line, record.kind))).unwrap();
        (records, left)
    }

    #[test]
    fn records_are_found_between_log_lines_in_their_order() {
        let output = b"starting\n{\"type\":\"A\"}\n# note\n{\"type\":\"B\",\"x\":1}\r\n{\"type\":\"C\"}";
        let (records, left) = kinds(output);
        assert_eq!(records, [(2, "A".to_owned()), (4, "B".to_owned()), (5, "C".to_owned())]);
        assert_eq!(left, Leftover { ignored: 2, diagnostics: Vec::new() });
    }

    #[test]
    fn only_an_object_with_a_type_that_is_text_is_a_record() {
        let output = b"{\"type\":[\"Binary\"]}\n{\"type\":\"\"}\n{\"type\":5}\n{\"type\":null}\n{}\n[{\"type\":\"A\"}]\n\"A\"\nnull\n7\nhttps://example.org\n";
        let (records, left) = kinds(output);
        assert!(records.is_empty());
        assert_eq!(left, Leftover { ignored: 10, diagnostics: Vec::new() });
    }

    #[test]
    fn glued_objects_are_several_records() {
        let (records, left) = kinds(b"{\"type\":\"A\"}{\"type\":\"B\"} {\"type\":\"C\"}\n");
        assert_eq!(records.len(), 3);
        assert_eq!(left.ignored, 0);
    }

    #[test]
    fn a_line_that_was_cut_is_named_with_its_beginning() {
        let (records, left) = kinds(b"{\"type\":\"A\"}\n{\"type\":\"Bin");
        assert_eq!(records.len(), 1);
        assert_eq!(left.diagnostics.len(), 1);
        assert!(left.diagnostics[0].starts_with("line 2 is not JSON"), "{}", left.diagnostics[0]);
        assert!(left.diagnostics[0].ends_with(": {\"type\":\"Bin"), "{}", left.diagnostics[0]);
    }

    #[test]
    fn bad_bytes_are_replaced_and_harm_nothing_else() {
        let mut names = Vec::new();
        read(&b"\xef\xbb\xbf{\"type\":\"A\",\"name\":\"x\xff\"}\0\n"[..], |it| {
            names.push(it.fields["name"].clone());
        })
        .unwrap();
        assert_eq!(names, [Value::from("x\u{fffd}")]);
    }

    #[test]
    fn garbage_without_end_leaves_a_bounded_list_of_complaints() {
        let (_, left) = kinds("{oops\n".repeat(1000).as_bytes());
        assert_eq!(left.ignored, 1000);
        assert_eq!(left.diagnostics.len(), MAX_COMPLAINTS);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            kinds(&bytes);
        }
    }
}
