//! What a requirement says to single providers, in every spelling that is accepted.
//!
//! `{"pip": {"packages": ["yt-dlp[default]"]}}`, where one text is a list of one, and a bare list or text under the
//! provider is its packages. `install_args` means the same, and may have a few options of the package manager among them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY, Policy, PolicyError};
use crate::model::version::{self, Version};

/// An override that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// Neither a text nor a list of texts.
    #[error("overrides.{0}: packages are one text or a list of texts")]
    NotPackages(String),
    /// It would be read as several packages, or as an option: many a shell's `echo` makes a line break of `\n`.
    #[error("overrides.{0}: the package {1:?} has a control character or a backslash")]
    Control(String, String),
    /// It would reach the package manager as an option.
    #[error(
        "overrides.{0}: the package `{1}` begins with `-`, which its package manager would take for an option"
    )]
    Option(String, String),
    /// It would do more than to choose among what the package manager has.
    #[error(
        "overrides.{provider}: `{option}` is no option that a requirement may have; {}",
        known_options(provider)
    )]
    Refused {
        /// The provider.
        provider: String,
        /// What it begins with.
        option: String,
    },
    /// A key that has to be a text on one line.
    #[error("overrides.{0}.{1} has to be a text without control characters")]
    NotText(String, &'static str),
    /// A NUL, which no argument and no variable can have.
    #[error("overrides.{0} has a NUL in it")]
    Nul(String),
    /// A lowest version that is none.
    #[error("overrides.{0}.min_version has to be a version such as \"1.2\"")]
    NoVersion(String),
    /// A rule that is none.
    #[error("overrides.{0}: {1}")]
    Policy(String, PolicyError),
}

/// What names packages alone, and what may have options among them.
const PACKAGES_KEYS: [&str; 2] = ["packages", "install_args"];

/// The options that a requirement may have in its `install_args`, by built-in provider; one that ends in `=` with any
/// value. They choose what is installed of a package. Options of package managers can do much else: run commands, fetch from
/// somewhere else, write to another place. What a provider of somebody else's takes for an option is for its author to say.
const OPTIONS: [(&str, &[&str]); 12] = [
    ("apt", &[]),
    ("bash", &[]),
    ("brew", &["--HEAD", "--build-from-source", "--force-bottle"]),
    (
        "cargo",
        &[
            "--all-features",
            "--bin=",
            "--bins",
            "--features=",
            "--no-default-features",
            "--version",
            "--version=",
        ],
    ),
    ("env", &[]),
    ("gem", &["--prerelease"]),
    ("go", &["-tags="]),
    ("node", &[]),
    ("npm", &["--legacy-peer-deps", "--min-release-age=", "--omit="]),
    ("pip", &["--no-deps", "--only-binary=", "--pre"]),
    ("pnpm", &["--no-optional"]),
    ("uv", &["--exclude-newer-package=", "--no-deps", "--only-binary=", "--prerelease="]),
];

/// Those of a provider; none where any option will do.
fn options(provider: &str) -> Option<&'static [&'static str]> {
    OPTIONS.iter().find(|(known, _)| *known == provider).map(|(_, options)| *options)
}

fn known_options(provider: &str) -> String {
    match options(provider) {
        None | Some([]) => "it may have none".to_owned(),
        Some(some) => format!("it may have {}", some.join(", ")),
    }
}

fn is_allowed(provider: &str, option: &str) -> bool {
    let is_one_of = |options: &[&str]| {
        options.iter().any(|it| *it == option || it.ends_with('=') && option.starts_with(it))
    };
    options(provider).is_none_or(is_one_of)
}

