//! The overrides of a requirement: what it states for individual providers.
//!
//! `{"pip": {"packages": ["yt-dlp[default]"]}}`: a string stands for a list of one, and a bare list or string under a
//! provider is its packages. `install_args` is a synonym of `packages` that may also hold options of the package manager.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::fs::dir;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::model::version;
use crate::model::{BinaryName, PluginNameError, Policy, PolicyError, ProviderName, Version};

/// An error in the overrides of a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// A key that cannot name a provider.
    #[error("overrides: {0}")]
    Provider(#[from] PluginNameError),
    /// Neither a string nor a list of strings.
    #[error("overrides.{0}: packages must be a string or a list of strings")]
    NotPackages(ProviderName),
    /// A package that a shell could read as several packages: the `echo` of many shells turns `\n` into a line break.
    #[error("overrides.{0}: the package {1:?} contains a control character or a backslash")]
    Control(ProviderName, String),
    /// A package that the package manager would read as an option.
    #[error("overrides.{0}: the package `{1}` starts with `-`; put options into install_args")]
    Option(ProviderName, String),
    /// A key whose value is invalid: the key, and what its value must be.
    #[error("overrides.{0}.{1} must be {2}")]
    WrongValue(ProviderName, &'static str, &'static str),
    /// A NUL, which neither an argument nor a variable can contain.
    #[error("overrides.{0} contains a NUL")]
    Nul(ProviderName),
    /// A policy that cannot be parsed.
    #[error("overrides.{0}: {1}")]
    Policy(ProviderName, PolicyError),
}

/// An option in `install_args` that the provider's `config.json` does not allow. Options of package managers can run
/// commands, fetch from other places or write to them, so each option must be allowed by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("overrides.{provider}: a requirement may not use the option `{option}`; {provider} allows {}", list(.allowed))]
pub struct OptionError {
    /// The provider.
    pub provider: String,
    /// The option.
    pub option: String,
    /// The options that the provider allows.
    pub allowed: Vec<String>,
}

fn list(options: &[String]) -> String {
    if options.is_empty() { "none".to_owned() } else { options.join(", ") }
}

/// The keys that name packages: the first names packages alone, the second packages and options.
const PACKAGES_KEYS: [&str; 2] = ["packages", "install_args"];

/// The overrides of a requirement: parsed and checked once, and serialized as they were written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    providers: Vec<(ProviderName, ProviderOverrides)>,
}

/// The overrides for one provider. Blank values count as absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProviderOverrides {
    /// The packages that provide the binary, which may include options if they come from `install_args`; empty if the
    /// package has the name of the binary.
    pub packages: Vec<String>,
    /// The folder that the provider installs into, instead of a separate one for each binary.
    pub install_root: Option<String>,
    abspath: Option<String>,
    /// The version of a binary that does not report one.
    pub version: Option<String>,
    /// The arguments that make the program print its version; empty for the usual ones.
    pub version_args: Vec<String>,
    /// The minimum version that the requirement accepts from this provider.
    pub min_version: Option<String>,
    /// The policy for this provider.
    pub policy: Policy,
    /// The value as it was written, including keys that only the hook uses.
    json: Value,
}

/// The folder below `LIB_DIR/<provider>` that contains further prefixes, as in abx-plugins.
pub(crate) const SHARED: &str = "packages";

/// The end of the name of an unfinished prefix.
pub(crate) const PART: &str = ".part";

impl ProviderOverrides {
    /// Returns the folder that a provider installs a binary into: `LIB_DIR/<provider>/<name>`, so that no tool breaks
    /// another's dependencies. `install_root` may put several tools into one folder: a name or an absolute path directly
    /// below `LIB_DIR/<provider>` or its folder `packages`. Returns `None` if it is another folder. No prefix contains
    /// another, because providers empty the prefix that they install into.
    pub(crate) fn prefix(&self, provider: &str, name: &BinaryName, lib_dir: &Path) -> Option<PathBuf> {
        let below = lib_dir.join(provider);
        let path = below.join(self.install_root.as_deref().unwrap_or(name.link_name()));
        let inside = path.strip_prefix(&below).ok()?.components();
        let is_allowed = |name: &OsStr| !name.as_encoded_bytes().ends_with(PART.as_bytes());
        match inside.collect::<Vec<_>>()[..] {
            [Component::Normal(name)] if is_allowed(name) && name != SHARED => Some(below.join(name)),
            [Component::Normal(shared), Component::Normal(name)] if shared == SHARED && is_allowed(name) => {
                Some(below.join(shared).join(name))
            }
            _ => None,
        }
    }
}

