//! rigup's own settings, which come from the same places as those of plugins.

use std::time::Duration;

use serde_json::Value;

use crate::duration::{self, Limit};
use crate::model::{Policy, RetentionLimits};
use crate::plugin::config::schema::{self, Property};
use crate::plugin::config::value::{Origin, Setting, SettingResolver, Sources};

/// The schema of the settings.
const CORE: &str = include_str!("core.json");

/// The setting that limits the age of processes, in days.
const MAX_AGE: &str = "keep.days";

/// The values of rigup's own settings.
#[derive(Debug, Clone)]
pub(crate) struct CoreSettings {
    /// All settings.
    pub settings: Vec<Setting>,
}

impl CoreSettings {
    /// Reads the settings. An invalid value is an error.
    pub(crate) fn read(sources: Sources<'_>) -> Result<Self, String> {
        let schema = schema::parse(CORE).map_err(|error| error.to_string())?;
        let resolver = SettingResolver::new(sources, &schema.properties);
        let settings: Vec<Setting> =
            schema.properties.iter().map(|property| resolver.resolve(property)).collect();
        let mut problems: Vec<String> =
            settings.iter().flat_map(|setting| &setting.problems).cloned().collect();
        problems.extend(sources.files.iter().find_map(|file| {
            let reason = keep_problem(file.values.get("keep")?, &schema.properties)?;
            Some(format!("{}: {reason}", file.path.display()))
        }));
        let core = Self { settings };
        problems.extend(core.max_age().err());
        problems.into_iter().next().map_or(Ok(core), Err)
    }

    /// Returns the plugins that PLUGINS selects; empty if it selects all.
    pub(crate) fn plugins(&self) -> Vec<String> {
        let names: Vec<&str> = match self.value("PLUGINS") {
            Some(Value::String(list)) => list.split(',').collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        names.into_iter().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// Returns the policy of the user.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            min_release_age: self.value("MIN_RELEASE_AGE").and_then(Value::as_f64),
            postinstall_scripts: self.value("POSTINSTALL_SCRIPTS").and_then(Value::as_bool),
        }
    }

    /// Returns the limits for the records of exited processes.
    pub(crate) fn keep(&self) -> RetentionLimits {
        let limit = |name: &str| {
            let value = &self.setting(name)?.value;
            // The schema allows only `none` and numbers.
            value.as_u64().or_else(|| value.as_str()?.parse().ok())
        };
        RetentionLimits {
            processes: limit("keep.processes"),
            max_age: self.max_age().ok().flatten(),
            log_bytes: limit("keep.log_bytes"),
        }
    }

    /// Returns the value of a setting, or `None` if it has its default.
    fn value(&self, name: &str) -> Option<&Value> {
        let setting = self.setting(name).filter(|setting| setting.origin != Origin::Default);
        setting.map(|setting| &setting.value)
    }

    fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// Returns the time for which processes are kept, or `None` for no limit.
    fn max_age(&self) -> Result<Option<Duration>, String> {
        let Some(Setting { value, origin, .. }) = self.setting(MAX_AGE) else { return Ok(None) };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let Limit(limit) = duration::parse_limit_in(duration::DAY, &text).map_err(|_| {
            format!("cannot use {origin}: it is not a number of days; use a number from 0 to 36500, a duration such as 12h, or `none`")
        })?;
        Ok(limit)
    }
}

/// Returns the properties of rigup's own settings.
pub(crate) fn properties() -> Vec<Property> {
    schema::parse(CORE).map(|schema| schema.properties).unwrap_or_default()
}

/// Returns the problem of the table `keep`, or `None` if there is none. If a misspelled limit were ignored, rigup would
/// remove records that the user intends to keep.
fn keep_problem(keep: &Value, known: &[Property]) -> Option<String> {
    let Value::Object(keep) = keep else { return Some("`keep` must be a table: [keep]".to_owned()) };
    let all: Vec<&str> = known.iter().filter_map(|property| property.name.strip_prefix("keep.")).collect();
    let unknown = keep.keys().find(|key| !all.contains(&key.as_str()))?;
    Some(format!("unknown setting keep.{unknown}; the settings are {}", all.join(", ")))
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
    fn plugins_are_a_list_or_a_comma_separated_string() {
        let plugins = |environment: &[(&str, &str)], file| read(environment, &file).unwrap().plugins();
        assert_eq!(plugins(&[], json!({})), [""; 0]);
        assert_eq!(plugins(&[], json!({"PLUGINS": ["a", " b "]})), ["a", "b"]);
        assert_eq!(plugins(&[("PLUGINS", "c, ,d")], json!({"PLUGINS": ["a"]})), ["c", "d"]);
    }

    #[test]
    fn a_default_is_not_a_stated_policy() {
        let policy = |environment: &[(&str, &str)], file| read(environment, &file).unwrap().policy();
        assert_eq!(policy(&[], json!({})), Policy::default());
        let stated = Policy { min_release_age: Some(14.0), postinstall_scripts: Some(false) };
        assert_eq!(policy(&[("POSTINSTALL_SCRIPTS", "off")], json!({"MIN_RELEASE_AGE": 14})), stated);
    }

    #[test]
    fn retention_is_limited_unless_a_setting_is_none() {
        let keep = |environment: &[(&str, &str)], file| read(environment, &file).unwrap().keep();
        let default = RetentionLimits {
            processes: Some(10_000),
            max_age: Some(30 * duration::DAY),
            log_bytes: Some(1 << 30),
        };
        assert_eq!(keep(&[], json!({})), default);
        assert_eq!(
            keep(&[], json!({"keep": {"days": 7}})),
            RetentionLimits { max_age: Some(7 * duration::DAY), ..default }
        );
        for (value, hours) in [(json!(0.5), 12), (json!("12h"), 12), (json!("2"), 48)] {
            assert_eq!(
                keep(&[], json!({"keep": {"days": value}})).max_age,
                Some(Duration::from_hours(hours))
            );
        }
        let environment = [("RIGUP_KEEP_DAYS", "none"), ("RIGUP_KEEP_PROCESSES", "5")];
        let stated = RetentionLimits { processes: Some(5), max_age: None, log_bytes: Some(0) };
        assert_eq!(keep(&environment, json!({"keep": {"days": 7, "log_bytes": 0}})), stated);
        assert!(
            keep(&[], json!({"keep": {"processes": "none", "days": "none", "log_bytes": "none"}}))
                .is_unbounded()
        );
        for (file, expected) in [
            (json!({"keep": {"days": -1}}), "cannot use keep.days in /p/rigup.toml: "),
            (json!({"keep": {"days": "a week"}}), "it is not a number of days; use a number from 0 to 36500"),
            (json!({"keep": {"days": 36501}}), "it is not a number of days; use a number from 0 to 36500"),
            (
                json!({"keep": {"day": 7}}),
                "/p/rigup.toml: unknown setting keep.day; the settings are processes, days",
            ),
            (json!({"keep": 7}), "/p/rigup.toml: `keep` must be a table"),
        ] {
            let error = read(&[], &file).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_invalid_value_is_an_error_that_names_its_source() {
        let error = read(&[("MIN_RELEASE_AGE", "a week")], &json!({})).unwrap_err();
        assert!(error.starts_with("cannot use the variable MIN_RELEASE_AGE: "), "{error}");
        let error = read(&[], &json!({"PLUGINS": 5})).unwrap_err();
        assert!(error.starts_with("cannot use PLUGINS in /p/rigup.toml: "), "{error}");
    }
}
