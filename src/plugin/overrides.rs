//! The overrides of a requirement: what it states for individual providers.
//!
//! `{"pip": {"packages": ["yt-dlp[default]"]}}`: a string stands for a list of one, and a bare list or string under a
//! provider is its packages. `install_args` is a synonym of `packages` that may also hold options of the package manager.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::fs::dir;
use crate::fs::lib_dir::{PACKAGES, PART, Prefix};
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::model::{BinaryName, PluginNameError, Policy, PolicyError, ProviderName, Version, VersionRange};

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

/// An `install_root` outside the folders in which a provider may install.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot install into overrides.{provider}.install_root {root}; give a folder directly below {} or below its {PACKAGES}{}",
    below.display(), if root.ends_with(PART) { ", with a name that does not end with .part" } else { "" }
)]
pub struct InstallRootError {
    /// The provider.
    pub provider: String,
    /// The `install_root`.
    pub root: String,
    /// The folder that it must be in.
    pub below: PathBuf,
}

/// A key in the overrides that the provider does not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{provider} does not understand overrides.{provider}.{key}; remove the key, or use another provider")]
pub struct UnknownKeyError {
    /// The provider.
    pub provider: String,
    /// The key.
    pub key: String,
}

fn list(options: &[String]) -> String {
    if options.is_empty() { "none".to_owned() } else { options.join(", ") }
}

/// The keys of rules, which replace those of the requirement.
const RULE_KEYS: [&str; 4] = ["min_version", "max_version", MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY];

/// The other keys that rigup itself handles, for every provider; `docs_url` is only for people.
const COMMON_KEYS: [&str; 4] = ["abspath", "docs_url", "version", "version_args"];

/// The keys that name packages: the first names packages alone, the second packages and options. They may be combined.
const PACKAGES_KEYS: [&str; 2] = ["packages", "install_args"];

/// The overrides of a requirement: parsed and checked once, and serialized as they were written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    providers: Vec<(ProviderName, ProviderOverrides)>,
}

/// The overrides for one provider. Blank values count as absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProviderOverrides {
    /// The packages that provide the binary, and options if they come from `install_args`. If there is no package, it has the
    /// name of the binary.
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
    /// The maximum version that the requirement accepts from this provider.
    pub max_version: Option<String>,
    /// The policy for this provider.
    pub policy: Policy,
    /// The value as it was written, including keys that only the hook uses.
    json: Value,
}

impl ProviderOverrides {
    /// Returns the prefix that a provider installs a binary into: `LIB_DIR/<provider>/<name>`, so that no tool breaks
    /// another's dependencies. `install_root` may put several tools into one prefix: a name or an absolute path directly
    /// below `LIB_DIR/<provider>` or its folder `packages`.
    pub(crate) fn prefix(
        &self,
        provider: &str,
        name: &BinaryName,
        lib_dir: &Path,
    ) -> Result<Prefix, InstallRootError> {
        let Some(root) = &self.install_root else {
            return Ok(Prefix::of_binary(provider, name.link_name()));
        };
        let below = lib_dir.join(provider);
        let prefix = Prefix::new(&below.join(root), lib_dir).filter(|prefix| prefix.provider() == provider);
        prefix.ok_or_else(|| InstallRootError { provider: provider.to_owned(), root: root.clone(), below })
    }
}

