//! The settings that are rigup's own, and come from the same places as those of plugins.

use serde_json::Value;

use crate::plugin::schema;
use crate::plugin::setting::{Origin, Resolver, Setting, Sources};
use crate::record::safety::Safety;

/// What they come to.
#[derive(Debug, Clone)]
pub struct Own {
    /// Every one of them.
    pub settings: Vec<Setting>,
}

impl Own {
    /// Reads them. A value that is none is an error: rigup would do something else than it was told.
    pub fn read(sources: Sources<'_>) -> Result<Self, String> {
        let schema = schema::parse(include_str!("own.json")).map_err(|error| error.to_string())?;
        let resolver = Resolver::new(sources, &schema.properties);
        let mut complaints = Vec::new();
        let settings =
            schema.properties.iter().map(|it| resolver.resolve(it, |wrong| complaints.push(wrong))).collect();
        match complaints.into_iter().next() {
            None => Ok(Self { settings }),
            Some(complaint) => Err(complaint),
        }
    }

    /// The plugins that PLUGINS chooses; none where it chooses all.
    pub fn plugins(&self) -> Vec<String> {
        let names: Vec<&str> = match self.value("PLUGINS") {
            Some(Value::String(list)) => list.split(',').collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        names.into_iter().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    }

    /// What the user asked for of what may be brought in.
    pub fn safety(&self) -> Safety {
        Safety {
            min_release_age: self.value("MIN_RELEASE_AGE").and_then(Value::as_f64),
            postinstall_scripts: self.value("POSTINSTALL_SCRIPTS").and_then(Value::as_bool),
        }
    }

    /// The value of a setting that somebody gave one.
    fn value(&self, name: &str) -> Option<&Value> {
        let setting = self.settings.iter().find(|it| it.name == name && it.origin != Origin::Default);
        setting.map(|it| &it.value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::{Environment, SettingsFile};

    fn read(environment: &[(&str, &str)], file: &Value) -> Result<Own, String> {
        let environment: Environment = environment.iter().copied().collect();
        let files =
            [SettingsFile { path: "/p/rigup.toml".into(), values: file.as_object().unwrap().clone() }];
        Own::read(Sources { environment: &environment, files: &files })
    }

    #[test]
    fn plugins_are_chosen_by_a_list_or_by_a_text_with_commas() {
        let plugins = |environment: &[(&str, &str)], file| read(environment, &file).unwrap().plugins();
        assert_eq!(plugins(&[], json!({})), [""; 0]);
        assert_eq!(plugins(&[], json!({"PLUGINS": ["a", " b "]})), ["a", "b"]);
        assert_eq!(plugins(&[("PLUGINS", "c, ,d")], json!({"PLUGINS": ["a"]})), ["c", "d"]);
    }

    #[test]
    fn a_default_is_nothing_that_the_user_asked_for() {
        let safety = |environment: &[(&str, &str)], file| read(environment, &file).unwrap().safety();
        assert_eq!(safety(&[], json!({})), Safety::default());
        let asked = Safety { min_release_age: Some(14.0), postinstall_scripts: Some(false) };
        assert_eq!(safety(&[("POSTINSTALL_SCRIPTS", "off")], json!({"MIN_RELEASE_AGE": 14})), asked);
    }

    #[test]
    fn a_value_that_is_none_is_an_error_that_names_its_place() {
        let error = read(&[("MIN_RELEASE_AGE", "a week")], &json!({})).unwrap_err();
        assert!(
            error.starts_with("MIN_RELEASE_AGE from the variable MIN_RELEASE_AGE is no value"),
            "{error}"
        );
        let error = read(&[], &json!({"PLUGINS": 5})).unwrap_err();
        assert!(error.starts_with("PLUGINS from PLUGINS in /p/rigup.toml is no value"), "{error}");
    }
}
