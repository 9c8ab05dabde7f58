//! The keys in a `config.json` that describe a provider.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::model::{PolicySupport, Version};
use crate::plugin::config::keys::Keys;

/// The placeholder for the version in [`ProviderConfig::version_format`].
pub(crate) const VERSION_PLACEHOLDER: &str = "{}";

/// How the package managers of systems write the version of a package.
pub(crate) const SYSTEM_VERSION_FORMAT: &str = "={}";

/// Returns whether a version can be written in a format. Only the packages of a system and those of Python have epochs:
/// `1:2.39.5-0` and `1!2.0`.
pub(crate) fn is_version(version: &str, format: &str) -> bool {
    // No character that another format could read as an operator.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+~_-".contains(&byte);
    let is_plain_version =
        |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(is_plain);
    let is_epoch = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match version.split_once([':', '!']) {
        Some((epoch, rest)) => {
            let is_own = if version.contains('!') {
                format.starts_with("==")
            } else {
                format == SYSTEM_VERSION_FORMAT
            };
            is_own && is_epoch(epoch) && is_plain_version(rest)
        }
        None => is_plain_version(version),
    }
}

/// The keys of a `config.json` that only a provider has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderConfig {
    /// The options that a requirement may use in `install_args`; one that ends with `=` takes any value. `None` if the
    /// file does not state them, so that the hook itself decides; `rigup hook packages` then allows none.
    pub options: Option<Vec<String>>,
    /// The keys that the provider reads from its overrides, besides those that rigup handles. `None` if the file does
    /// not state them, so that any key is passed on.
    pub override_keys: Option<Vec<String>>,
    /// The text after the name of a package with which the package manager selects a version: `=={}`, `@{}`. `None` if
    /// it cannot.
    pub version_format: Option<String>,
    /// The text after the name of a package that asks for its newest release up to a version: `<={}`. `None` if the
    /// package manager cannot.
    pub max_version_format: Option<String>,
    /// The text after the name of a package that asks for its newest release that begins with a version: `=={}.*`. `None` if
    /// that is [`Self::version_format`] with the version as it is written.
    pub partial_version_format: Option<String>,
    /// Whether the provider cannot install a specific version, however it is asked for.
    pub has_no_exact_versions: bool,
    /// The commands with which users change what the package manager installed outside LIB_DIR. `None` if rigup itself
    /// upgrades and uninstalls what the provider installs.
    pub commands: Option<PackageCommands>,
    /// The names of the packages that the provider can have. `None` if any name may be one.
    pub package_names: Option<PackageNames>,
    /// How many numbers a version needs so that the package manager does not read it as a range: 3 for npm, which takes
    /// `@1.2` for the newest 1.2.x. Zeros are added to a shorter version.
    pub version_numbers: Option<u8>,
    /// The variables that name a folder for the package manager's own files, each with the variable from which the default
    /// follows. The package manager gets another folder in place of one that it cannot use.
    pub caches: BTreeMap<String, String>,
    /// The programs that the provider needs on PATH, each with how to install it.
    pub needs: BTreeMap<String, String>,
    /// The shell command with which `rigup doctor` finds what else the provider lacks, and which prints a line for each:
    /// the problem, `;` and what to do.
    pub check: Option<String>,
    /// Whether several hooks of the provider may run at once, because they lock what they change.
    pub concurrent: bool,
    /// The lock that rigup takes before it starts a hook of the provider. `None` if the hook takes one itself.
    pub lock: Option<HookLock>,
    /// Whether `hook begin` creates the folder in which the hook builds the prefix.
    pub builds_part: bool,
    /// The package manager whose settings `hook begin` reads for the hook. `None` if the hook reads them itself.
    pub settings: Option<SettingsReader>,
    /// The parts of the policy that the provider enforces.
    pub enforces: PolicySupport,
    /// The metadata that states the version of the package that owns a program. `None` if the program is probed.
    pub metadata: Option<PackageMetadata>,
    /// Whether someone reviews what the provider installs, as in a distribution. `None` if the file does not state it.
    pub curated: Option<bool>,
}

/// The lock that a hook holds while it runs, in LIB_DIR.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum HookLock {
    /// The lock of the prefix that the hook installs into.
    Prefix,
    /// The lock with this name.
    Named(String),
}

impl From<String> for HookLock {
    fn from(text: String) -> Self {
        if text == "prefix" { Self::Prefix } else { Self::Named(text) }
    }
}

/// The names of the packages that a provider can have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageNames {
    /// The regular expression that a whole name matches.
    pub pattern: String,
    /// What to say about another name, after the name: `is not a module path; ...`.
    pub otherwise: String,
}

impl PackageNames {
    /// Returns why the provider cannot have one of these packages, or `None` if it may have all of them.
    pub(crate) fn refusal<'p>(&self, mut packages: impl Iterator<Item = &'p str>) -> Option<String> {
        let pattern = whole(&self.pattern).ok()?;
        let other = packages.find(|package| !pattern.is_match(package))?;
        Some(format!("{other} {}", self.otherwise))
    }
}

/// Compiles a regular expression that a whole text matches.
fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

