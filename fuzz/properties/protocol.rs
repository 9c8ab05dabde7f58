//! Any output of a hook: the records do not depend on the pieces in which it is read, each has the number of its line, none
//! is invented or lost, and the memory for other lines is limited.

use rigup::internal::MAX_LINE;
use rigup::internal::protocol::{self, MAX_DIAGNOSTICS, Record, RecordReader, Unparsed};
use serde_json::Value;

/// In an input that begins with this byte, which no text has, the next such byte stands for a line that is too long: no
/// input of a fuzzer's size would ever have one.
const LONG: u8 = 0xff;

pub(crate) fn check(input: &[u8]) {
    let output = expanded(input);
    let mut records = Vec::new();
    let left = protocol::read(&output[..], |record| records.push(record)).expect("memory can be read");
    let sizes: &[usize] = if output.len() > MAX_LINE { &[65_521] } else { &[1, 2, 3, 7, 64] };
    for &size in sizes {
        assert_eq!(in_pieces(&output, size), (records.clone(), left.clone()), "in pieces of {size}");
    }

    assert!(left.diagnostics.len() <= MAX_DIAGNOSTICS && left.diagnostics.len() as u64 <= left.ignored);
    for diagnostic in &left.diagnostics {
        assert!(diagnostic.len() < 1024, "{diagnostic}");
        assert!(!diagnostic.contains(char::is_control), "{diagnostic:?}");
    }

    let mut rest = &records[..];
    for (number, line) in (1..).zip(output.split(|&byte| byte == b'\n')) {
        let (here, below) = rest.split_at(rest.iter().take_while(|record| record.line == number).count());
        check_line(line, here);
        rest = below;
    }
    assert!(rest.is_empty(), "no line has {rest:?}");
}

/// Compares the records of a line with the line.
fn check_line(line: &[u8], records: &[Record]) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_start_matches('\u{feff}');
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
    for record in records {
        assert!(line.len() <= MAX_LINE || text.len() < line.len(), "a line that is too long has records");
        assert!(!record.kind.is_empty() && record.fields["type"] == record.kind.as_str(), "{record:?}");
    }
    assert!(records.len() <= text.matches('{').count(), "{text} has {records:?}");
    if line.len() <= MAX_LINE
        && let Ok(Value::Object(fields)) = serde_json::from_str(text)
    {
        let kind = fields.get("type").and_then(Value::as_str).filter(|kind| !kind.is_empty());
        let expected = kind.map(|_| &fields);
        assert_eq!(records.iter().map(|record| &record.fields).collect::<Vec<_>>(), Vec::from_iter(expected));
    }
}

fn in_pieces(output: &[u8], size: usize) -> (Vec<Record>, Unparsed) {
    let mut reader = RecordReader::default();
    let mut records = Vec::new();
    for piece in output.chunks(size) {
        reader.push(piece, |record| records.push(record));
    }
    let left = reader.finish(|record| records.push(record));
    (records, left)
}

fn expanded(input: &[u8]) -> Vec<u8> {
    let parts = input.strip_prefix(&[LONG]).and_then(|rest| {
        let at = rest.iter().position(|&byte| byte == LONG)?;
        Some((&rest[..at], &rest[at + 1..]))
    });
    match parts {
        Some((before, behind)) => [before, &vec![b'x'; MAX_LINE], behind].concat(),
        None => input.to_owned(),
    }
}
