//! The config in the record of a machine: the paths of its binaries.

use std::path::Path;

use serde_json::{Map, Value};

use crate::model::Machine;
use crate::shell;

/// An error about a value that cannot be stored in the config of a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The key does not end in `_BINARY`, or is no name of a variable.
    #[error(
        "cannot store {0} in the record of a machine: only keys that end in _BINARY can be stored; put settings into rigup.toml"
    )]
    Key(String),
    /// The `config` of a record is not an object.
    #[error("cannot store {0} as the config of a machine; it must be an object")]
    NoObject(String),
    /// The value is not the absolute path of a file.
    #[error("cannot set {0}: {1} is not the absolute path of an existing file")]
    NoFile(String, String),
}

/// Returns the changes that a Machine record makes to the config of a machine; null removes a key. The record has
/// either a complete `config`, or one `key`, which older tools write as `config/KEY`, with a `value` or the method
/// `unset`. Keys of a complete `config` are passed to `skip` if they cannot be stored or if their file does not exist,
/// because the record may be out of date.
pub(crate) fn patch(
    fields: &Map<String, Value>,
    mut skip: impl FnMut(ConfigError),
) -> Result<Map<String, Value>, ConfigError> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    if let Some(key) = text("key") {
        let key = key.strip_prefix("config/").unwrap_or(key);
        let is_unset = text("_method").or(text("method")) == Some("unset");
        let value = text("value").filter(|_| !is_unset).unwrap_or_default();
        return Ok(Map::from_iter([setting(key, value)?]));
    }
    let config = match fields.get("config") {
        None | Some(Value::Null) => return Ok(Map::new()),
        Some(Value::Object(config)) => config,
        Some(other) => return Err(ConfigError::NoObject(other.to_string())),
    };
    let settings = config.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| match value {
        Value::String(value) => setting(key, value),
        other => check_key(key).and(Err(ConfigError::NoFile(key.clone(), other.to_string()))),
    });
    Ok(settings.filter_map(|setting| setting.map_err(&mut skip).ok()).collect())
}

/// Removes the keys that cannot be stored from the config of another machine, whose files are unknown here, and passes
/// them to `skip`.
pub(crate) fn retain_storable(config: &mut Map<String, Value>, mut skip: impl FnMut(ConfigError)) {
    config.retain(|key, value| {
        let is_path = |path: &str| Path::new(path).is_absolute();
        let checked = check_key(key).and_then(|()| match value {
            Value::String(path) if is_path(path) => Ok(()),
            other => Err(ConfigError::NoFile(key.clone(), other.to_string())),
        });
        checked.map_err(&mut skip).is_ok()
    });
}

fn check_key(key: &str) -> Result<(), ConfigError> {
    let is_storable = shell::is_name(key) && key.ends_with("_BINARY") && key != "_BINARY";
    if is_storable { Ok(()) } else { Err(ConfigError::Key(key.to_owned())) }
}

/// Returns a key with its value, or with null if the value is empty.
pub(crate) fn setting(key: &str, value: &str) -> Result<(String, Value), ConfigError> {
    check_key(key)?;
    let value = match Path::new(value) {
        _ if value.is_empty() => Value::Null,
        path if path.is_absolute() && path.is_file() => value.into(),
        _ => return Err(ConfigError::NoFile(key.to_owned(), value.to_owned())),
    };
    Ok((key.to_owned(), value))
}

/// Returns the record of this machine without the paths that no longer exist. They stay stored: a volume may only be
/// unmounted for now.
pub(crate) fn without_missing(machine: &Machine) -> Machine {
    let exists = |path: &Value| path.as_str().is_some_and(|path| Path::new(path).is_file());
    let config = machine.config.iter().filter(|(_, path)| exists(path));
    let config = config.map(|(key, path)| (key.clone(), path.clone())).collect();
    Machine { config, ..machine.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(record: &Value) -> Result<Value, ConfigError> {
        patch(record.as_object().unwrap(), drop).map(Value::Object)
    }

    #[test]
    fn accepts_every_form_of_a_patch() {
        let set = json!({"SH_BINARY": "/bin/sh"});
        assert_eq!(patched(&json!({"config": {"SH_BINARY": "/bin/sh"}})), Ok(set.clone()));
        let older = json!({"_method": "update", "key": "config/SH_BINARY", "value": "/bin/sh"});
        assert_eq!(patched(&older), Ok(set));
        let unset = json!({"method": "unset", "key": "SH_BINARY"});
        assert_eq!(patched(&unset), Ok(json!({"SH_BINARY": null})));
        assert_eq!(patched(&json!({})), Ok(json!({})));
        assert_eq!(patched(&json!({"config": "x"})), Err(ConfigError::NoObject("\"x\"".to_owned())));
    }

    #[test]
    fn only_paths_of_existing_binaries_are_stored() {
        let config = json!({"SH_BINARY": "/bin/sh", "PATH": "/bin", "PATH\u{0}_BINARY": "/bin/sh", "X_BINARY": "/no/such", "Y_BINARY": 7});
        let (record, mut skipped) = (json!({ "config": config }), Vec::new());
        let stored = patch(record.as_object().unwrap(), |error| skipped.push(error.to_string())).unwrap();
        assert_eq!(Value::Object(stored), json!({"SH_BINARY": "/bin/sh"}));
        assert_eq!(skipped.len(), 4, "{skipped:?}");
        let mut elsewhere =
            json!({"A_BINARY": "/elsewhere/a", "A_TOKEN": "/x", "B_BINARY": 7}).as_object().unwrap().clone();
        let mut skipped = 0;
        retain_storable(&mut elsewhere, |_error| skipped += 1);
        assert_eq!((Value::Object(elsewhere), skipped), (json!({"A_BINARY": "/elsewhere/a"}), 2));
        let error = |key: &str, value: &str| setting(key, value).unwrap_err().to_string();
        assert!(error("PATH", "/bin/sh").starts_with("cannot store PATH in the record of a machine"));
        assert!(error("X_BINARY", "bin/sh").contains("bin/sh is not the absolute path of an existing file"));
        assert!(error("X_BINARY", "/usr").contains("/usr is not the absolute path of an existing file"));
    }
}