/// A package manager whose settings rigup can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingsReader {
    /// pip
    Pip,
}

/// The metadata of a package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageMetadata {
    /// The `dist-info` folders of a venv.
    DistInfo,
    /// The `package.json` of a Node package.
    #[serde(rename = "package.json")]
    PackageJson,
    /// The `.crates.toml` of `cargo install`.
    #[serde(rename = ".crates.toml")]
    Crates,
    /// The specifications in a gem home.
    Gemspec,
    /// The module that Go writes into a program.
    Go,
    /// Homebrew's cellar.
    Cellar,
    /// The database of dpkg.
    Dpkg,
    /// The database of rpm.
    Rpm,
    /// The database of pacman.
    Pacman,
    /// The paths in the store of nix.
    Nix,
    /// The image that a program of the toolkit's `wrap_image` names.
    Image,
}

/// The commands of a package manager, to which the names of packages are appended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageCommands {
    /// The command that upgrades packages: `brew upgrade`.
    pub upgrade: String,
    /// The command that removes packages: `brew uninstall`.
    pub uninstall: String,
    /// Whether the commands need root.
    #[serde(default)]
    pub as_root: bool,
}

/// What the value of `enforces` must be.
const ENFORCES: &str = "an object with \"min_release_age\" and \"postinstall_scripts\", each true or false";

/// What the value of `package_names` must be.
const PACKAGE_NAMES: &str =
    "an object with \"pattern\", a regular expression, and \"otherwise\", what to say about other names";

/// A key whose value has the wrong type: the key, and what its value must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} must be {1}")]
pub struct KeyError(&'static str, &'static str);

impl ProviderConfig {
    /// Returns whether the provider can select a version, but only exactly.
    pub(crate) fn needs_exact_version(&self) -> bool {
        self.version_format.is_some() && self.max_version_format.is_none()
    }

    /// Returns whether a package with a version, such as Homebrew's `node@20`, is a package of its own, so that no other
    /// version can be requested of it.
    pub(crate) fn names_versions(&self) -> bool {
        self.version_format.is_none() && self.partial_version_format.is_some()
    }

    /// Returns whether the registry of the provider may write a version in another way. Three numbers are the same in every
    /// registry, but the packages of a system have epochs and revisions.
    pub(crate) fn may_write_otherwise(&self, version: &str) -> bool {
        self.version_format.as_deref() == Some(SYSTEM_VERSION_FORMAT) || !Version::has_three_numbers(version)
    }

    /// Returns whether a version can be requested from the provider, as far as its format tells.
    pub(crate) fn can_request(&self, version: &str) -> bool {
        let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
        self.version_format.as_deref().is_none_or(|format| is_version(version, format))
    }

    /// Checks the pattern of `package_names`, which takes longer than parsing all keys.
    pub(crate) fn check_package_names(&self) -> Result<(), KeyError> {
        let compiled = self.package_names.as_ref().map(|names| whole(&names.pattern)).transpose();
        compiled.map(drop).map_err(|_| KeyError("package_names", PACKAGE_NAMES))
    }

    /// Parses the keys of a provider in a `config.json`, but does not check the pattern of `package_names`.
    pub(super) fn parse(keys: &Keys) -> Result<Self, KeyError> {
        let enforces: Keys = stated(keys, "enforces", ENFORCES)?.unwrap_or_default();
        if enforces.names().any(|rule| ![MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY].contains(&rule)) {
            return Err(KeyError("enforces", ENFORCES));
        }
        let options = "a list of options such as \"--pre\" or \"--only-binary=\"";
        let version_format = "a string with {} for the version, such as \"=={}\"";
        let version_numbers = "a number such as 3";
        let boolean = "true or false";
        let lock = "\"prefix\" or the name of a lock, without a slash";
        let metadata =
            "dist-info, package.json, .crates.toml, gemspec, go, cellar, dpkg, rpm, pacman, nix or image";
        let config = Self {
            options: stated(keys, "options", options)?,
            override_keys: stated(keys, "override_keys", "a list of keys such as \"install_root\"")?,
            version_format: stated(keys, "version_format", version_format)?,
            max_version_format: stated(keys, "max_version_format", version_format)?,
            partial_version_format: stated(keys, "partial_version_format", version_format)?,
            has_no_exact_versions: stated(keys, "exact_versions", boolean)? == Some(false),
            commands: stated(
                keys,
                "package_commands",
                "an object with the strings \"upgrade\" and \"uninstall\"",
            )?,
            package_names: stated(keys, "package_names", PACKAGE_NAMES)?,
            version_numbers: stated(keys, "version_numbers", version_numbers)?,
            caches: stated(keys, "caches", "an object such as {\"GOPATH\": \"HOME\"}")?.unwrap_or_default(),
            needs: stated(keys, "needs", "an object such as {\"cargo\": \"install Rust\"}")?
                .unwrap_or_default(),
            check: stated(keys, "needs_check", "a shell command")?,
            concurrent: stated(keys, "concurrent", boolean)?.unwrap_or_default(),
            lock: stated(keys, "lock", lock)?,
            builds_part: stated(keys, "builds_part", boolean)?.unwrap_or_default(),
            settings: stated(keys, "settings", "\"pip\"")?,
            enforces: PolicySupport {
                min_release_age: stated(&enforces, MIN_RELEASE_AGE_KEY, boolean)?,
                postinstall_scripts: stated(&enforces, POSTINSTALL_SCRIPTS_KEY, boolean)?,
            },
            metadata: stated(keys, "metadata", metadata)?,
            curated: stated(keys, "curated", boolean)?,
        };
        // A name with a slash is that of the lock of a prefix.
        let is_lock =
            |name: &str| !name.trim().is_empty() && !name.contains(|c: char| c == '/' || c.is_control());
        if matches!(&config.lock, Some(HookLock::Named(name)) if !is_lock(name)) {
            return Err(KeyError("lock", lock));
        }
        if !config.options.iter().flatten().all(|option| is_option(option)) {
            return Err(KeyError("options", options));
        }
        for (key, format) in [
            ("version_format", &config.version_format),
            ("max_version_format", &config.max_version_format),
            ("partial_version_format", &config.partial_version_format),
        ] {
            if format.as_deref().is_some_and(|format| !is_version_format(format)) {
                return Err(KeyError(key, version_format));
            }
        }
        Ok(config)
    }
}

