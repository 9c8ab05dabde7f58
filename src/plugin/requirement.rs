//! A plugin's requirements: `binaries.jsonl`.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::jsonl::{self, Line, StrictValue};
use crate::model::misspelling::closest;
use crate::model::{
    BinaryName, NameError, PluginName, PluginNameError, Policy, PolicyError, ProviderName, Version,
    VersionRange,
};
use crate::plugin::overrides::{self, OverrideError, Overrides};
use crate::trust::{Inspection, TrustedReadError};

mod fill;
mod keys;
mod providers;

use fill::FillError;
pub use fill::Substitution;
use keys::MisspelledKey;
pub use providers::Providers;
pub(crate) use providers::SYSTEM;

/// The names of the file in a plugin's folder. The oldest plugins have the second one.
pub(crate) const FILE_NAMES: [&str; 2] = ["binaries.jsonl", "dependencies.jsonl"];

/// The largest file that rigup reads, in bytes.
const MAX_SIZE: u64 = 16 << 20;

/// A requirement of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// The binary.
    pub name: BinaryName,
    /// The providers that may install it.
    pub providers: Providers,
    /// The minimum version; empty for any.
    pub min_version: String,
    /// The maximum version; empty for any.
    pub max_version: String,
    /// The policy for open registries.
    pub policy: Policy,
    /// The overrides for individual providers.
    pub overrides: Overrides,
    /// The plugin, or `None` if the requirement comes from the command line or a record.
    pub plugin: Option<PluginName>,
    /// The place that states it, for messages: the file and its line or entry; empty for a record.
    pub source: String,
    /// The setting that names the binary, such as `WGET_BINARY`; rigup sets it to the path.
    pub setting: Option<String>,
    /// For an optional dependency of a provider: the number of requests from which installing it saves time.
    pub pays_from: Option<u32>,
}

impl Requirement {
    /// Returns the plugin of the requirement as a provider, or `None` if it has no plugin.
    pub fn provider(&self) -> Option<ProviderName> {
        self.plugin.as_ref().map(ProviderName::from)
    }

    /// Checks the providers in the overrides against those that exist or that the requirement allows. One that looks
    /// like a known provider is an error. Returns a message about the other unknown ones, or `None` if there are none. `cause`
    /// says why one that seems to exist does not.
    pub(crate) fn check_override_providers(
        &self,
        existing: &[ProviderName],
        cause: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, LineError> {
        let named = if let Providers::Only(names) = &self.providers { names.as_slice() } else { &[] };
        let known = || existing.iter().chain(named.iter().filter(|name| *name != SYSTEM));
        let (mut unknown, mut causes) = (Vec::new(), String::new());
        for provider in self.overrides.providers().filter(|provider| !known().any(|name| name == *provider)) {
            // With overrides for both apk and apt, apk is no misspelling.
            let other = known().filter(|name| !self.overrides.providers().any(|stated| stated == *name));
            // `apt_sources` is a key that belongs into those of apt.
            let is_start = |name: &&ProviderName| provider.starts_with(&format!("{name}_"));
            let meant = closest(provider, other.map(ProviderName::as_str));
            if let Some(meant) = meant.or_else(|| known().find(is_start).map(ProviderName::as_str)) {
                return Err(LineError::MisspelledProvider(provider.clone(), meant.to_owned()));
            }
            causes.extend(cause(provider).map(|cause| format!("; {cause}")));
            unknown.push(format!("overrides.{provider}"));
        }
        let message = || format!("ignored {}, because there is no such provider{causes}", unknown.join(", "));
        Ok((!unknown.is_empty()).then(message))
    }
}

/// A problem in a file of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The plugin; empty for a whole folder of the search path.
    pub plugin: String,
    /// The file or folder.
    pub path: PathBuf,
    /// The line in the file, from 1.
    pub line: Option<u64>,
    /// The problem, and how to fix it.
    pub message: String,
    /// Whether the file is used all the same.
    pub is_warning: bool,
}

