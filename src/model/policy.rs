//! What may be brought in from an open registry, where a stranger's package is one typing mistake away.

use std::fmt;

use serde_json::{Map, Value};

/// The age in days below which a release counts as too new, where nobody says otherwise: a hijacked package is mostly
/// found out within a week.
pub const MIN_RELEASE_AGE: f64 = 7.0;

/// The longest age that can be asked for, in days: a hundred years.
const MAX_RELEASE_AGE: f64 = 36_500.0;

/// What was asked for; none where nobody said anything, and the default counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Policy {
    /// Only releases that are at least so many days old; 0 for any.
    pub min_release_age: Option<f64>,
    /// Whether packages may run scripts of their own while they are installed. Off by default.
    pub postinstall_scripts: Option<bool>,
}

/// What a provider is able to keep: yes or no; none where it does not say, or where the rule does not apply to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicySupport {
    /// Whether it can leave out releases that are too new.
    pub min_release_age: Option<bool>,
    /// Whether it can install packages without running their scripts.
    pub postinstall_scripts: Option<bool>,
}

/// A value that is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not a number of days.
    #[error("\"{MIN_RELEASE_AGE_KEY}\" has to be a number of days, 0 or more")]
    Age,
    /// Not yes or no.
    #[error("\"{POSTINSTALL_SCRIPTS_KEY}\" has to be true or false")]
    Scripts,
}

/// The key of [`Policy::min_release_age`] in requirements, overrides and records.
pub const MIN_RELEASE_AGE_KEY: &str = "min_release_age";

/// The key of [`Policy::postinstall_scripts`].
pub const POSTINSTALL_SCRIPTS_KEY: &str = "postinstall_scripts";

impl Policy {
    /// Reads it from the keys of a requirement, or of what it says to one provider.
    pub fn of(keys: &Map<String, Value>) -> Result<Self, PolicyError> {
        let min_release_age = match keys.get(MIN_RELEASE_AGE_KEY) {
            None | Some(Value::Null) => None,
            Some(Value::Number(days)) => Some(days.as_f64().ok_or(PolicyError::Age)?),
            Some(Value::String(days)) => Some(days.trim().parse().map_err(|_| PolicyError::Age)?),
            Some(_) => return Err(PolicyError::Age),
        };
        if min_release_age.is_some_and(|days| !(0.0..=MAX_RELEASE_AGE).contains(&days)) {
            return Err(PolicyError::Age);
        }
        let postinstall_scripts = match keys.get(POSTINSTALL_SCRIPTS_KEY) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(may_run)) => Some(*may_run),
            Some(Value::String(word)) => match word.trim() {
                "true" => Some(true),
                "false" => Some(false),
                _ => return Err(PolicyError::Scripts),
            },
            Some(_) => return Err(PolicyError::Scripts),
        };
        Ok(Self { min_release_age, postinstall_scripts })
    }

    /// What satisfies both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            min_release_age: match (self.min_release_age, other.min_release_age) {
                (Some(one), Some(other)) => Some(one.max(other)),
                (one, other) => one.or(other),
            },
            postinstall_scripts: match (self.postinstall_scripts, other.postinstall_scripts) {
                (Some(one), Some(other)) => Some(one && other),
                (one, other) => one.or(other),
            },
        }
    }

    /// This, and where it says nothing, the other.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            min_release_age: self.min_release_age.or(other.min_release_age),
            postinstall_scripts: self.postinstall_scripts.or(other.postinstall_scripts),
        }
    }

    /// The age in days that counts.
    pub fn age(self) -> f64 {
        self.min_release_age.unwrap_or(MIN_RELEASE_AGE)
    }

    /// Whether scripts may run.
    pub fn may_run_scripts(self) -> bool {
        self.postinstall_scripts.unwrap_or(false)
    }

    /// Writes what was asked for into a record; null where nothing was.
    pub fn write_to(self, record: &mut Value) {
        record[MIN_RELEASE_AGE_KEY] = self.min_release_age.into();
        record[POSTINSTALL_SCRIPTS_KEY] = self.postinstall_scripts.into();
    }
}

impl PolicySupport {
    /// What was asked for in so many words and cannot be kept; none where all can.
    pub fn refuses(self, policy: Policy) -> Option<Refused> {
        let wants_age = policy.min_release_age.is_some_and(|days| days > 0.0);
        if wants_age && self.min_release_age != Some(true) {
            return Some(Refused { key: MIN_RELEASE_AGE_KEY, says_so: self.min_release_age.is_some() });
        }
        if policy.postinstall_scripts == Some(false) && self.postinstall_scripts != Some(true) {
            return Some(Refused {
                key: POSTINSTALL_SCRIPTS_KEY,
                says_so: self.postinstall_scripts.is_some(),
            });
        }
        None
    }

