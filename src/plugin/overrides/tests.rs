//! Tests the overrides of a requirement.

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
    let error = "overrides.pip: a requirement may not use the option `--only-binary=x`; pip allows --no-deps";
    assert_eq!(check(&["--no-deps"]), Err(error.to_owned()));
    assert!(check(&[]).unwrap_err().ends_with("`--no-deps`; pip allows none"));
    let blank = parse(&json!({"pip": {"install_args": [" --no-deps", "x"]}})).unwrap();
    assert!(blank.of("pip").check_options("pip", &["--no-deps".to_owned()]).is_err());
    let merged = overrides.merge(&parse(&json!({"pip": ["y"]})).unwrap());
    assert_eq!(
        merged.of("pip").get("install_args"),
        Some(&json!(["--no-deps", "--only-binary=x", "x", "y"]))
    );
}

#[test]
fn install_args_are_added_to_packages() {
    let overrides = |arguments: Value| packages_of(&json!({"packages": "x", "install_args": arguments}));
    assert_eq!(overrides(json!(["--no-deps", "x", "y"])).unwrap(), ["x", "--no-deps", "y"]);
    assert_eq!(overrides(json!("--no-deps")).unwrap(), ["x", "--no-deps"]);
    assert_eq!(overrides(json!(5)), Err(OverrideError::NotPackages(ProviderName::parse("pip").unwrap())));
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
fn equivalent_spellings_are_the_same_without_the_rules() {
    let without_rules = |value: &Value| parse(&json!({ "pip": value })).unwrap().of("pip").without_rules();
    let canonical = json!({"packages": ["x"]});
    for value in [
        json!("x"),
        json!(["x"]),
        json!({"packages": "x"}),
        json!({"install_args": ["x"], "abspath": null, "install_root": ""}),
        json!({"packages": ["x", " "], "min_version": "1", "version_args": []}),
    ] {
        assert_eq!(without_rules(&value), canonical, "{value}");
    }
    assert_eq!(without_rules(&json!({"version_args": "-V"})), json!({"version_args": ["-V"]}));
    for none in [json!(null), json!([]), json!({}), json!({"packages": ""})] {
        assert_eq!(without_rules(&none), Value::Null, "{none}");
    }
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
        "pip": {"min_version": "1.9", "max_version": "4", "min_release_age": 3},
        "npm": {"postinstall_scripts": true}, "apt": ["x"],
    }))
    .unwrap();
    let default = Policy { min_release_age: Some(14.0), postinstall_scripts: Some(false) };
    let stated = Policy { min_release_age: None, postinstall_scripts: Some(true) };
    overrides.tighten(VersionRange { min: "2", max: "3" }, default, stated);
    let expected = json!({
        "pip": {"min_version": "2", "max_version": "3", "min_release_age": 14.0},
        "npm": {"postinstall_scripts": true}, "apt": ["x"],
    });
    assert_eq!(json!(overrides), expected);
    assert_eq!(overrides.of("pip").min_version.as_deref(), Some("2"));
}

#[test]
fn a_key_that_the_provider_does_not_understand_is_an_error() {
    let overrides = parse(&json!({"apt": {"packages": ["x"], "min_version": "1", "apt_sources": ["deb x"]}}));
    let check = |known: Option<&[String]>| overrides.clone().unwrap().of("apt").check_keys("apt", known);
    let error = check(Some(&[])).unwrap_err().to_string();
    assert!(error.starts_with("apt does not understand overrides.apt.apt_sources"), "{error}");
    assert_eq!(check(Some(&["apt_sources".to_owned()])), Ok(()));
    assert_eq!(check(None), Ok(()), "the provider does not declare its keys");
}

#[test]
fn options_alone_are_for_the_package_with_the_name_of_the_binary() {
    let name = BinaryName::parse("black", None).unwrap();
    for (overrides, packages) in [
        (json!({"install_args": ["--pre"]}), &["black", "--pre"][..]),
        (json!({"install_args": ["--pre", "other"]}), &["--pre", "other"]),
        (json!({"packages": "other", "install_args": "--pre"}), &["other", "--pre"]),
        (json!({}), &["black"]),
    ] {
        let parsed = parse(&json!({"pip": overrides})).unwrap();
        assert_eq!(parsed.of("pip").packages_of(&name), packages, "{overrides}");
    }
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
