//! The settings that are rigup's own, and come from the same places as those of plugins.

use serde_json::Value;

use crate::model::policy::Policy;
use crate::model::retention::RetentionLimits;
use crate::plugin::config::schema::{self, Property};
use crate::plugin::config::value::{Origin, Setting, SettingResolver, Sources};

/// What they come to.
#[derive(Debug, Clone)]
pub struct CoreSettings {
    /// Every one of them.
    pub settings: Vec<Setting>,
}

impl CoreSettings {
    /// Reads them. A value that is none is an error: rigup would do something else than it was told.
    pub fn read(sources: Sources<'_>) -> Result<Self, String> {
        let schema = schema::parse(include_str!("core.json")).map_err(|error| error.to_string())?;
        let resolver = SettingResolver::new(sources, &schema.properties);
        let mut diagnostics = Vec::new();
        let settings = schema
            .properties
            .iter()
            .map(|it| resolver.resolve(it, |wrong| diagnostics.push(wrong)))
            .collect();
        diagnostics.extend(sources.files.iter().find_map(|file| {
            let reason = misspelled(file.values.get("keep")?, &schema.properties)?;
            Some(format!("{}: {reason}", file.path.display()))
        }));
        match diagnostics.into_iter().next() {
            None => Ok(Self { settings }),
            Some(diagnostic) => Err(diagnostic),
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
    pub fn policy(&self) -> Policy {
        Policy {
            min_release_age: self.value("MIN_RELEASE_AGE").and_then(Value::as_f64),
            postinstall_scripts: self.value("POSTINSTALL_SCRIPTS").and_then(Value::as_bool),
        }
    }

    /// How much is kept of what is over.
    pub fn keep(&self) -> RetentionLimits {
        let bound = |name: &str| {
            let setting = self.settings.iter().find(|it| it.name == name)?;
            // A text is `none` or a number: its schema lets nothing else through.
            setting.value.as_u64().or_else(|| setting.value.as_str()?.parse().ok())
        };
        RetentionLimits {
            processes: bound("keep.processes"),
            days: bound("keep.days"),
            log_bytes: bound("keep.log_bytes"),
        }
    }

    /// The value of a setting that somebody gave one.
    fn value(&self, name: &str) -> Option<&Value> {
        let setting = self.settings.iter().find(|it| it.name == name && it.origin != Origin::Default);
        setting.map(|it| &it.value)
    }
}

/// What is wrong with the table `keep`: whoever misspells a bound would lose what he wants to keep.
fn misspelled(keep: &Value, known: &[Property]) -> Option<String> {
    let Value::Object(keep) = keep else { return Some("`keep` is a table: [keep]".to_owned()) };
    let mut bounds = known.iter().filter_map(|it| it.name.strip_prefix("keep."));
    let unknown = keep.keys().find(|key| !bounds.clone().any(|it| it == *key))?;
    let first = bounds.next()?;
    let all = bounds.fold(first.to_owned(), |all, it| format!("{all}, {it}"));
    Some(format!("there is no keep.{unknown}; there are {all}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::{Environment, SettingsFile};

    fn read(environment: &[(&str, &str)], file: &Value) -> Result<CoreSettings, String> {
        let environment: Environment = environment.iter().copied().collect();
        let files =
            [SettingsFile { path: "/p/rigup.toml".into(), values: file.as_object().unwrap().clone() }];
        CoreSettings::read(Sources { environment: &environment, files: &files })
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
        let policy = |environment: &[(&str, &str)], file| read(environment, &file).unwrap().policy();
        assert_eq!(policy(&[], json!({})), Policy::default());
        let asked = Policy { min_release_age: Some(14.0), postinstall_scripts: Some(false) };
        assert_eq!(policy(&[("POSTINSTALL_SCRIPTS", "off")], json!({"MIN_RELEASE_AGE": 14})), asked);
    }

    #[test]
    fn what_is_kept_is_bounded_unless_somebody_says_none() {
        let keep = |environment: &[(&str, &str)], file| read(environment, &file).unwrap().keep();
        let default = RetentionLimits { processes: Some(10_000), days: Some(30), log_bytes: Some(1 << 30) };
        assert_eq!(keep(&[], json!({})), default);
        assert_eq!(keep(&[], json!({"keep": {"days": 7}})), RetentionLimits { days: Some(7), ..default });
        let environment = [("RIGUP_KEEP_DAYS", "none"), ("RIGUP_KEEP_PROCESSES", "5")];
        let asked = RetentionLimits { processes: Some(5), days: None, log_bytes: Some(0) };
        assert_eq!(keep(&environment, json!({"keep": {"days": 7, "log_bytes": 0}})), asked);
        assert!(
            keep(&[], json!({"keep": {"processes": "none", "days": "none", "log_bytes": "none"}}))
                .is_unbounded()
        );
        for (file, wanted) in [
            (json!({"keep": {"days": -1}}), "keep.days from keep.days in /p/rigup.toml is no value"),
            (json!({"keep": {"days": "a week"}}), "is no value for keep.days"),
            (json!({"keep": {"day": 7}}), "/p/rigup.toml: there is no keep.day; there are processes, days"),
            (json!({"keep": 7}), "/p/rigup.toml: `keep` is a table"),
        ] {
            let error = read(&[], &file).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
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
