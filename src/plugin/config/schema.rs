//! A plugin's `config.json`: a JSON Schema of its settings, its requirements, and the keys of a provider.

use std::io;
use std::path::Path;

use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::model::misspelling::closest;
use crate::plugin::config::keys::Keys;
use crate::plugin::config::provider::{KeyError, ProviderConfig, stated};
use crate::trust::{Inspection, TrustedReadError};

/// The name of the file in a plugin's folder.
pub(crate) const FILE_NAME: &str = "config.json";

/// The largest file that rigup reads, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Keys that are not like any that rigup reads, so that they need no search for misspellings.
const OTHER_KEYS: [&str; 4] = ["$schema", "additionalProperties", "title", "type"];

/// The keys that rigup reads, besides `type`.
const KEYS: [&str; 25] = [
    "builds_part",
    "caches",
    "concurrent",
    "lock",
    "curated",
    "enforces",
    "exact_versions",
    "max_version_format",
    "metadata",
    "needs",
    "needs_check",
    "options",
    "override_keys",
    "package_commands",
    "package_names",
    "partial_version_format",
    "properties",
    "required_binaries",
    "required_plugins",
    "settings",
    "version_format",
    "version_numbers",
    "wait_for_background_cleanup",
    "x-auto-run",
    "x-runtimes",
];

/// A parsed `config.json`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    /// The settings, in the order of the file.
    pub properties: Vec<Property>,
    /// The plugins that this one requires.
    pub required_plugins: Vec<String>,
    /// Whether its hooks run only after the background hooks before them have exited: `wait_for_background_cleanup`.
    pub waits_for_background: bool,
    /// The binaries that the plugin requires, unparsed: objects like the lines of a `binaries.jsonl`.
    pub required_binaries: Vec<Value>,
    /// Whether the plugin is used only if it is selected, enabled or required: `x-auto-run` is false.
    pub is_opt_in: bool,
    /// The runtimes that the plugin is for, in lower case; all if empty.
    pub runtimes: Vec<String>,
    /// The keys of a provider.
    pub provider: ProviderConfig,
}

/// A setting of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// The name, which is also that of the variable.
    pub name: String,
    /// Other names: `x-aliases`.
    pub aliases: Vec<String>,
    /// The setting whose value applies if this one has none: `x-fallback`.
    pub fallback: Option<String>,
    /// The default value.
    pub default: Value,
    /// The description.
    pub description: String,
    /// Whether the value is hidden: `x-sensitive`.
    pub is_secret: bool,
    /// The JSON Schema of the value.
    pub schema: Value,
}

impl Property {
    /// Returns the setting with this name and JSON Schema.
    pub fn new(name: String, schema: Value) -> Self {
        Self {
            name,
            aliases: schema["x-aliases"].as_array().map(|names| texts(names)).unwrap_or_default(),
            fallback: schema["x-fallback"].as_str().map(str::to_owned),
            default: schema["default"].clone(),
            description: schema["description"].as_str().unwrap_or_default().to_owned(),
            is_secret: schema["x-sensitive"] == true,
            schema,
        }
    }

    /// Returns whether the value may have this JSON Schema type: `string`, `boolean`, `integer`, ...
    pub fn may_be(&self, kind: &str) -> bool {
        match &self.schema["type"] {
            Value::String(only) => only == kind,
            Value::Array(kinds) => kinds.iter().any(|known| known == kind),
            _ => false,
        }
    }

