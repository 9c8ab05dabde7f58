//! Splitting bytes into lines of limited length, and parsing JSON strictly.

use std::fmt;
use std::io::{self, BufRead};

use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The longest line that is kept, in bytes: 1 MiB.
pub const MAX_LINE: usize = 1 << 20;

/// Returns a record as a line of JSONL, with its newline.
pub(crate) fn line(record: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("the keys of a record are strings");
    line.push(b'\n');
    line
}

/// A line of JSONL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// The line without its newline, surrounding blanks and NULs, and byte order marks before it.
    Text(&'a [u8]),
    /// The beginning of a line that is longer than [`MAX_LINE`].
    TooLong(&'a [u8]),
}

/// A splitter of a stream into lines. The stream may come in pieces of any size. Only `\n` ends a line; the last line
/// does not need one.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    is_too_long: bool,
    number: u64,
}

impl Lines {
    /// Adds the next bytes. Calls `on_line` with each complete line that is not blank, and its number, which counts
    /// from 1.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut on_line: impl FnMut(u64, Line<'_>)) {
        while let Some(newline) = bytes.iter().position(|&byte| byte == b'\n') {
            self.keep(&bytes[..newline]);
            self.finish(&mut on_line);
            bytes = &bytes[newline + 1..];
        }
        self.keep(bytes);
    }

    /// Ends the current line. At the end of the stream, that is the last line.
    pub(crate) fn finish(&mut self, mut on_line: impl FnMut(u64, Line<'_>)) {
        self.number += 1;
        let text = trim(&self.line);
        if self.is_too_long {
            on_line(self.number, Line::TooLong(text));
        } else if !text.is_empty() {
            on_line(self.number, Line::Text(text));
        }
        self.line.clear();
        self.is_too_long = false;
    }

    fn keep(&mut self, part: &[u8]) {
        let room = MAX_LINE - self.line.len();
        self.is_too_long |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }
}

/// Calls `on_line` with each line of a reader that is not blank, and its number, which counts from 1.
pub(crate) fn for_each_line<R: BufRead>(
    mut reader: R,
    mut on_line: impl FnMut(u64, Line<'_>),
) -> io::Result<()> {
    let mut lines = Lines::default();
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            lines.finish(on_line);
            return Ok(());
        }
        lines.push(chunk, &mut on_line);
        let consumed = chunk.len();
        reader.consume(consumed);
    }
}

/// A JSON value that every reader understands in the same way: no object has a key twice, or one that `serde_json`
/// reserves, and each number has a finite 64-bit float next to it. All digits of a number are kept; an exponent is written as `e+5` or `e-5`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StrictValue(pub Value);

/// The key with which `serde_json` passes the digits of a number that is not a 64-bit integer.
const NUMBER_KEY: &str = "$serde_json::private::Number";

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

/// The digits of a number.
struct Digits(String);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DigitsVisitor)
    }
}

struct DigitsVisitor;

