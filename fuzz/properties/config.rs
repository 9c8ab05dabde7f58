//! For any `config.json` that is accepted, each setting resolves to a value that its schema allows and that an
//! environment variable can hold.

use std::path::Path;

use rigup::internal::schema::{self, Property};
use rigup::internal::{Origin, SettingResolver, Sources, requirement};
use rigup::settings::{Environment, SettingsFile};
use serde_json::{Map, Value, json};

/// Values of an environment variable.
const TEXTS: [&str; 7] = ["", "1", "-0.5", "Yes", "[\"a\"]", "{}", "x y"];

pub(crate) fn check(input: &[u8]) {
    let Ok(schema) = schema::parse(&String::from_utf8_lossy(input)) else { return };
    let names = || schema.properties.iter().flat_map(Property::names);
    assert!(schema.required_plugins.iter().all(|name| !name.is_empty() && name.trim() == name));
    for (index, text) in TEXTS.iter().enumerate() {
        let environment: Environment = names().skip(index % 2).step_by(2).map(|name| (name, *text)).collect();
        let values: Map<String, Value> = names().map(|name| (name.to_owned(), json!([text]))).collect();
        let files = [SettingsFile { path: "/rigup.toml".into(), values }];
        let resolver =
            SettingResolver::new(Sources { environment: &environment, files: &files }, &schema.properties);
        for property in &schema.properties {
            check_property(&resolver, property, text);
        }
        for entry in &schema.required_binaries {
            let fill = |name: &str| resolver.fill(name);
            let _ = requirement::parse_entry(None, entry, Some(Path::new("/home/me")), fill);
        }
    }
}

fn check_property(resolver: &SettingResolver<'_>, property: &Property, text: &str) {
    let setting = resolver.resolve(property);
    assert_eq!(setting.name, property.name);
    assert!(setting.is_secret || !property.is_secret, "{setting:?}");
    match &setting.origin {
        Origin::Default => assert_eq!(setting.value, property.default),
        Origin::Environment(name) => {
            assert!(property.names().any(|known| known == name) && !text.is_empty(), "{setting:?}");
        }
        Origin::File(_, name) => assert!(property.names().any(|known| known == name), "{setting:?}"),
        Origin::Fallback(name) => assert_ne!(name, &property.name),
        Origin::Machine => panic!("no machine record was given: {setting:?}"),
    }
    if setting.is_secret && text.len() > 2 {
        assert!(
            setting.warnings().all(|warning| !warning.contains(&format!("{text:?}"))),
            "{:?}",
            setting.problems
        );
    }
    if let Some(variable) = setting.variable() {
        let is_variable = !variable.name.is_empty() && !variable.name.contains(['=', '\0']);
        assert!(is_variable && !variable.value.as_encoded_bytes().contains(&0), "{variable:?}");
    }
}