    /// The defaults that a provider of an open registry cannot keep, where nobody asked for something else.
    pub fn lacks(self, policy: Policy) -> Vec<&'static str> {
        let age = policy.min_release_age.is_none() && self.min_release_age == Some(false);
        let scripts = policy.postinstall_scripts.is_none() && self.postinstall_scripts == Some(false);
        let all = [(age, MIN_RELEASE_AGE_KEY), (scripts, POSTINSTALL_SCRIPTS_KEY)];
        all.into_iter().filter_map(|(is_lacking, key)| is_lacking.then_some(key)).collect()
    }
}

/// A rule that a provider cannot keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    key: &'static str,
    says_so: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, says_so } = self;
        if *says_so {
            write!(f, "{key} is asked for, which this provider cannot keep")
        } else {
            write!(
                f,
                "{key} is asked for, and this provider does not say that it keeps it: see `enforces` in docs/hooks.md"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(keys: &Value) -> Result<Policy, PolicyError> {
        Policy::of(keys.as_object().unwrap())
    }

    fn asks(min_release_age: Option<f64>, postinstall_scripts: Option<bool>) -> Policy {
        Policy { min_release_age, postinstall_scripts }
    }

    #[test]
    fn both_rules_are_read_in_every_spelling() {
        assert_eq!(policy(&json!({})), Ok(Policy::default()));
        assert_eq!(
            policy(&json!({"min_release_age": 3, "postinstall_scripts": true})),
            Ok(asks(Some(3.0), Some(true)))
        );
        assert_eq!(
            policy(&json!({"min_release_age": "0.5", "postinstall_scripts": "false"})),
            Ok(asks(Some(0.5), Some(false)))
        );
        assert_eq!(
            policy(&json!({"min_release_age": null, "postinstall_scripts": null})),
            Ok(Policy::default())
        );
        for bad in [json!(-1), json!("soon"), json!([]), json!(1e9), json!("NaN"), json!("inf")] {
            assert_eq!(policy(&json!({"min_release_age": bad})), Err(PolicyError::Age), "{bad}");
        }
        for bad in [json!(1), json!("yes"), json!([])] {
            assert_eq!(policy(&json!({"postinstall_scripts": bad})), Err(PolicyError::Scripts), "{bad}");
        }
    }

    #[test]
    fn of_two_who_ask_the_stricter_one_counts_and_silence_asks_for_nothing() {
        let strict = asks(Some(14.0), Some(false));
        assert_eq!(asks(Some(3.0), Some(true)).and(strict), strict);
        assert_eq!(strict.and(Policy::default()), strict);
        assert_eq!(asks(None, Some(true)).and(asks(Some(0.0), None)), asks(Some(0.0), Some(true)));
        assert_eq!(asks(None, Some(true)).or(strict), asks(Some(14.0), Some(true)));
        assert_eq!((Policy::default().age(), Policy::default().may_run_scripts()), (7.0, false));
    }

    #[test]
    fn what_is_asked_for_is_refused_where_a_provider_does_not_say_that_it_keeps_it() {
        let keeps = |age, scripts| PolicySupport { min_release_age: age, postinstall_scripts: scripts };
        assert_eq!(keeps(Some(true), Some(true)).refuses(asks(Some(1.0), Some(false))), None);
        assert_eq!(keeps(None, None).refuses(asks(Some(0.0), Some(true))), None);
        assert_eq!(keeps(None, None).refuses(Policy::default()), None);
        let cannot = keeps(Some(true), Some(false)).refuses(asks(Some(1.0), Some(false))).unwrap();
        assert!(cannot.to_string().starts_with("postinstall_scripts is asked for, which this provider"));
        let silent = keeps(None, None).refuses(asks(Some(1.0), None)).unwrap();
        assert!(
            silent.to_string().starts_with("min_release_age is asked for, and this provider does not say")
        );
    }

    #[test]
    fn a_default_that_cannot_be_kept_is_worth_a_warning_unless_something_was_asked_for() {
        let cannot = PolicySupport { min_release_age: Some(false), postinstall_scripts: Some(false) };
        assert_eq!(cannot.lacks(Policy::default()), ["min_release_age", "postinstall_scripts"]);
        assert_eq!(cannot.lacks(asks(Some(0.0), Some(true))), [""; 0]);
        assert_eq!(PolicySupport::default().lacks(Policy::default()), [""; 0]);
    }
}
