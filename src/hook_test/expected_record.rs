//! The records that a hook should print, and whether one that it prints is valid.

use serde_json::{Map, Value};

use crate::clock;
use crate::install::verify::{self, Expected, VerifyError};
use crate::model::{Release, Version};
use crate::plugin::hook_name::BINARY_VERSIONS;
use crate::protocol::Record;

/// What a hook of a provider is expected to print.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ExpectedRecord<'a> {
    /// The Binary record of a hook that installs.
    Binary(Expected<'a>),
    /// The `BinaryVersions` record, about the binary with this name, of a hook that lists versions.
    Versions(&'a str),
}

/// What a valid record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedAnswer {
    /// The path of the file, or the versions.
    pub answer: String,
    /// The version; empty if the record states none.
    pub version: String,
}

/// Why a record is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// A Binary record, or a record about another binary.
    #[error(transparent)]
    Binary(#[from] VerifyError),
    /// A `BinaryVersions` record without a list.
    #[error("its versions are not a list, or an empty one")]
    NoVersions,
    /// A restriction to no version.
    #[error("only is not a version")]
    Only,
    /// An entry without a version: its number, from 1.
    #[error("entry {0} of its versions has no version that is a text of at most 200 characters")]
    NoVersion(usize),
    /// An entry with a wrong value: the version, the key, and what its value must be.
    #[error("{1} of version {0} is not {2}")]
    Value(String, &'static str, &'static str),
}

impl RecordError {
    /// Whether the record is about another binary than the requested one.
    pub(crate) fn is_other_name(&self) -> bool {
        matches!(self, Self::Binary(VerifyError::WrongName { .. }))
    }
}

impl ExpectedRecord<'_> {
    /// Returns whether a record is valid, or `None` if it is of another type.
    pub(crate) fn verify(self, record: &Record) -> Option<Result<RecordedAnswer, RecordError>> {
        match self {
            Self::Binary(expected) if record.kind == "Binary" => {
                let verified = verify::verify(expected, &record.fields).map_err(RecordError::from);
                Some(verified.map(|installed| RecordedAnswer {
                    answer: installed.abspath.display().to_string(),
                    version: installed.version,
                }))
            }
            // A record that states only which version is accepted comes before the list.
            Self::Versions(_)
                if record.fields.contains_key("only") && !record.fields.contains_key("versions") =>
            {
                None
            }
            Self::Versions(name) if record.kind == BINARY_VERSIONS => {
                Some(verify_versions(name, &record.fields))
            }
            _ => None,
        }
    }
}

/// Verifies a `BinaryVersions` record.
fn verify_versions(name: &str, fields: &Map<String, Value>) -> Result<RecordedAnswer, RecordError> {
    let found = fields.get("name").and_then(Value::as_str).unwrap_or_default().trim();
    if found != name {
        let requested = name.to_owned();
        return Err(VerifyError::WrongName { found: found.to_owned(), requested }.into());
    }
    let only = fields.get("only").filter(|only| !only.is_null());
    let is_version = |only: &Value| only.as_str().is_some_and(Version::looks_like_version);
    if only.is_some_and(|only| !is_version(only)) {
        return Err(RecordError::Only);
    }
    let entries = fields.get("versions").and_then(Value::as_array).filter(|entries| !entries.is_empty());
    let entries = entries.ok_or(RecordError::NoVersions)?;
    let version = |(number, entry): (usize, &Value)| {
        let Release { version, .. } = Release::from_entry(entry).ok_or(RecordError::NoVersion(number))?;
        let is_stated = |key: &str| entry.get(key).filter(|value| !value.is_null());
        let is_time = |value: &Value| value.as_str().is_some_and(|time| clock::parse(time).is_ok());
        if is_stated("released_at").is_some_and(|value| !is_time(value)) {
            return Err(RecordError::Value(version, "released_at", "a time such as 2026-11-30T12:00:00Z"));
        }
        let wrong = ["yanked", "stable"]
            .into_iter()
            .find(|key| is_stated(key).is_some_and(|value| !value.is_boolean()));
        match wrong {
            Some(key) => Err(RecordError::Value(version, key, "true or false")),
            None => Ok(version),
        }
    };
    let versions = (1..).zip(entries).map(version).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordedAnswer { answer: versions.join(", "), version: versions[0].clone() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_entry_of_a_list_of_versions_is_checked() {
        let verify = |record: &Value| {
            let record = record.as_object().unwrap();
            verify_versions("x", record).map(|found| found.answer).map_err(|error| error.to_string())
        };
        let entry = |entry: Value| verify(&json!({"name": "x", "versions": [{"version": "1.0"}, entry]}));
        let full =
            json!({"version": "2", "released_at": "2026-11-30T12:00:00Z", "yanked": true, "stable": null});
        assert_eq!(entry(full), Ok("1.0, 2".to_owned()));
        for (wrong, expected) in [
            (json!({"version": 2}), "entry 2 of its versions has no version"),
            (json!("2"), "entry 2 of its versions has no version"),
            (json!({"version": "2", "released_at": "today"}), "released_at of version 2 is not a time"),
            (json!({"version": "2", "released_at": 1}), "released_at of version 2 is not a time"),
            (json!({"version": "2", "yanked": "no"}), "yanked of version 2 is not true or false"),
        ] {
            let error = entry(wrong).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let only = |only: &Value| verify(&json!({"name": "x", "versions": [{"version": "1"}], "only": only}));
        assert_eq!([only(&json!("1")), only(&Value::Null)], [Ok("1".to_owned()), Ok("1".to_owned())]);
        assert_eq!(only(&json!("latest")), Err("only is not a version".to_owned()));
        for wrong in [json!({"name": "x"}), json!({"name": "x", "versions": []})] {
            assert!(verify(&wrong).unwrap_err().starts_with("its versions are not a list"), "{wrong}");
        }
        let other = verify_versions("y", json!({"name": "x"}).as_object().unwrap()).unwrap_err();
        assert!(other.is_other_name());
    }
}