impl Diagnostic {
    /// Returns a diagnostic about a whole file or folder.
    pub fn new(plugin: impl Into<String>, path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            plugin: plugin.into(),
            path: path.into(),
            line: None,
            message: message.into(),
            is_warning: false,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// An error in a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line is not a JSON object, with the reason. The message does not quote the line, because the file may be a
    /// link to any file.
    #[error("not a JSON object: {0}")]
    NotAnObject(String),
    /// No `name`.
    #[error("no \"name\"; add that of the binary, as in {{\"type\":\"Binary\",\"name\":\"jq\"}}")]
    NoName,
    /// A setting in braces that has no value.
    #[error(transparent)]
    Setting(#[from] FillError),
    /// A misspelled key.
    #[error(transparent)]
    Key(#[from] MisspelledKey),
    /// Overrides for a provider that does not exist: its name, and the known one that it looks like.
    #[error("overrides.{0}: there is no such provider; write overrides.{1}")]
    MisspelledProvider(ProviderName, String),
    /// Versions that exclude each other.
    #[error("\"min_version\" {0} is newer than \"max_version\" {1}")]
    NoVersionInRange(String, String),
    /// A name that cannot be a folder and a link.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A provider whose name no plugin can have.
    #[error("\"binproviders\": {0}")]
    Provider(#[from] PluginNameError),
    /// A key whose value has the wrong type: the key, and what its value must be.
    #[error("\"{0}\" must be {1}")]
    WrongValue(&'static str, &'static str),
    /// A policy that cannot be parsed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// An invalid override.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// A line longer than [`jsonl::MAX_LINE`].
    #[error("the line is longer than {} bytes", jsonl::MAX_LINE)]
    TooLong,
}

/// Reads a file of a plugin's requirements: none if it does not exist. Returns a diagnostic for an untrusted file, and
/// for each line that cannot be parsed; the other lines are used.
pub(crate) fn read(
    plugin: Option<&PluginName>,
    path: &Path,
    home: Option<&Path>,
    inspection: &mut Inspection<'_>,
) -> (Vec<Requirement>, Vec<Diagnostic>) {
    match inspection.open(path) {
        Ok(Some(file)) if file.metadata().is_ok_and(|metadata| metadata.len() > MAX_SIZE) => {
            (Vec::new(), vec![unreadable(plugin, path, &TrustedReadError::TooLarge(MAX_SIZE))])
        }
        Ok(Some(file)) => read_from(plugin, path, BufReader::new(file), home),
        Ok(None) => (Vec::new(), Vec::new()),
        Err(error) => (Vec::new(), vec![unreadable(plugin, path, &error)]),
    }
}

/// Reads the requirements from an open file.
pub fn read_from(
    plugin: Option<&PluginName>,
    path: &Path,
    text: impl BufRead,
    home: Option<&Path>,
) -> (Vec<Requirement>, Vec<Diagnostic>) {
    let mut requirements = Vec::new();
    let mut diagnostics = Vec::new();
    let read = jsonl::for_each_line(text, |number, line| {
        let parsed = match line {
            Line::Text(text) => parse_line_with_unknown(plugin, text, home),
            Line::TooLong(_) => Err(LineError::TooLong),
        };
        match parsed {
            Ok((requirement, unknown)) => {
                let source = format!("{}:{number}", path.display());
                requirements.push(Requirement { source, ..requirement });
                diagnostics.extend(unknown.map(|message| Diagnostic {
                    is_warning: true,
                    ..diagnostic(plugin, path, Some(number), message)
                }));
            }
            Err(error) => diagnostics.push(diagnostic(plugin, path, Some(number), error.to_string())),
        }
    });
    if let Err(error) = read {
        diagnostics.push(unreadable(plugin, path, &error.into()));
    }
    (requirements, diagnostics)
}

fn unreadable(plugin: Option<&PluginName>, path: &Path, error: &TrustedReadError) -> Diagnostic {
    diagnostic(plugin, path, None, format!("cannot read the file: {error}"))
}

fn diagnostic(plugin: Option<&PluginName>, path: &Path, line: Option<u64>, message: String) -> Diagnostic {
    let plugin = plugin.map(ToString::to_string).unwrap_or_default();
    Diagnostic { line, ..Diagnostic::new(plugin, path, message) }
}

/// Parses one line in any accepted format.
pub fn parse_line(
    plugin: Option<&PluginName>,
    line: &[u8],
    home: Option<&Path>,
) -> Result<Requirement, LineError> {
    parse_line_with_unknown(plugin, line, home).map(|(requirement, _)| requirement)
}

/// Parses one line. Returns the requirement, and a message about the unknown keys of the line if it has any.
fn parse_line_with_unknown(
    plugin: Option<&PluginName>,
    line: &[u8],
    home: Option<&Path>,
) -> Result<(Requirement, Option<String>), LineError> {
    let StrictValue(value) =
        serde_json::from_slice(line).map_err(|error| LineError::NotAnObject(jsonl::parse_error(&error)))?;
    let Value::Object(keys) = value else { return Err(other_value(&value)) };
    match keys.get("type") {
        Some(Value::String(kind)) if is_requirement(kind) => {}
        _ => return Err(LineError::WrongValue("type", "\"Binary\" or \"BinaryRequest\"")),
    }
    let unknown = keys::check(&keys)?;
    Ok((parse_fields(plugin, &keys, home)?, unknown))
}

fn other_value(value: &Value) -> LineError {
    let kind = if value.is_array() { "a list" } else { "a single value" };
    LineError::NotAnObject(format!("it is {kind}; write {{\"type\":\"Binary\",\"name\":\"NAME\"}}"))
}

/// Returns whether a record of this type is a requirement. `Dependency` is the oldest name of the type.
pub(crate) fn is_requirement(kind: &str) -> bool {
    matches!(kind, "Binary" | "BinaryRequest" | "Dependency")
}

/// Parses an entry of `required_binaries` in a plugin's `config.json`: a line without a type, in which `fill` returns
/// the values of the settings in braces. A setting in a name must have a value. In overrides, in which braces may
/// belong to a command, a setting without a value is left unchanged. Returns the requirement, and a message about the
/// unknown keys of the entry if it has any.
pub fn parse_entry(
    plugin: Option<&PluginName>,
    entry: &Value,
    home: Option<&Path>,
    fill: impl Fn(&str) -> Substitution,
) -> Result<(Requirement, Option<String>), LineError> {
    let Value::Object(keys) = entry else { return Err(other_value(entry)) };
    let mut keys = keys.clone();
    let mut setting = None;
    if let Some(Value::String(name)) = keys.get_mut("name") {
        let only = name.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        setting = only.filter(|setting| setting.ends_with("_BINARY")).map(str::to_owned);
        *name = fill::filled(name, &|setting| match fill(setting) {
            Substitution::Unset => Err(FillError::Unset(setting.to_owned())),
            Substitution::Undeclared => Err(FillError::Undeclared(setting.to_owned())),
            other => other.value(setting),
        })?;
    }
    if let Some(overrides) = keys.get_mut("overrides") {
        fill::fill_all(overrides, &|setting| fill(setting).value(setting))?;
    }
    let unknown = keys::check(&keys)?;
    Ok((Requirement { setting, ..parse_fields(plugin, &keys, home)? }, unknown))
}

/// Parses a record whose type is that of a requirement. It may have all keys of a Binary record.
pub(crate) fn parse_record(
    fields: &Map<String, Value>,
    home: Option<&Path>,
) -> Result<Requirement, LineError> {
    keys::check_record(fields)?;
    parse_fields(None, fields, home)
}

fn parse_fields(
    plugin: Option<&PluginName>,
    keys: &Map<String, Value>,
    home: Option<&Path>,
) -> Result<Requirement, LineError> {
    let stated = |key: &str| keys.get(key).filter(|value| !value.is_null());
    let name = match keys.get("name").or_else(|| keys.get("bin_name")) {
        Some(Value::String(name)) => BinaryName::parse(name, home)?,
        Some(_) => return Err(LineError::WrongValue("name", "a string")),
        None => return Err(LineError::NoName),
    };
    let providers = keys.get("binproviders").or_else(|| keys.get("bin_providers"));
    let providers = overrides::texts(providers.unwrap_or(&Value::Null))
        .map(|names| names.join(","))
        .filter(|list| !has_control(list))
        .ok_or(LineError::WrongValue("binproviders", "a string such as \"pip,env\""))?;
    let version = |key| {
        let text = stated(key).map_or(Some(""), Value::as_str).map(str::trim);
        text.filter(|version| version.is_empty() || Version::looks_like_version(version))
            .ok_or(LineError::WrongValue(key, "a version such as \"1.2\""))
    };
    let (min, max) = (version("min_version")?, version("max_version")?);
    if (VersionRange { min, max }).is_empty() {
        return Err(LineError::NoVersionInRange(min.to_owned(), max.to_owned()));
    }
    let overrides = match stated("overrides") {
        None => Overrides::default(),
        Some(Value::Object(overrides)) => Overrides::parse(overrides)?,
        Some(_) => return Err(LineError::WrongValue("overrides", "an object with a key for each provider")),
    };
    let count = |value: &Value| u32::try_from(value.as_u64()?).ok().filter(|count| *count > 0);
    let pays_from = stated("pays_from")
        .map(|value| count(value).ok_or(LineError::WrongValue("pays_from", "a number of requests")))
        .transpose()?;
    Ok(Requirement {
        name,
        providers: Providers::parse(&providers)?,
        min_version: min.to_owned(),
        max_version: max.to_owned(),
        policy: Policy::parse(keys)?,
        overrides,
        plugin: plugin.cloned(),
        source: String::new(),
        setting: None,
        pays_from,
    })
}

/// Returns whether a text has a control character: it could not be an argument of a hook, or would be read as several
/// lines.
fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Trust;

    #[test]
    fn does_not_read_a_file_that_others_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE_NAMES[0]);
        let trust = Trust::new(None);
        let read = || read(None, &file, None, &mut Inspection::new(&trust));
        assert_eq!(read(), (Vec::new(), Vec::new()));
        fs_err::write(&file, r#"{"type":"Binary","name":"x"}"#).unwrap();
        assert_eq!(read().0.len(), 1);
        fs_err::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let (requirements, diagnostics) = read();
        assert!(
            requirements.is_empty() && diagnostics[0].message.contains("others can write to it (mode 0666)")
        );
    }

    fn parse(line: &str) -> Result<Requirement, LineError> {
        parse_line(None, line.as_bytes(), None)
    }

    #[test]
    fn parses_every_accepted_format_of_a_requirement() {
        let newest = parse(
            r#"{"type":"BinaryRequest","name":"yt-dlp","binproviders":" pip, env,,pip","min_version":"2024.1"}"#,
        );
        let oldest = parse(
            r#"{"type":"Binary","bin_name":"yt-dlp","bin_providers":["pip","env"],"min_version":"2024.1"}"#,
        );
        assert_eq!(newest, oldest);
        assert_eq!(
            newest.unwrap().providers,
            Providers::Only(["pip", "env"].map(ProviderName::from_static).into())
        );
        let any = r#"{"type":"Binary","name":"x","binproviders":"*"}"#;
        assert_eq!(parse(any).unwrap().providers, Providers::Any);
        for absent in
            [r#"{"type":"Binary","name":"x"}"#, r#"{"type":"Binary","name":"x","binproviders":" "}"#]
        {
            assert_eq!(parse(absent).unwrap().providers, Providers::Default);
        }
    }

    #[test]
    fn reports_why_a_line_is_not_a_requirement() {
        for (line, expected) in [
            ("{\"type\":\"Binary\",\"na", "not a JSON object: EOF"),
            ("[]", "not a JSON object: it is a list; write {\"type\":\"Binary\",\"name\":"),
            ("{}", "\"type\" must be \"Binary\" or"),
            (r#"{"type":"Machine"}"#, "\"type\" must be \"Binary\" or"),
            (r#"{"type":"Binary"}"#, "no \"name\"; add that of the binary, as in {"),
            (r#"{"type":"Binary","name":7}"#, "\"name\" must be a string"),
            (r#"{"type":"Binary","name":"a/b"}"#, "the name `a/b` contains a `/`"),
            (r#"{"type":"Binary","name":"x","binproviders":7}"#, "\"binproviders\" must be a string such as"),
            (
                r#"{"type":"Binary","name":"x","min_version":"latest"}"#,
                "\"min_version\" must be a version such",
            ),
            (r#"{"type":"Binary","name":"x","overrides":[]}"#, "\"overrides\" must be an object"),
            (
                r#"{"type":"Binary","name":"x","min_version":"3","max_version":"2.9"}"#,
                "\"min_version\" 3 is newer than \"max_version\" 2.9",
            ),
            (
                r#"{"type":"Binary","name":"x","binprovider":"pip"}"#,
                "unknown key \"binprovider\"; write \"binproviders\"",
            ),
            (
                r#"{"type":"Binary","name":"x","min_versoin":"1"}"#,
                "unknown key \"min_versoin\"; write \"min_version\"",
            ),
            (
                r#"{"type":"Binary","name":"x","overrides":{"apt":["-o"]}}"#,
                "overrides.apt: the package `-o` starts",
            ),
        ] {
            let message = parse(line).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{line}: {message}");
        }
    }

    #[test]
    fn fills_settings_into_the_name_of_an_entry() {
        let entry = |name: &str| {
            let entry = serde_json::json!({"name": name, "binproviders": "env", "min_version": null});
            let fill = |setting: &str| match setting {
                "W_BINARY" => Substitution::Value("wget".to_owned()),
                "X_BINARY" => Substitution::Unset,
                "X_TOKEN" => Substitution::Sensitive,
                _ => Substitution::Undeclared,
            };
            parse_entry(None, &entry, None, fill)
                .map(|(requirement, _)| requirement.name.to_string())
                .map_err(|error| error.to_string())
        };
        assert_eq!(entry("{W_BINARY}").unwrap(), "wget");
        assert_eq!(entry("my-{W_BINARY}2").unwrap(), "my-wget2");
        assert_eq!(entry("plain").unwrap(), "plain");
        assert!(entry("{X_BINARY}").unwrap_err().starts_with("the setting X_BINARY has no value"));
        assert!(entry("{X_TOKEN}").unwrap_err().starts_with("the setting X_TOKEN is sensitive"));
        assert!(
            entry("{HOME}")
                .unwrap_err()
                .starts_with("the setting HOME has no value: no config.json declares it")
        );
        let no_object =
            parse_entry(None, &Value::Null, None, |_| Substitution::Unset).unwrap_err().to_string();
        assert!(no_object.starts_with("not a JSON object"), "{no_object}");
    }

    #[test]
    fn reports_an_invalid_line_and_reads_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            b"{\"type\":\"Binary\",\"name\":\"a\"}\n\n\xff\xfe\x00\n{\"type\":\"Binary\",\"name\":\"b\"}";
        let file = folder.path().join(FILE_NAMES[0]);
        fs_err::write(&file, text).unwrap();
        let (requirements, diagnostics) = read(None, &file, None, &mut Inspection::new(&Trust::new(None)));
        assert_eq!(
            requirements.iter().map(|requirement| requirement.name.as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(diagnostics.len(), 1);
        assert_eq!(diagnostics[0].line, Some(3));
    }

    #[test]
    fn reports_a_folder_at_the_path_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (requirements, diagnostics) =
            read(None, folder.path(), None, &mut Inspection::new(&Trust::new(None)));
        assert!(requirements.is_empty());
        assert!(diagnostics[0].message.starts_with("cannot read the file"), "{}", diagnostics[0]);
    }
}