static NO_OVERRIDES: LazyLock<ProviderOverrides> = LazyLock::new(ProviderOverrides::default);

impl Overrides {
    /// Parses the value of `overrides`, one key for each provider.
    pub fn parse(keys: &Map<String, Value>) -> Result<Self, OverrideError> {
        let mut providers = Vec::new();
        for (provider, json) in keys {
            let provider = ProviderName::parse(provider)?;
            let overrides = ProviderOverrides::parse(&provider, json.clone())?;
            providers.push((provider, overrides));
        }
        Ok(Self { providers })
    }

    /// Returns the overrides for a provider, which are empty if there are none.
    pub fn of(&self, provider: &str) -> &ProviderOverrides {
        self.providers
            .iter()
            .find(|(name, _)| name == provider)
            .map_or(&NO_OVERRIDES, |(_, overrides)| overrides)
    }

    /// Returns the providers that have overrides, in the order of the requirement.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderName> {
        self.providers.iter().map(|(provider, _)| provider)
    }

    /// Returns whether there are no overrides.
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }

    /// Returns the overrides as they were written.
    pub fn to_json(&self) -> Map<String, Value> {
        self.providers.iter().map(|(name, overrides)| (name.to_string(), overrides.json.clone())).collect()
    }

    /// Merges the overrides of two plugins that require the same binary: the packages of both are combined, and for
    /// every other key, the value of `self` takes precedence.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let mut merged = self.clone();
        for (provider, theirs) in &other.providers {
            match merged.providers.iter_mut().find(|(name, _)| name == provider) {
                None => merged.providers.push((provider.clone(), theirs.clone())),
                Some((_, ours)) if ours == theirs => {}
                Some((_, ours)) => *ours = ours.merge(theirs, provider),
            }
        }
        merged
    }

    /// Replaces the minimum version and the policy in the overrides for each provider with those that `rules` returns.
    /// A value that the overrides do not state remains absent.
    pub fn replace_rules(&mut self, rules: impl Fn(&ProviderName, &ProviderOverrides) -> (String, Policy)) {
        for (provider, overrides) in &mut self.providers {
            let (min_version, policy) = rules(provider, overrides);
            *overrides = overrides.with_rules(&min_version, policy, provider);
        }
    }

    /// Makes the overrides at least as strict as the rules for all providers: `stated` replaces their policy; `default`
    /// and `min_version` tighten them.
    pub fn tighten(&mut self, min_version: &str, default: Policy, stated: Policy) {
        self.replace_rules(|_, overrides| {
            let stated_version = overrides.min_version.as_deref().unwrap_or_default();
            (
                version::stricter(stated_version, min_version).to_owned(),
                stated.or(overrides.policy.and(default)),
            )
        });
    }
}

impl Serialize for Overrides {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.providers.iter().map(|(name, overrides)| (name, &overrides.json)))
    }
}