/// Makes sure that every provider can use what is said to it.
pub fn check(overrides: &Map<String, Value>) -> Result<(), OverrideError> {
    for (provider, value) in overrides {
        packages(overrides, provider)?;
        if has_nul(value) {
            return Err(OverrideError::Nul(provider.clone()));
        }
        let Some(keys) = value.as_object() else { continue };
        for key in ["abspath", "install_root", "min_version", "version"] {
            match keys.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) if !text.chars().any(char::is_control) => {}
                Some(_) => return Err(OverrideError::NotText(provider.clone(), key)),
            }
        }
        if text(overrides, provider, "min_version").is_some_and(|it| !Version::is_one(it)) {
            return Err(OverrideError::NoVersion(provider.clone()));
        }
        Policy::of(keys).map_err(|error| OverrideError::Policy(provider.clone(), error))?;
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(keys) => keys.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What may be brought in by this provider, where the overrides say something of it.
pub fn policy(overrides: &Map<String, Value>, provider: &str) -> Policy {
    let keys = overrides.get(provider).and_then(Value::as_object);
    keys.and_then(|keys| Policy::of(keys).ok()).unwrap_or_default()
}

/// Makes what is said to single providers at least as strict as what is asked of all of them: `asked` replaces it,
/// `habit` and `min_version` tighten it.
pub fn tighten(overrides: &mut Map<String, Value>, min_version: &str, habit: Policy, asked: Policy) {
    for keys in overrides.values_mut() {
        let own = keys.get("min_version").and_then(Value::as_str).unwrap_or_default();
        let min_version = version::stricter(own, min_version).to_owned();
        let own = keys.as_object().and_then(|it| Policy::of(it).ok()).unwrap_or_default();
        set_rules(keys, &min_version, asked.or(own.and(habit)));
    }
}

/// Replaces the rules that a provider has of its own; what nothing was said of stays so.
pub fn set_rules(keys: &mut Value, min_version: &str, policy: Policy) {
    let Some(keys) = keys.as_object_mut() else { return };
    let rules = [
        ("min_version", min_version.into()),
        (MIN_RELEASE_AGE_KEY, policy.min_release_age.into()),
        (POSTINSTALL_SCRIPTS_KEY, policy.postinstall_scripts.into()),
    ];
    for (key, rule) in rules {
        if let Some(own) = keys.get_mut(key).filter(|it| !it.is_null() && *it != "") {
            *own = rule;
        }
    }
}

/// The packages that stand for a binary at a provider, with options among them where they are `install_args`; none where
/// the overrides say nothing of it.
pub fn packages(
    overrides: &Map<String, Value>,
    provider: &str,
) -> Result<Option<Vec<String>>, OverrideError> {
    let Some(value) = overrides.get(provider) else {
        return Ok(None);
    };
    let (listed, may_be_options) = match value {
        Value::Object(keys) => match (keys.get("packages"), keys.get("install_args")) {
            (Some(packages), _) => (packages, false),
            (None, Some(arguments)) => (arguments, true),
            (None, None) => return Ok(None),
        },
        other => (other, false),
    };
    let packages = match listed {
        Value::Null => return Ok(None),
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many
            .iter()
            .map(|it| it.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| OverrideError::NotPackages(provider.to_owned()))?,
        _ => return Err(OverrideError::NotPackages(provider.to_owned())),
    };
    let packages: Vec<String> = packages.into_iter().filter(|it| !it.trim().is_empty()).collect();
    for package in &packages {
        let (provider, text) = (provider.to_owned(), package.clone());
        if package.contains(|c: char| c.is_control() || c == '\\') {
            return Err(OverrideError::Control(provider, text));
        } else if package.trim_start().starts_with('-') && !may_be_options {
            return Err(OverrideError::Option(provider, text));
        } else if package.trim_start().starts_with('-') && !is_allowed(&provider, package) {
            return Err(OverrideError::Refused { provider, option: text });
        }
    }
    Ok(Some(packages).filter(|it| !it.is_empty()))
}

/// The text under `overrides.<provider>.<key>`.
pub fn text<'a>(overrides: &'a Map<String, Value>, provider: &str, key: &str) -> Option<&'a str> {
    overrides.get(provider)?.get(key)?.as_str().filter(|it| !it.is_empty())
}

