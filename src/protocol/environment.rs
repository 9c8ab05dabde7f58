//! The environments in Binary records, which may hold secrets: some hooks print theirs.

use std::fmt;
use std::iter::repeat_n;
use std::ops::Range;

use memchr::memmem;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The key of the environment.
const KEY: &str = "env";

/// The marks of a line that may have the key: the key itself, and the beginning of each escape of one of its letters.
const MARKS: [&[u8]; 3] = [b"\"env\"", b"\\u006", b"\\u007"];

/// The number of bytes of each mark.
pub(crate) const MARK_LENGTH: usize = 5;

/// Returns whether there may be an environment, which is known much sooner than where it is.
pub(crate) fn may_be_in(bytes: &[u8]) -> bool {
    MARKS.iter().any(|mark| memmem::find(bytes, mark).is_some())
}

/// Returns the place of each environment in the Binary records of a line. Finds more than are records of the protocol,
/// because other programs may read them: after other text, with repeated keys, and in a record that is cut.
pub(crate) fn find(line: &[u8]) -> Vec<Range<usize>> {
    let (Some(start), true) = (memchr::memchr(b'{', line), may_be_in(line)) else { return Vec::new() };
    let mut text = String::with_capacity(line.len());
    text.extend(repeat_n(' ', start));
    for chunk in line[start..].utf8_chunks() {
        text.push_str(chunk.valid());
        // Like the character that replaces them in a record, these are part of no key, and every place stays the same.
        text.extend(repeat_n('?', chunk.invalid().len()));
    }
    let mut found = Vec::new();
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<&RawValue>();
    loop {
        let start = values.byte_offset();
        match values.next() {
            Some(Ok(value)) => found.extend(environments(value.get(), &text)),
            Some(Err(_)) => {
                found.extend(environments(text[start..].trim_end(), &text));
                return found;
            }
            None => return found,
        }
    }
}

/// Overwrites an environment with an empty object and blanks.
pub(crate) fn blank(environment: &mut [u8]) {
    environment.fill(b' ');
    if let [first, .., last] = environment {
        (*first, *last) = (b'{', b'}');
    }
}

/// Returns a line without its environments.
pub(super) fn without_environments(line: &[u8]) -> Vec<u8> {
    let mut line = line.to_vec();
    for place in find(&line) {
        blank(&mut line[place]);
    }
    line
}

/// Returns the places in `text` of the environments in this part of it.
fn environments(record: &str, text: &str) -> Vec<Range<usize>> {
    let mut fields = Vec::new();
    // The fields before an error count.
    let _ = serde_json::Deserializer::from_str(record).deserialize_map(RawFields(&mut fields));
    let is_type = |field: &RawField<'_>| {
        is_text(field.key, "type") && field.value.is_some_and(|value| is_text(value, "Binary"))
    };
    if !fields.iter().any(is_type) {
        return Vec::new();
    }
    let place = |part: &str| {
        let start = part.as_ptr().addr() - text.as_ptr().addr();
        start..start + part.len()
    };
    let environment = |field: &RawField<'_>| match field.value {
        Some(value) => place(value.get()),
        None => place(field.key.get()).end..place(record).end,
    };
    // A value of one character cannot be replaced by an object, and is no secret.
    let keys = fields.iter().filter(|field| is_text(field.key, KEY));
    keys.map(environment).filter(|place| place.len() > 1).collect()
}

/// Returns whether this is a string with this value, which may be written with escapes.
fn is_text(value: &RawValue, expected: &str) -> bool {
    serde_json::from_str::<String>(value.get()).is_ok_and(|text| text == expected)
}

/// A field of an object.
struct RawField<'de> {
    key: &'de RawValue,
    /// The value; `None` if it is cut or invalid.
    value: Option<&'de RawValue>,
}

/// A reader of the fields of an object that keeps those before an error.
struct RawFields<'a, 'de>(&'a mut Vec<RawField<'de>>);

impl<'de> Visitor<'de> for RawFields<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key()? {
            self.0.push(RawField { key, value: None });
            let value = entries.next_value()?;
            if let Some(field) = self.0.last_mut() {
                field.value = Some(value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_found_however_its_record_is_written() {
        let secret: &[u8] = b"{\"TOKEN\":\"canary\"}";
        for line in [
            &b"{\"type\":\"Binary\",\"env\":@}"[..],
            b"{\"type\":\"Binary\",\"name\":\"\xff\xe2\x82\",\"env\":@}\n",
            b"{\"type\":\"Binary\",\"\\u0065nv\":@}",
            b"{\"type\":\"Binary\",\"e\\u006E\\u0076\":@}",
            b"{\"type\":\"Bin\\u0061ry\",\"env\":@}",
            b"{\"t\\u0079pe\":\"Binary\",\"env\":@}",
            b"{\"env\":@,\"type\":\"Binary\",\"env\":@}",
            b"{\"type\":\"Other\",\"env\":@,\"type\":\"Binary\"}",
            b"{\"type\":\"Binary\",\"\\ud800\":1,\"env\":@}",
            b"{\"type\":\"Binary\",\"env\":@,\"n\":1e999}",
            b"log: 5 {\"a\":1} [7] 5 {\"type\":\"Binary\",\"env\":@}{\"type\":\"Binary\",\"env\":@}",
            b"{\"type\":\"Binary\",\"env\":@,\"name\":\"x",
            b"{\"type\":\"Binary\",\"env\":{\"TOKEN\":\"canary",
        ] {
            let parts: Vec<&[u8]> = line.split(|&byte| byte == b'@').collect();
            let line = parts.join(secret);
            let blanked = without_environments(&line);
            assert_eq!(blanked.len(), line.len());
            let text = String::from_utf8_lossy(&blanked).into_owned();
            assert!(!text.contains("canary"), "{text}");
            let blank = format!("{{{}}}", " ".repeat(secret.len() - 2));
            if parts.len() > 1 {
                assert_eq!(blanked, parts.join(blank.as_bytes()), "{text}");
            }
        }
        let other = br#"{"type":"Other","env":{"A":"b"}} {"type":"Binary","x":"\u0065nv","env":5}"#;
        assert!(find(other).is_empty());
    }
}
