//! The keys of a requirement. A misspelled key must not pass silently: it may be the one that limits the providers.

use serde_json::{Map, Value};

use crate::model::misspelling::closest;

/// The keys of a requirement.
const KEYS: [&str; 11] = [
    "type",
    "name",
    "bin_name",
    "binproviders",
    "bin_providers",
    "min_version",
    "max_version",
    "min_release_age",
    "postinstall_scripts",
    "overrides",
    "pays_from",
];

/// The keys of a Binary record that name the provider which installed it; the last two are those of other programs.
const PROVIDER_KEYS: [&str; 3] = ["binprovider", "provider", "providers"];

/// Returns the known key that an unknown one stands for, or `None` if there is none.
fn known_key(key: &str) -> Option<&'static str> {
    match key {
        "provider" | "providers" => Some("binproviders"),
        key => closest(key, KEYS),
    }
}

/// A key that looks like a known one: the key, and the known one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown key {0:?}; write {1:?}")]
pub struct MisspelledKey(String, &'static str);

/// Checks the keys of a line. A key that looks like a known one is an error. Returns a message about the other unknown
/// keys, or `None` if there are none.
pub(super) fn check(keys: &Map<String, Value>) -> Result<Option<String>, MisspelledKey> {
    let mut unknown = Vec::new();
    for key in keys.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        if let Some(known) = known_key(key) {
            return Err(MisspelledKey(key.clone(), known));
        }
        unknown.push(format!("{key:?}"));
    }
    let noun = if unknown.len() == 1 { "key" } else { "keys" };
    Ok((!unknown.is_empty()).then(|| format!("ignored the unknown {noun} {}", unknown.join(", "))))
}

/// Checks the keys of a record. Its other keys may belong to another program.
pub(super) fn check_record(fields: &Map<String, Value>) -> Result<(), MisspelledKey> {
    let is_blank = |key: &str| fields.get(key).is_none_or(|value| value.is_null() || *value == "");
    // A Binary record has such a key, and a request does not.
    let may_have_provider = |key: &str| is_blank(key) || !is_blank("abspath") || !is_blank("binproviders");
    let is_known = |key: &str| KEYS.contains(&key) || PROVIDER_KEYS.contains(&key) && may_have_provider(key);
    match fields.keys().filter(|key| !is_known(key)).find_map(|key| Some((key, known_key(key)?))) {
        Some((key, known)) => Err(MisspelledKey(key.clone(), known)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(keys: &Value) -> Map<String, Value> {
        keys.as_object().unwrap().clone()
    }

    #[test]
    fn names_unknown_keys_and_rejects_misspelled_ones() {
        assert_eq!(check(&keys(&json!({"type": 0, "name": 0, "overrides": 0}))), Ok(None));
        let unknown = check(&keys(&json!({"home": 0, "_comment": 0}))).unwrap().unwrap();
        assert!(
            unknown.starts_with("ignored the unknown keys ") && unknown.contains("\"home\""),
            "{unknown}"
        );
        for (wrong, right) in [
            ("binprovider", "binproviders"),
            ("min_versoin", "min_version"),
            ("maxVersion", "max_version"),
            ("min-version", "min_version"),
            ("override", "overrides"),
            ("Name", "name"),
            ("provider", "binproviders"),
            ("providers", "binproviders"),
        ] {
            let error = MisspelledKey(wrong.to_owned(), right);
            assert_eq!(check(&keys(&json!({ wrong: 0 }))), Err(error));
        }
    }

    #[test]
    fn a_record_may_have_keys_of_other_programs_but_no_misspelled_ones() {
        let installed = json!({"abspath": "/bin/sh", "binprovider": "env", "version": "1", "uuid": 7});
        assert_eq!(check_record(&keys(&installed)), Ok(()));
        assert_eq!(check_record(&keys(&json!({"binprovider": "", "binproviders": ""}))), Ok(()));
        for wrong in ["binprovider", "provider", "min_versoin"] {
            assert!(check_record(&keys(&json!({ wrong: "pip" }))).is_err(), "{wrong}");
        }
    }
}