impl ProviderOverrides {
    fn parse(provider: &ProviderName, json: Value) -> Result<Self, OverrideError> {
        if has_nul(&json) {
            return Err(OverrideError::Nul(provider.clone()));
        }
        let packages = packages(provider, &json)?;
        let text = |key: &'static str| match json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.chars().any(char::is_control) => {
                Ok(Some(text.clone()).filter(|text| !text.is_empty()))
            }
            Some(_) => {
                let text = "a string without control characters";
                Err(OverrideError::WrongValue(provider.clone(), key, text))
            }
        };
        let version_args = texts(json.get("version_args").unwrap_or(&Value::Null));
        let version_args =
            version_args.filter(|args| args.iter().flat_map(|arg| arg.chars()).all(|c| !c.is_control()));
        let version_args = version_args.ok_or_else(|| {
            let list = "a string or a list of strings, without control characters";
            OverrideError::WrongValue(provider.clone(), "version_args", list)
        })?;
        let min_version = text("min_version")?;
        if min_version.as_deref().is_some_and(|version| !Version::looks_like_version(version)) {
            let version = "a version such as \"1.2\"";
            return Err(OverrideError::WrongValue(provider.clone(), "min_version", version));
        }
        let policy = json.as_object().map(Policy::parse).transpose();
        Ok(Self {
            packages,
            install_root: text("install_root")?,
            abspath: text("abspath")?,
            version: text("version")?,
            version_args,
            min_version,
            policy: policy
                .map_err(|error| OverrideError::Policy(provider.clone(), error))?
                .unwrap_or_default(),
            json,
        })
    }

    /// Returns the path that the binary must have, or `None` if any path is allowed. `home` replaces a leading `~`.
    pub fn abspath(&self, home: Option<&Path>) -> Option<PathBuf> {
        let path = Path::new(self.abspath.as_deref()?);
        Some(dir::expand_home(path, home).unwrap_or_else(|| path.to_owned()))
    }

    /// Returns the value of any key as it was written, or `None` if there is none.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.json.get(key)
    }

    /// Checks the options among the packages against those that the provider allows; one that ends with `=` allows any
    /// value.
    pub fn check_options(&self, provider: &str, allowed: &[String]) -> Result<(), OptionError> {
        let allows = |known: &String, option: &str| {
            known == option || known.ends_with('=') && option.starts_with(known.as_str())
        };
        let mut options = self.packages.iter().filter(|package| is_option(package));
        let forbidden = options.find(|option| !allowed.iter().any(|known| allows(known, option)));
        forbidden.map_or(Ok(()), |option| {
            Err(OptionError {
                provider: provider.to_owned(),
                option: option.clone(),
                allowed: allowed.to_vec(),
            })
        })
    }

    fn merge(&self, other: &Self, provider: &ProviderName) -> Self {
        let mut keys = match &self.json {
            Value::Object(keys) => keys.clone(),
            packages => Map::from_iter([(PACKAGES_KEYS[0].to_owned(), packages.clone())]),
        };
        for (key, theirs) in other.json.as_object().into_iter().flatten() {
            let is_absent = keys.get(key).is_none_or(Value::is_null);
            if is_absent && !PACKAGES_KEYS.contains(&key.as_str()) {
                keys.insert(key.clone(), theirs.clone());
            }
        }
        if !other.packages.is_empty() && self.packages != other.packages {
            let mut all = [&self.packages[..], &other.packages].concat();
            let mut seen = HashSet::new();
            all.retain(|package| seen.insert(package.clone()));
            for key in PACKAGES_KEYS {
                keys.remove(key);
            }
            let has_options = all.iter().any(|package| is_option(package));
            keys.insert(PACKAGES_KEYS[usize::from(has_options)].to_owned(), all.into());
        }
        Self::parse(provider, keys.into()).expect("valid overrides merge into valid ones")
    }

    fn with_rules(&self, min_version: &str, policy: Policy, provider: &ProviderName) -> Self {
        let mut json = self.json.clone();
        let rules = [
            ("min_version", min_version.into()),
            (MIN_RELEASE_AGE_KEY, policy.min_release_age.into()),
            (POSTINSTALL_SCRIPTS_KEY, policy.postinstall_scripts.into()),
        ];
        for (key, rule) in rules {
            let value = json.as_object_mut().and_then(|keys| keys.get_mut(key));
            if let Some(value) = value.filter(|value| !value.is_null() && *value != "") {
                *value = rule;
            }
        }
        Self::parse(provider, json).expect("a valid rule replaces a valid one")
    }
}