/// The versions and the policy that a request accepts from a provider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules<'a> {
    /// The versions.
    pub versions: VersionRange<'a>,
    /// The policy.
    pub policy: Policy,
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

    /// Replaces the versions and the policy in the overrides for each provider with those that `rules` returns. A value
    /// that the overrides do not state remains absent.
    pub fn replace_rules<'a>(&mut self, rules: impl Fn(&ProviderName) -> Rules<'a>) {
        for (provider, overrides) in &mut self.providers {
            *overrides = overrides.with_rules(rules(provider), provider);
        }
    }

    /// Makes the overrides at least as strict as the rules for all providers: `stated` replaces their policy; `default`
    /// and `versions` tighten them.
    pub fn tighten(&mut self, versions: VersionRange<'_>, default: Policy, stated: Policy) {
        for (provider, overrides) in &mut self.providers {
            let own = VersionRange {
                min: overrides.min_version.as_deref().unwrap_or_default(),
                max: overrides.max_version.as_deref().unwrap_or_default(),
            };
            let policy = stated.or(overrides.policy.and(default));
            *overrides = overrides.with_rules(Rules { versions: own.and(versions), policy }, provider);
        }
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
        let version = |key: &'static str| {
            let version = text(key)?;
            if version.as_deref().is_none_or(Version::looks_like_version) {
                return Ok(version);
            }
            Err(OverrideError::WrongValue(provider.clone(), key, "a version such as \"1.2\""))
        };
        let policy = json.as_object().map(Policy::parse).transpose();
        Ok(Self {
            packages,
            install_root: text("install_root")?,
            abspath: text("abspath")?,
            version: text("version")?,
            version_args,
            min_version: version("min_version")?,
            max_version: version("max_version")?,
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

    /// Returns the packages and the options that a provider installs for a binary. The name of the package is by default that
    /// of the binary.
    pub(crate) fn packages_of(&self, name: &BinaryName) -> Vec<String> {
        let is_named = self.packages.iter().any(|package| !is_option(package));
        let own = (!is_named).then(|| name.link_name().to_owned());
        own.into_iter().chain(self.packages.iter().cloned()).collect()
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

    /// Checks the keys against those that the provider understands besides rigup's own, or accepts all if `known` is
    /// `None`. If a key were dropped, the provider might install something else.
    pub fn check_keys(&self, provider: &str, known: Option<&[String]>) -> Result<(), UnknownKeyError> {
        let Some(known) = known else { return Ok(()) };
        let keys = self.json.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let is_known = |key: &String| {
            [&PACKAGES_KEYS[..], &RULE_KEYS, &COMMON_KEYS].concat().contains(&key.as_str())
                || known.contains(key)
        };
        let mut unknown = keys.map(|(key, _)| key).filter(|key| !is_known(key));
        unknown
            .next()
            .map_or(Ok(()), |key| Err(UnknownKeyError { provider: provider.to_owned(), key: key.clone() }))
    }

    /// Returns the overrides without the rules, in one form for all equivalent spellings; null if there are none.
    pub fn without_rules(&self) -> Value {
        let mut keys = self.json.as_object().cloned().unwrap_or_default();
        let replaced = [&RULE_KEYS[..], &PACKAGES_KEYS, &["version_args"]].concat();
        keys.retain(|key, value| !value.is_null() && *value != "" && !replaced.contains(&key.as_str()));
        let lists = [(PACKAGES_KEYS[0], &self.packages), ("version_args", &self.version_args)];
        let stated = lists.into_iter().filter(|(_, values)| !values.is_empty());
        keys.extend(stated.map(|(key, values)| (key.to_owned(), values.clone().into())));
        if keys.is_empty() { Value::Null } else { keys.into() }
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

    fn with_rules(&self, rules: Rules<'_>, provider: &ProviderName) -> Self {
        let mut json = self.json.clone();
        let values = [
            rules.versions.min.into(),
            rules.versions.max.into(),
            rules.policy.min_release_age.into(),
            rules.policy.postinstall_scripts.into(),
        ];
        for (key, rule) in RULE_KEYS.into_iter().zip(values) {
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
pub(crate) fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// Returns the packages and, after them, the options.
fn packages(provider: &ProviderName, json: &Value) -> Result<Vec<String>, OverrideError> {
    let values = match json {
        Value::Object(keys) => PACKAGES_KEYS.map(|key| keys.get(key).unwrap_or(&Value::Null)),
        packages => [packages, &Value::Null],
    };
    let list = |value: &Value| -> Result<Vec<String>, OverrideError> {
        let mut texts = texts(value).ok_or_else(|| OverrideError::NotPackages(provider.clone()))?;
        texts.retain(|text| !text.trim().is_empty());
        Ok(texts)
    };
    let (mut packages, arguments) = (list(values[0])?, list(values[1])?);
    if let Some(option) = packages.iter().find(|package| is_option(package)) {
        return Err(OverrideError::Option(provider.clone(), option.clone()));
    }
    for argument in arguments {
        // A package may be in both lists; an option may occur twice.
        if is_option(&argument) || !packages.contains(&argument) {
            packages.push(argument);
        }
    }
    if let Some(package) = packages.iter().find(|text| text.contains(|c: char| c.is_control() || c == '\\')) {
        return Err(OverrideError::Control(provider.clone(), package.clone()));
    }
    Ok(packages)
}

#[cfg(test)]
mod tests;
