use serde_json::json;

use super::*;

fn property(name: &str, schema: Value) -> Property {
    Property::new(name.to_owned(), schema)
}

/// Resolves a property, and returns its value, its origin and the warnings.
fn resolve(
    environment: &[(&str, &str)],
    file: &Value,
    all: &[Property],
    name: &str,
) -> (Value, Origin, Vec<String>) {
    let environment: Environment = environment.iter().copied().collect();
    let files = [SettingsFile { path: "/p/rigup.toml".into(), values: file.as_object().unwrap().clone() }];
    let sources = Sources { environment: &environment, files: &files };
    let resolver = SettingResolver::new(sources, all);
    let property = all.iter().find(|property| property.name == name).unwrap();
    let setting = resolver.resolve(property);
    let warnings = setting.warnings().collect();
    (setting.value, setting.origin, warnings)
}

#[test]
fn an_alias_in_the_environment_overrides_the_name_in_a_file() {
    let all = [property("M", json!({"type": "integer", "default": 1, "x-aliases": ["N"]}))];
    let (value, origin, _) = resolve(&[("N", "3")], &json!({"M": 2}), &all, "M");
    assert_eq!((value, origin), (json!(3), Origin::Environment("N".to_owned())));
}

#[test]
fn a_name_with_a_dot_is_a_key_in_a_table() {
    let all = [property("keep.days", json!({"type": "integer", "default": 1}))];
    for file in [json!({"keep": {"days": 2}}), json!({"keep.days": 2})] {
        assert_eq!(resolve(&[], &file, &all, "keep.days").0, 2);
    }
    assert_eq!(resolve(&[], &json!({"keep": 5, "days": 2}), &all, "keep.days").0, 1);
}

#[test]
fn the_environment_overrides_the_files_and_the_default() {
    let all = [property("M", json!({"type": "integer", "default": 1}))];
    let value = |environment: &[(&str, &str)], file| resolve(environment, &file, &all, "M");
    assert_eq!(value(&[("M", "3")], json!({"M": 2})), (json!(3), Origin::Environment("M".into()), vec![]));
    let (found, origin, _) = value(&[("M", "")], json!({"M": 2}));
    assert_eq!((found, origin.to_string().as_str()), (json!(2), "M in /p/rigup.toml"));
    assert_eq!(value(&[], json!({})), (json!(1), Origin::Default, vec![]));
}

#[test]
fn an_alias_counts_if_the_name_itself_is_not_set() {
    let all = [property(
        "W_ENABLED",
        json!({"type": "boolean", "default": true, "x-aliases": ["SAVE_W", "USE_W"]}),
    )];
    assert_eq!(resolve(&[("USE_W", "No")], &json!({}), &all, "W_ENABLED").0, json!(false));
    let both = [("USE_W", "0"), ("W_ENABLED", "1")];
    assert_eq!(resolve(&both, &json!({}), &all, "W_ENABLED").0, json!(true));
}

#[test]
fn fallbacks_are_followed_to_the_last_one_but_not_in_a_circle() {
    let all = [
        property("A", json!({"type": "integer", "default": 1, "x-fallback": "B"})),
        property("B", json!({"type": "integer", "default": 2, "x-fallback": "C", "x-aliases": ["OLD_B"]})),
        property("C", json!({"type": "integer", "default": 3})),
        property("X", json!({"type": "integer", "default": 4, "x-fallback": "Y"})),
        property("Y", json!({"type": "integer", "default": 5, "x-fallback": "X"})),
        property("Z", json!({"type": "integer", "default": 6, "x-fallback": "NOWHERE"})),
    ];
    let value = |environment: &[(&str, &str)], name| resolve(environment, &json!({}), &all, name);
    assert_eq!(value(&[("OLD_B", "9"), ("C", "8")], "A"), (json!(9), Origin::Fallback("B".into()), vec![]));
    assert_eq!(value(&[("C", "8")], "A"), (json!(8), Origin::Fallback("C".into()), vec![]));
    assert_eq!(value(&[], "A"), (json!(1), Origin::Default, vec![]), "a default is not explicit");
    assert_eq!(value(&[], "X"), (json!(4), Origin::Default, vec![]));
    assert_eq!(value(&[], "Z").1, Origin::Default);
    assert_eq!(value(&[("NOWHERE", "7")], "Z").0, json!(7));
}