/// The file that is exactly meant at a provider: `overrides.<provider>.abspath`.
pub fn abspath(overrides: &Map<String, Value>, provider: &str, home: Option<&Path>) -> Option<PathBuf> {
    let path = Path::new(text(overrides, provider, "abspath")?);
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(path.to_owned()),
    }
}

/// Two plugins require one binary: the packages of both, and of everything else what the first one says that says
/// something of it.
pub fn merge(first: &Map<String, Value>, second: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = first.clone();
    for (provider, theirs) in second {
        match first.get(provider) {
            None => drop(merged.insert(provider.clone(), theirs.clone())),
            Some(ours) if ours == theirs => {}
            Some(_) => drop(merged.insert(provider.clone(), merge_for(provider, first, second).into())),
        }
    }
    merged
}

fn merge_for(provider: &str, first: &Map<String, Value>, second: &Map<String, Value>) -> Map<String, Value> {
    let mut keys = match first.get(provider) {
        Some(Value::Object(keys)) => keys.clone(),
        Some(packages) => Map::from_iter([("packages".to_owned(), packages.clone())]),
        None => Map::new(),
    };
    for (key, theirs) in second.get(provider).and_then(Value::as_object).into_iter().flatten() {
        let is_open = keys.get(key).is_none_or(Value::is_null);
        if is_open && !PACKAGES_KEYS.contains(&key.as_str()) {
            keys.insert(key.clone(), theirs.clone());
        }
    }
    let (ours, theirs) = (packages(first, provider), packages(second, provider));
    if let (Ok(ours), Ok(Some(theirs))) = (ours, theirs)
        && ours.as_ref() != Some(&theirs)
    {
        let mut all = ours.unwrap_or_default();
        all.extend(theirs);
        let mut seen = HashSet::new();
        all.retain(|it| seen.insert(it.clone()));
        for key in PACKAGES_KEYS {
            keys.remove(key);
        }
        let has_options = all.iter().any(|it| it.starts_with('-'));
        keys.insert(PACKAGES_KEYS[usize::from(has_options)].to_owned(), all.into());
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_few_options_may_stand_among_arguments_and_none_among_packages() {
        let listed = |value: Value| packages(&map(&json!({ "pip": value })), "pip");
        let arguments = vec!["--no-deps".to_owned(), "x".to_owned()];
        assert_eq!(listed(json!({"install_args": ["--no-deps", "x"]})), Ok(Some(arguments)));
        for strict in [json!({"packages": ["--no-deps"]}), json!(["--no-deps"]), json!("--no-deps")] {
            assert!(matches!(listed(strict), Err(OverrideError::Option(..))));
        }
        assert!(packages(&map(&json!({"mine": {"install_args": ["--x"]}})), "mine").is_ok());
        for (provider, option) in [("pip", "--index-url=x"), ("pip", " --no-deps"), ("apt", "-t=x")] {
            let refused =
                packages(&map(&json!({ provider: {"install_args": [option]} })), provider).unwrap_err();
            assert!(
                refused.to_string().contains("is no option that a requirement may have; it may have "),
                "{refused}"
            );
        }
        assert!(packages(&map(&json!({"go": {"install_args": ["-tags=a,b", "x.y/z"]}})), "go").is_ok());
        let first = map(&json!({"pip": {"install_args": ["--no-deps", "x"]}}));
        let merged = merge(&first, &map(&json!({"pip": ["y"]})));
        assert_eq!(merged, map(&json!({"pip": {"install_args": ["--no-deps", "x", "y"]}})));
    }

    #[test]
    fn docs_providers_lists_the_options_that_a_requirement_may_have() {
        let page = include_str!("../../docs/providers.md");
        for (provider, options) in OPTIONS {
            let row = page.lines().find(|line| line.starts_with(&format!("| {provider} (")));
            let row = row.unwrap_or_else(|| panic!("no row for {provider}"));
            for option in options {
                assert!(row.contains(&format!("`{}`", option.replace('=', "=..."))), "{provider}: {option}");
            }
        }
    }

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn every_spelling_of_packages_means_the_same() {
        for spelled in [
            json!({"packages": ["x"]}),
            json!({"install_args": ["x"]}),
            json!({"packages": "x"}),
            json!(["x"]),
            json!("x"),
        ] {
            let overrides = map(&json!({"pip": spelled}));
            assert_eq!(packages(&overrides, "pip"), Ok(Some(vec!["x".to_owned()])), "{overrides:?}");
        }
        assert_eq!(packages(&map(&json!({"pip": {"install_root": "x"}})), "pip"), Ok(None));
        assert_eq!(packages(&map(&json!({"pip": []})), "pip"), Ok(None));
        assert_eq!(packages(&map(&json!({})), "pip"), Ok(None));
    }

    #[test]
    fn what_is_no_list_of_packages_is_refused() {
        assert!(packages(&map(&json!({"pip": 5})), "pip").is_err());
        assert!(packages(&map(&json!({"pip": ["x", 5]})), "pip").is_err());
        let option = packages(&map(&json!({"apt": ["-oDPkg::Pre-Invoke=sh"]})), "apt");
        assert!(matches!(option, Err(OverrideError::Option(..))));
        for hidden in ["jq\n--allow-downgrades", "jq\\n--allow-downgrades"] {
            let hidden = packages(&map(&json!({"apt": [hidden]})), "apt");
            assert!(matches!(hidden, Err(OverrideError::Control(..))), "packages are handed on one per line");
        }
    }

    #[test]
    fn two_requirements_of_one_binary_get_the_packages_of_both() {
        let first = map(&json!({"pip": {"install_args": ["a"], "install_root": "shared"}, "apt": ["z"]}));
        let second = map(&json!({"pip": ["b", "a"], "brew": ["c"], "apt": "z"}));
        let expected = json!({
            "pip": {"install_root": "shared", "packages": ["a", "b"]}, "apt": {"packages": ["z"]}, "brew": ["c"],
        });
        assert_eq!(Value::Object(merge(&first, &second)), expected);
    }

    #[test]
    fn what_the_command_line_asks_for_replaces_rules_for_single_providers_and_habit_tightens_them() {
        let mut overrides = map(&json!({
            "pip": {"min_version": "1.9", "min_release_age": 3}, "npm": {"postinstall_scripts": true}, "apt": ["x"],
        }));
        let habit = Policy { min_release_age: Some(14.0), postinstall_scripts: Some(false) };
        let asked = Policy { min_release_age: None, postinstall_scripts: Some(true) };
        tighten(&mut overrides, "2", habit, asked);
        let expected = json!({
            "pip": {"min_version": "2", "min_release_age": 14.0}, "npm": {"postinstall_scripts": true}, "apt": ["x"],
        });
        assert_eq!(Value::Object(overrides), expected);
    }

    #[test]
    fn keys_that_a_provider_could_not_use_are_refused() {
        for (bad, expected) in [
            (json!({"abspath": 7}), "overrides.pip.abspath has to be a text"),
            (json!({"install_root": "a\nb"}), "overrides.pip.install_root has to be a text without control"),
            (json!({"of": ["mine", {"x": "\0"}]}), "overrides.pip has a NUL in it"),
            (json!({"min_version": "new"}), "overrides.pip.min_version has to be a version"),
            (json!({"min_release_age": "new"}), "overrides.pip: \"min_release_age\" has to be a number"),
        ] {
            let error = check(&map(&json!({ "pip": bad }))).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!(check(&map(&json!({"pip": {"abspath": null, "version": "1", "custom": 7}}))), Ok(()));
    }
}
