//! What a requirement says to single providers, in every spelling that is accepted.
//!
//! `{"pip": {"packages": ["yt-dlp[default]"]}}`, where one text is a list of one, and a bare list or text under the
//! provider is its packages. `install_args` means the same, and may have options of the package manager among them.

use serde_json::{Map, Value};

/// An override that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// Neither a text nor a list of texts.
    #[error("overrides.{0}: packages are one text or a list of texts")]
    NotPackages(String),
    /// It would be read as several packages, or as an option.
    #[error("overrides.{0}: the package {1:?} has a control character")]
    Control(String, String),
    /// It would reach the package manager as an option.
    #[error(
        "overrides.{0}: the package `{1}` begins with `-`, which its package manager would take for an option; \
         options stand in \"install_args\""
    )]
    Option(String, String),
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
    if let Some(package) = packages.iter().find(|it| it.chars().any(char::is_control)) {
        return Err(OverrideError::Control(provider.to_owned(), package.clone()));
    }
    match packages.iter().find(|it| it.starts_with('-') && !may_be_options) {
        Some(option) => Err(OverrideError::Option(provider.to_owned(), option.clone())),
        None => Ok(Some(packages).filter(|it| !it.is_empty())),
    }
}

/// The text under `overrides.<provider>.<key>`.
pub fn text<'a>(overrides: &'a Map<String, Value>, provider: &str, key: &str) -> Option<&'a str> {
    overrides.get(provider)?.get(key)?.as_str().filter(|it| !it.is_empty())
}

/// Two plugins require one binary: the packages of both, and of everything else what the first one says.
pub fn merge(first: &Map<String, Value>, second: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = first.clone();
    for (provider, theirs) in second {
        let Some(ours) = first.get(provider) else {
            merged.insert(provider.clone(), theirs.clone());
            continue;
        };
        let (Ok(our_packages), Ok(their_packages)) = (packages(first, provider), packages(second, provider))
        else {
            continue;
        };
        if ours == theirs || their_packages.is_none() || our_packages == their_packages {
            continue;
        }
        let mut all = our_packages.unwrap_or_default();
        for package in their_packages.unwrap_or_default() {
            if !all.contains(&package) {
                all.push(package);
            }
        }
        let mut keys = ours.as_object().cloned().unwrap_or_default();
        keys.remove("install_args");
        keys.remove("packages");
        let has_options = all.iter().any(|it| it.starts_with('-'));
        keys.insert(if has_options { "install_args" } else { "packages" }.to_owned(), Value::from(all));
        merged.insert(provider.clone(), Value::Object(keys));
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_may_stand_among_arguments_and_not_among_packages() {
        let listed = |value: Value| packages(&map(&json!({ "pip": value })), "pip");
        let arguments = vec!["--no-deps".to_owned(), "x".to_owned()];
        assert_eq!(listed(json!({"install_args": ["--no-deps", "x"]})), Ok(Some(arguments)));
        for strict in [json!({"packages": ["--no-deps"]}), json!(["--no-deps"]), json!("--no-deps")] {
            assert!(matches!(listed(strict), Err(OverrideError::Option(..))));
        }
        let first = map(&json!({"pip": {"install_args": ["--no-deps", "x"]}}));
        let merged = merge(&first, &map(&json!({"pip": ["y"]})));
        assert_eq!(merged, map(&json!({"pip": {"install_args": ["--no-deps", "x", "y"]}})));
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
        let hidden = packages(&map(&json!({"apt": ["jq\n--allow-downgrades"]})), "apt");
        assert!(matches!(hidden, Err(OverrideError::Control(..))), "packages are handed on one per line");
    }

    #[test]
    fn two_requirements_of_one_binary_get_the_packages_of_both() {
        let first = map(&json!({"pip": {"install_args": ["a"], "install_root": "shared"}, "apt": ["z"]}));
        let second = map(&json!({"pip": ["b", "a"], "brew": ["c"], "apt": "z"}));
        let expected = json!({
            "pip": {"install_root": "shared", "packages": ["a", "b"]}, "apt": ["z"], "brew": ["c"],
        });
        assert_eq!(Value::Object(merge(&first, &second)), expected);
    }
}