#[test]
fn a_string_is_parsed_by_the_types_that_the_property_allows() {
    let all = [
        property("LIST", json!({"type": "array", "items": {"type": "string"}})),
        property("TEXT", json!({"type": "string"})),
        property("NUMBER", json!({"type": "number"})),
        property("EITHER", json!({"type": ["string", "null"]})),
    ];
    for (name, text, expected) in [
        ("LIST", "[\"a b\", \"c\"]", json!(["a b", "c"])),
        ("TEXT", "true", json!("true")),
        ("NUMBER", " 1.5 ", json!(1.5)),
        ("EITHER", "null", json!("null")),
    ] {
        assert_eq!(resolve(&[(name, text)], &json!({}), &all, name).0, expected, "{name}");
    }
}

#[test]
fn an_invalid_value_is_reported_and_the_next_source_counts() {
    let all = [
        property("T", json!({"type": "integer", "minimum": 5, "default": 60})),
        property("KEY", json!({"type": "string", "maxLength": 3, "x-sensitive": true, "default": ""})),
        property("N", json!({"type": "integer", "default": 3, "x-fallback": "KEY"})),
    ];
    let (value, origin, warnings) = resolve(&[("T", "soon")], &json!({"T": 30}), &all, "T");
    assert_eq!((value, warnings.len()), (json!(30), 1));
    assert!(matches!(origin, Origin::File(..)));
    assert!(warnings[0].starts_with("cannot use the variable T: "), "{}", warnings[0]);
    assert!(warnings[0].ends_with("; 30 applies"), "{}", warnings[0]);
    let (value, _, warnings) = resolve(&[("T", "2")], &json!({}), &all, "T");
    assert_eq!(value, json!(60));
    assert_eq!(warnings, ["cannot use the variable T: 2 is less than the minimum of 5; 60 applies"]);
    let scale = [property("S", json!({"type": "number", "exclusiveMinimum": 0, "default": 1}))];
    assert_eq!(resolve(&[("S", "0")], &json!({}), &scale, "S").0, json!(1));
    assert_eq!(resolve(&[("S", "0.5")], &json!({}), &scale, "S").0, json!(0.5));
    let (value, _, warnings) = resolve(&[], &json!({"KEY": "a\u{0}b"}), &all, "KEY");
    assert_eq!((value, warnings.len()), (json!(""), 1), "no environment variable can hold it");
    let (value, origin, warnings) = resolve(&[("KEY", "x")], &json!({}), &all, "N");
    assert_eq!((value, origin, warnings.len()), (json!(3), Origin::Default, 1));
    assert!(warnings[0].starts_with("cannot use the variable KEY as N: "), "{}", warnings[0]);
    let (_, _, warnings) = resolve(&[("KEY", "canary")], &json!({"KEY": "dog"}), &all, "KEY");
    let expected = "cannot use the variable KEY: it does not match its schema; KEY in /p/rigup.toml applies";
    assert_eq!(warnings, [expected]);
    let (_, _, warnings) = resolve(&[("KEY", "canary")], &json!({}), &all, "KEY");
    assert!(warnings[0].ends_with("; the default applies"), "{}", warnings[0]);
    let none = [property("V", json!({"type": "integer"}))];
    let (_, _, warnings) = resolve(&[("V", "many")], &json!({}), &none, "V");
    assert!(warnings[0].ends_with("; no value applies"), "{}", warnings[0]);
}

#[test]
fn a_setting_is_secret_if_it_or_a_fallback_is_declared_or_named_so() {
    let all = [
        property("N", json!({"type": "integer", "x-fallback": "M"})),
        property("M", json!({"type": "string", "x-fallback": "DSN"})),
        property("DSN", json!({"type": "string", "x-sensitive": true})),
        property("LIMIT", json!({"type": "integer", "x-aliases": ["API_TOKEN"]})),
        property("OTHER", json!({"type": "integer", "x-fallback": "DB_PASSWORD"})),
        property("PLAIN", json!({"type": "integer"})),
    ];
    let again = [property("DSN", json!({"type": "integer"}))];
    let names = ["N", "DSN", "LIMIT", "API_TOKEN", "OTHER", "DB_PASSWORD", "PLAIN"];
    let environment: Environment = names.map(|name| (name, "canary")).into_iter().collect();
    let sources = Sources { environment: &environment, files: &[] };
    let resolver = SettingResolver::new(sources, all.iter().chain(&again));
    for property in all.iter().chain(&again) {
        let setting = resolver.resolve(property);
        let warnings: String = setting.warnings().collect();
        let is_plain = ["LIMIT", "PLAIN"].contains(&property.name.as_str());
        assert_eq!(setting.is_secret, !is_plain, "{}", property.name);
        assert_eq!(warnings.contains("canary"), property.name == "PLAIN", "{warnings}");
    }
}