impl Visitor<'_> for DigitsVisitor {
    type Value = Digits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the digits of a number")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Digits, E> {
        Err(E::custom("reserved key"))
    }

    // Only the digits are passed as a `String`; a string of the text is passed as a slice.
    fn visit_string<E>(self, digits: String) -> Result<Digits, E> {
        Ok(Digits(digits))
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(StrictValue(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key == NUMBER_KEY
                && object.is_empty()
                && let Ok(Digits(digits)) = entries.next_value()
            {
                return number(&digits);
            }
            if key.starts_with("$serde_json::private::") {
                return Err(de::Error::custom("reserved key"));
            }
            if object.contains_key(&key) {
                return Err(de::Error::custom("repeated key"));
            }
            let StrictValue(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

fn number<E: de::Error>(text: &str) -> Result<Value, E> {
    let number: Number = text.parse().map_err(E::custom)?;
    // Infinity has no JSON form, so the text was finite, but too large.
    if number.as_f64().is_none() { Err(E::custom("number out of range")) } else { Ok(number.into()) }
}

/// Returns the beginning of a line, shortened for a message.
pub(crate) fn head(line: &[u8]) -> String {
    const CHARS: usize = 60;
    let text = String::from_utf8_lossy(&line[..line.len().min(4 * CHARS)]);
    let shown: String =
        text.chars().take(CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown.len() < line.len() { format!("{shown}...") } else { shown }
}

/// Describes why a line is not JSON, without the line in the parser's own message, which is always 1.
pub(crate) fn parse_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    match error.column() {
        // The error is about a value that was parsed before.
        0 => reason.to_owned(),
        column => format!("{reason} at column {column}"),
    }
}

fn trim(mut line: &[u8]) -> &[u8] {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    while let Some(rest) = line.strip_prefix(BOM) {
        line = rest;
    }
    let is_text = |byte: &u8| !byte.is_ascii_whitespace() && *byte != 0;
    let start = line.iter().position(is_text).unwrap_or_default();
    let end = line.iter().rposition(is_text).map_or(start, |last| last + 1);
    &line[start..end]
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    fn lines(bytes: &[u8], buffer: usize) -> Vec<(u64, String)> {
        let mut seen = Vec::new();
        for_each_line(BufReader::with_capacity(buffer, Cursor::new(bytes)), |number, line| {
            seen.push(match line {
                Line::Text(text) => (number, String::from_utf8_lossy(text).into_owned()),
                Line::TooLong(text) => (number, format!("too long: {}", text.len())),
            });
        })
        .unwrap();
        seen
    }

    #[test]
    fn lines_are_the_same_for_reads_of_any_size() {
        let bytes = b"\xef\xbb\xbfone\r\n\n  \ntwo\0\nthree";
        let expected = vec![(1, "one".to_owned()), (4, "two".to_owned()), (5, "three".to_owned())];
        for buffer in [1, 2, 3, 7, 4096] {
            assert_eq!(lines(bytes, buffer), expected);
        }
    }

    #[test]
    fn a_line_over_the_limit_is_reported_and_the_next_one_read() {
        let mut bytes = vec![b'x'; MAX_LINE];
        bytes.extend_from_slice(b"\n");
        bytes.extend_from_slice(&vec![b'y'; 3 * MAX_LINE]);
        bytes.extend_from_slice(b"\nlast");
        let seen = lines(&bytes, 64 << 10);
        assert_eq!(seen[0].1.len(), MAX_LINE);
        assert_eq!(seen[1], (2, format!("too long: {MAX_LINE}")));
        assert_eq!(seen[2], (3, "last".to_owned()));
    }

    #[test]
    fn every_digit_of_a_number_is_kept() {
        let text = r#"{"b":[1,-7,1.10,1E5,1e-400,-0,123456789012345678901234567890,0.1000000000000000055],"a":null}"#;
        let StrictValue(value) = serde_json::from_str(text).unwrap();
        assert_eq!(value.to_string(), text.replace("1E5", "1e+5"));
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn repeated_and_reserved_keys_and_numbers_out_of_range_are_refused() {
        for (text, expected) in [
            (r#"{"a":1,"b":{"c":1,"c":2}}"#, "repeated key at column 21"),
            (r#"{"a":1,"\u0061":2}"#, "repeated key at column"),
            ("[1E400]", "number out of range at column"),
            ("-1e999", "number out of range at column"),
            (r#"{"a":1,"$serde_json::private::Number":"5"}"#, "reserved key at column"),
            (r#"[{"$serde_json::private::Number":"5"}]"#, "reserved key at column"),
            (r#"{"$serde_json::private::Number":"\u0035"}"#, "reserved key at column"),
            (r#"{"$serde_json::private::RawValue":"5"}"#, "reserved key at column"),
        ] {
            let error = serde_json::from_str::<StrictValue>(text).unwrap_err();
            assert!(error.is_data() && parse_error(&error).starts_with(expected), "{}", parse_error(&error));
        }
        assert!(serde_json::from_str::<StrictValue>("{").unwrap_err().is_eof());
    }

    #[test]
    fn only_a_newline_ends_a_line() {
        assert_eq!(lines("a\u{2028}b\u{85}c".as_bytes(), 4096).len(), 1);
    }

    #[test]
    fn the_head_of_a_line_is_short_and_printable() {
        assert_eq!(head(b"{\"a\":\x1b[31m"), "{\"a\":\u{fffd}[31m");
        assert_eq!(head(&[b'x'; 500]), format!("{}...", "x".repeat(60)));
    }
}