fn is_option(package: &str) -> bool {
    package.trim_start().starts_with('-')
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(keys) => keys.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Returns a list of strings. A string stands for a list of one, and null for an empty list. Returns `None` for any
/// other value.
pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn packages(provider: &ProviderName, json: &Value) -> Result<Vec<String>, OverrideError> {
    let (listed, may_be_options) = match json {
        Value::Object(keys) => {
            let packages = keys.get(PACKAGES_KEYS[0]).map(|packages| (packages, false));
            let arguments = || keys.get(PACKAGES_KEYS[1]).map(|arguments| (arguments, true));
            packages.or_else(arguments).unwrap_or((&Value::Null, false))
        }
        other => (other, false),
    };
    let mut packages = texts(listed).ok_or_else(|| OverrideError::NotPackages(provider.clone()))?;
    packages.retain(|package| !package.trim().is_empty());
    for package in &packages {
        if package.contains(|c: char| c.is_control() || c == '\\') {
            return Err(OverrideError::Control(provider.clone(), package.clone()));
        } else if is_option(package) && !may_be_options {
            return Err(OverrideError::Option(provider.clone(), package.clone()));
        }
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(json: &Value) -> Result<Overrides, OverrideError> {
        Overrides::parse(json.as_object().unwrap())
    }

    fn packages_of(overrides: &Value) -> Result<Vec<String>, OverrideError> {
        parse(&json!({ "pip": overrides })).map(|overrides| overrides.of("pip").packages.clone())
    }

    #[test]
    fn only_install_args_may_hold_options_and_only_allowed_ones() {
        let arguments = json!({"install_args": ["--no-deps", "--only-binary=x", "x"]});
        assert_eq!(packages_of(&arguments).unwrap().len(), 3);
        for strict in [json!({"packages": ["--no-deps"]}), json!(["--no-deps"]), json!("--no-deps")] {
            assert!(matches!(packages_of(&strict), Err(OverrideError::Option(..))));
        }
        let overrides = parse(&json!({ "pip": arguments })).unwrap();
        let check = |allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            overrides.of("pip").check_options("pip", &allowed).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["--no-deps", "--only-binary="]), Ok(()));
        let error =
            "overrides.pip: a requirement may not use the option `--only-binary=x`; pip allows --no-deps";
        assert_eq!(check(&["--no-deps"]), Err(error.to_owned()));
        assert!(check(&[]).unwrap_err().ends_with("`--no-deps`; pip allows none"));
        let blank = parse(&json!({"pip": {"install_args": [" --no-deps"]}})).unwrap();
        assert!(blank.of("pip").check_options("pip", &["--no-deps".to_owned()]).is_err());
        let merged = overrides.merge(&parse(&json!({"pip": ["y"]})).unwrap());
        assert_eq!(
            merged.of("pip").get("install_args"),
            Some(&json!(["--no-deps", "--only-binary=x", "x", "y"]))
        );
    }

    #[test]
    fn parses_every_format_of_packages() {
        for value in [
            json!({"packages": ["x"]}),
            json!({"install_args": ["x"]}),
            json!({"packages": "x"}),
            json!(["x"]),
            json!("x"),
        ] {
            assert_eq!(packages_of(&value), Ok(vec!["x".to_owned()]), "{value}");
        }
        for none in [json!({"install_root": "x"}), json!([]), json!(null), json!({"packages": " "})] {
            assert_eq!(packages_of(&none), Ok(Vec::new()), "{none}");
        }
        assert!(parse(&json!({})).unwrap().of("pip").packages.is_empty());
    }

    #[test]
    fn rejects_an_invalid_list_of_packages() {
        assert!(packages_of(&json!(5)).is_err());
        assert!(packages_of(&json!(["x", 5])).is_err());
        for hidden in ["jq\n--allow-downgrades", "jq\\n--allow-downgrades"] {
            let hidden = packages_of(&json!([hidden]));
            assert!(matches!(hidden, Err(OverrideError::Control(..))), "packages are passed on one per line");
        }
    }

    #[test]
    fn merges_the_packages_of_two_requirements_for_one_binary() {
        let first = json!({"pip": {"install_args": ["a"], "install_root": "shared"}, "apt": ["z"]});
        let second = json!({"pip": ["b", "a"], "brew": ["c"], "apt": "z"});
        let expected = json!({
            "pip": {"install_root": "shared", "packages": ["a", "b"]}, "apt": {"packages": ["z"]}, "brew": ["c"],
        });
        assert_eq!(json!(parse(&first).unwrap().merge(&parse(&second).unwrap())), expected);
    }

    #[test]
    fn the_command_line_replaces_rules_and_settings_tighten_them() {
        let mut overrides = parse(&json!({
            "pip": {"min_version": "1.9", "min_release_age": 3}, "npm": {"postinstall_scripts": true}, "apt": ["x"],
        }))
        .unwrap();
        let default = Policy { min_release_age: Some(14.0), postinstall_scripts: Some(false) };
        let stated = Policy { min_release_age: None, postinstall_scripts: Some(true) };
        overrides.tighten("2", default, stated);
        let expected = json!({
            "pip": {"min_version": "2", "min_release_age": 14.0}, "npm": {"postinstall_scripts": true}, "apt": ["x"],
        });
        assert_eq!(json!(overrides), expected);
        assert_eq!(overrides.of("pip").min_version.as_deref(), Some("2"));
    }

    #[test]
    fn rejects_values_that_a_provider_cannot_use() {
        for (bad, expected) in [
            (json!({"abspath": 7}), "overrides.pip.abspath must be a string"),
            (json!({"install_root": "a\nb"}), "overrides.pip.install_root must be a string without control"),
            (json!({"of": ["mine", {"x": "\0"}]}), "overrides.pip contains a NUL"),
            (json!({"min_version": "new"}), "overrides.pip.min_version must be a version"),
            (json!({"min_release_age": "new"}), "overrides.pip: \"min_release_age\" must be a number"),
        ] {
            let error = parse(&json!({ "pip": bad })).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(parse(&json!({"pip": {"abspath": null, "version": "1", "custom": 7}})).is_ok());
        assert!(matches!(parse(&json!({"a/b": []})), Err(OverrideError::Provider(_))));
    }
}
