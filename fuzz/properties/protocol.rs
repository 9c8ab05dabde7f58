//! For any output of a hook, the records do not depend on the size of the chunks in which it is read, each has the
//! right line number, none is added or lost, and the memory for other lines is limited.

use rigup::internal::MAX_LINE;
use rigup::internal::protocol::{self, MAX_DIAGNOSTICS, Record, RecordReader, Unparsed};
use serde_json::Value;

/// If an input starts with this byte, which is never valid UTF-8, the next such byte is replaced with a line that is
/// too long. The inputs of a fuzzer are too small to contain such a line.
const LONG: u8 = 0xff;

pub(crate) fn check(input: &[u8]) {
    let output = expanded(input);
    let mut records = Vec::new();
    let unparsed =
        protocol::read(&output[..], |record| records.push(record)).expect("reading from memory cannot fail");
    let sizes: &[usize] = if output.len() > MAX_LINE { &[65_521] } else { &[1, 2, 3, 7, 64] };
    for &size in sizes {
        assert_eq!(in_chunks(&output, size), (records.clone(), unparsed.clone()), "in chunks of {size}");
    }

    assert!(
        unparsed.diagnostics.len() <= MAX_DIAGNOSTICS
            && unparsed.diagnostics.len() as u64 <= unparsed.ignored
    );
    for diagnostic in &unparsed.diagnostics {
        assert!(diagnostic.len() < 1024, "{diagnostic}");
        assert!(!diagnostic.contains(char::is_control), "{diagnostic:?}");
    }

    let mut rest = &records[..];
    for (number, line) in (1..).zip(output.split(|&byte| byte == b'\n')) {
        let (of_line, remaining) =
            rest.split_at(rest.iter().take_while(|record| record.line == number).count());
        check_line(line, of_line);
        rest = remaining;
    }
    assert!(rest.is_empty(), "records with a wrong line number: {rest:?}");
}

/// Asserts that these are the records of a line.
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
        let value = Value::Object(fields.clone());
        let is_refused = count_keys(&value) != count_colons(text) || !is_in_range(&value);
        let expected = kind.filter(|_| !is_refused).map(|_| &fields);
        assert_eq!(records.iter().map(|record| &record.fields).collect::<Vec<_>>(), Vec::from_iter(expected));
    }
}

/// Returns the number of keys in all objects of a value, each counted once.
fn count_keys(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.len() + fields.values().map(count_keys).sum::<usize>(),
        Value::Array(items) => items.iter().map(count_keys).sum(),
        _ => 0,
    }
}

/// Returns the number of colons in a JSON text outside of its strings: one follows each key.
fn count_colons(json: &str) -> usize {
    let (mut colons, mut is_in_string, mut is_escaped) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_in_string,
            b'"' => is_in_string = !is_in_string,
            b':' if !is_in_string => colons += 1,
            _ => {}
        }
    }
    colons
}

fn is_in_range(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().all(is_in_range),
        Value::Array(items) => items.iter().all(is_in_range),
        Value::Number(number) => number.as_f64().is_some_and(f64::is_finite),
        _ => true,
    }
}

fn in_chunks(output: &[u8], size: usize) -> (Vec<Record>, Unparsed) {
    let mut reader = RecordReader::default();
    let mut records = Vec::new();
    for chunk in output.chunks(size) {
        reader.push(chunk, |record| records.push(record));
    }
    let unparsed = reader.finish(|record| records.push(record));
    (records, unparsed)
}

fn expanded(input: &[u8]) -> Vec<u8> {
    let split = input.strip_prefix(&[LONG]).and_then(|rest| {
        let at = rest.iter().position(|&byte| byte == LONG)?;
        Some((&rest[..at], &rest[at + 1..]))
    });
    match split {
        Some((before, after)) => [before, &vec![b'x'; MAX_LINE], after].concat(),
        None => input.to_owned(),
    }
}