    /// Returns the name, then the other names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

/// The reason why a `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] TrustedReadError),
    /// The file is not JSON.
    #[error("it is not JSON ({0})")]
    NotJson(serde_json::Error),
    /// The file is JSON, but not a schema of settings.
    #[error("{0}")]
    NotASchema(&'static str),
    /// A key of a provider whose value has the wrong type.
    #[error(transparent)]
    Provider(#[from] KeyError),
    /// A misspelled key, and the right spelling.
    #[error("it has the unknown key {0:?}; write {1:?}")]
    MisspelledKey(String, &'static str),
    /// A setting whose default contains a NUL.
    #[error("the default of {0:?} contains a NUL, which no environment variable can contain")]
    NulInDefault(String),
}

/// Reads the `config.json` in a plugin's folder, or returns `None` if there is none. An untrusted file is an error.
pub(crate) fn read(folder: &Path, inspection: &mut Inspection<'_>) -> Result<Option<Schema>, SchemaError> {
    let Some(bytes) = inspection.read(&folder.join(FILE_NAME), MAX_SIZE)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| {
        TrustedReadError::from(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
    })?;
    let schema = parse(&text)?;
    schema.provider.check_package_names()?;
    Ok(Some(schema))
}

/// Parses the text of a `config.json`. Without a `type`, it is an object; without `properties`, it has no settings. The pattern
/// of `package_names` is not checked: those of the built-in providers are valid, and a check would take longer than all else.
pub fn parse(text: &str) -> Result<Schema, SchemaError> {
    let text = text.trim_start_matches('\u{feff}');
    let mut keys: Keys = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => SchemaError::NotASchema("it is not an object"),
        _ => SchemaError::NotJson(error),
    })?;
    if keys.get("type").is_some_and(|kind| kind != "object") {
        return Err(SchemaError::NotASchema("its \"type\" is not \"object\""));
    }
    let properties = match keys.remove("properties") {
        None => Map::new(),
        Some(Value::Object(properties)) => properties,
        Some(_) => return Err(SchemaError::NotASchema("its \"properties\" are not an object")),
    };
    // JSON Schema has many other keys.
    let unknown = keys.names().filter(|key| !KEYS.iter().chain(&OTHER_KEYS).any(|known| known == key));
    let mut misspelled = unknown.filter_map(|key| Some((key, closest(key, KEYS)?)));
    if let Some((key, known)) = misspelled.next() {
        return Err(SchemaError::MisspelledKey(key.to_owned(), known));
    }
    let plugins: Option<Vec<Value>> = stated(&keys, "required_plugins", "a list of names of plugins")?;
    let waits: Option<bool> = stated(&keys, "wait_for_background_cleanup", "true or false")?;
    let binaries = stated(&keys, "required_binaries", "a list of requirements")?;
    let runtimes: Option<Vec<Value>> = stated(&keys, "x-runtimes", "a list of runtimes")?;
    let is_auto_run = stated(&keys, "x-auto-run", "true or false")?;
    Ok(Schema {
        is_opt_in: is_auto_run == Some(false),
        runtimes: texts(&runtimes.unwrap_or_default()).iter().map(|text| text.to_lowercase()).collect(),
        properties: properties.into_iter().map(property).collect::<Result<_, _>>()?,
        required_plugins: texts(&plugins.unwrap_or_default()),
        waits_for_background: waits.unwrap_or_default(),
        required_binaries: binaries.unwrap_or_default(),
        provider: ProviderConfig::parse(&keys)?,
    })
}

fn property((name, schema): (String, Value)) -> Result<Property, SchemaError> {
    if schema["default"].as_str().is_some_and(|default| default.contains('\0')) {
        return Err(SchemaError::NulInDefault(name));
    }
    Ok(Property::new(name, schema))
}

/// Returns the strings among these values, without blanks around them.
fn texts(values: &[Value]) -> Vec<String> {
    let texts = values.iter().filter_map(Value::as_str).map(|text| text.trim().to_owned());
    texts.filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::trust::Trust;

    /// The file is a link, whose target may not exist yet when rigup checks the plugin's folder.
    #[test]
    fn does_not_read_a_file_that_others_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs_err::write(&elsewhere, r#"{"type": "object", "properties": {}}"#).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(FILE_NAME)).unwrap();
        let read = || {
            let trust = Trust::new(None);
            read(folder.path(), &mut Inspection::new(&trust)).map_err(|error| error.to_string())
        };
        assert_eq!(read(), Ok(Some(Schema::default())));
        fs_err::set_permissions(&elsewhere, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let error = read().unwrap_err();
        assert!(error.contains("others can write to it (mode 0666)"), "{error}");
        fs_err::remove_file(&elsewhere).unwrap();
        assert_eq!(read(), Ok(None));
    }

    const WGET: &str = r#"{
        "type": "object",
        "required_plugins": ["base ", ""],
        "enforces": {"min_release_age": true, "postinstall_scripts": false},
        "required_binaries": [{"name": "{WGET_BINARY}", "binproviders": "env,apt", "min_version": null}],
        "properties": {
            "WGET_ENABLED": {"type": "boolean", "default": true, "x-aliases": ["SAVE_WGET"], "description": "Save it"},
            "WGET_TIMEOUT": {"type": ["integer", "null"], "default": 60, "x-fallback": "TIMEOUT"},
            "WGET_KEY": {"type": "string", "x-sensitive": true}
        }
    }"#;

    #[test]
    fn parses_settings_in_order_with_aliases_fallbacks_and_defaults() {
        let schema = parse(WGET).unwrap();
        let [enabled, timeout, key] = &schema.properties[..] else { panic!("{schema:?}") };
        assert_eq!(enabled.names().collect::<Vec<_>>(), ["WGET_ENABLED", "SAVE_WGET"]);
        assert_eq!((&enabled.default, enabled.description.as_str()), (&json!(true), "Save it"));
        assert_eq!((timeout.fallback.as_deref(), &timeout.default), (Some("TIMEOUT"), &json!(60)));
        assert!(timeout.may_be("null") && timeout.may_be("integer") && !timeout.may_be("string"));
        assert!(key.is_secret && key.default.is_null());
        assert_eq!(schema.required_plugins, ["base"]);
        assert_eq!(
            (schema.provider.enforces.min_release_age, schema.provider.enforces.postinstall_scripts),
            (Some(true), Some(false))
        );
        assert_eq!(schema.required_binaries[0]["name"], "{WGET_BINARY}");
    }

    #[test]
    fn a_file_without_a_type_or_properties_keeps_its_other_keys() {
        for text in ["{}", r#"{"type": "object"}"#, r#"{"properties": {}}"#] {
            assert_eq!(parse(text).unwrap(), Schema::default(), "{text}");
        }
        let schema = parse(r#"{"required_plugins": ["d"], "wait_for_background_cleanup": true}"#).unwrap();
        assert_eq!((schema.required_plugins, schema.waits_for_background), (vec!["d".to_owned()], true));
    }

    #[test]
    fn reports_why_a_file_is_not_a_schema() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert!(error("{oops").starts_with("it is not JSON (key must be a string"));
        assert_eq!(error("[]"), "it is not an object");
        assert_eq!(error(r#"{"type": "array"}"#), "its \"type\" is not \"object\"");
        assert_eq!(error(r#"{"properties": []}"#), "its \"properties\" are not an object");
        for (key, expected) in [
            (r#""curate": false"#, "it has the unknown key \"curate\"; write \"curated\""),
            (
                r#""require_binaries": []"#,
                "it has the unknown key \"require_binaries\"; write \"required_binaries\"",
            ),
            (r#""propertie": {}"#, "it has the unknown key \"propertie\"; write \"properties\""),
            (
                r#""required_binaries": {"name": "jq"}"#,
                "\"required_binaries\" must be a list of requirements",
            ),
            (r#""required_plugins": "base""#, "\"required_plugins\" must be a list of names of plugins"),
        ] {
            let error = error(&format!("{{{key}}}"));
            assert!(error.starts_with(expected), "{error}");
        }
        let text = r#"{"type": "object", "properties": {"A": {"default": "a\u0000b"}}}"#;
        assert!(error(text).contains("the default of \"A\" contains a NUL"));
        let (folder, trust) = (tempfile::tempdir().unwrap(), Trust::new(None));
        assert!(matches!(read(folder.path(), &mut Inspection::new(&trust)), Ok(None)));
        for unreadable in [vec![0xff], vec![b' '; (1 << 20) + 1]] {
            fs_err::write(folder.path().join(FILE_NAME), unreadable).unwrap();
            assert!(matches!(read(folder.path(), &mut Inspection::new(&trust)), Err(SchemaError::Read(_))));
        }
    }
}