/// Returns the value of a key, or `None` if it is absent or null. `expected` describes its type.
pub(super) fn stated<T: DeserializeOwned>(
    keys: &Keys,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<T>, KeyError> {
    let value = keys.get(key).unwrap_or(&Value::Null);
    Option::deserialize(value).map_err(|_| KeyError(key, expected))
}

fn is_option(text: &str) -> bool {
    text.starts_with('-')
        && text.trim_matches(['-', '=']).contains(char::is_alphanumeric)
        && !text.contains(char::is_control)
}

fn is_version_format(format: &str) -> bool {
    !format.starts_with(VERSION_PLACEHOLDER)
        && format.matches(VERSION_PLACEHOLDER).count() == 1
        && !format.contains(|c: char| c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(keys: &Value) -> Result<ProviderConfig, String> {
        let parsed = ProviderConfig::parse(&Keys::deserialize(keys).unwrap());
        let checked = parsed.and_then(|config| config.check_package_names().map(|()| config));
        checked.map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_config_allows_no_options_and_enforces_nothing() {
        assert_eq!(parse(&json!({})), Ok(ProviderConfig::default()));
    }

    #[test]
    fn rejects_an_invalid_value_of_every_key() {
        let config = parse(&json!({
            "options": ["--pre", "--only-binary=", "-tags="], "version_format": "@v{}", "curated": false,
            "enforces": {"min_release_age": true},
        }))
        .unwrap();
        assert_eq!((config.options.unwrap().len(), config.version_format.as_deref()), (3, Some("@v{}")));
        assert_eq!((config.curated, config.enforces.min_release_age), (Some(false), Some(true)));
        for (bad, expected) in [
            (json!({"options": "--pre"}), "\"options\" must be a list"),
            (json!({"options": ["pre"]}), "\"options\" must be a list"),
            (json!({"options": ["--"]}), "\"options\" must be a list"),
            (json!({"version_format": "=="}), "\"version_format\" must be a string with {}"),
            (json!({"version_format": "{}"}), "\"version_format\" must be a string with {}"),
            (json!({"max_version_format": "<="}), "\"max_version_format\" must be a string with {}"),
            (json!({"partial_version_format": ".*"}), "\"partial_version_format\" must be a string with {}"),
            (json!({"version_numbers": "3"}), "\"version_numbers\" must be a number such as 3"),
            (json!({"package_names": "x"}), "\"package_names\" must be an object with"),
            (json!({"package_names": {"pattern": "(", "otherwise": "x"}}), "\"package_names\" must be"),
            (json!({"metadata": "apk"}), "\"metadata\" must be dist-info"),
            (json!({"override_keys": "install_root"}), "\"override_keys\" must be a list"),
            (json!({"caches": ["GOPATH"]}), "\"caches\" must be an object"),
            (json!({"exact_versions": 1}), "\"exact_versions\" must be true or false"),
            (
                json!({"package_commands": {"upgrade": "x upgrade"}}),
                "\"package_commands\" must be an object with",
            ),
            (json!({"needs": ["cargo"]}), "\"needs\" must be an object"),
            (json!({"needs_check": true}), "\"needs_check\" must be a shell command"),
            (json!({"concurrent": "yes"}), "\"concurrent\" must be true or false"),
            (json!({"curated": "no"}), "\"curated\" must be true or false"),
            (json!({"enforces": true}), "\"enforces\" must be an object"),
            (
                json!({"enforces": {"min_age": true}}),
                "\"enforces\" must be an object with \"min_release_age\" and",
            ),
            (json!({"lock": "a/b"}), "\"lock\" must be \"prefix\" or the name of a lock, without a slash"),
            (json!({"lock": " "}), "\"lock\" must be \"prefix\" or"),
            (json!({"enforces": {"min_release_age": 1}}), "\"min_release_age\" must be true or false"),
        ] {
            let error = parse(&bad).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
