//! The policy of an install: how old a release must be, and whether packages may run scripts.
//!
//! Anyone can publish to an open registry, so a mistyped name is enough to install a package by an unknown author.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::boolean;

/// The default minimum age of a release, in days: most hijacked packages are discovered within a week.
pub(crate) const MIN_RELEASE_AGE: f64 = 7.0;

/// The largest minimum age, in days: a hundred years.
const MAX_RELEASE_AGE: f64 = 36_500.0;

/// The policy that a requirement, the command line or a setting states. A rule that is `None` is not stated.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Policy {
    /// The minimum age of a release, in days; 0 for any age.
    pub min_release_age: Option<f64>,
    /// Whether packages may run their scripts while they are installed. The default is no.
    pub postinstall_scripts: Option<bool>,
}

/// The rules of a policy that a provider enforces. A rule that is `None` is not declared, or does not apply to the
/// provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PolicySupport {
    /// Whether the provider can exclude releases that are too new.
    pub min_release_age: Option<bool>,
    /// Whether the provider can install packages without running their scripts.
    pub postinstall_scripts: Option<bool>,
}

/// An invalid value of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not a number of days.
    #[error("\"{MIN_RELEASE_AGE_KEY}\" must be a number of days from 0, for any age, to 36500")]
    Age,
    /// Neither true nor false.
    #[error("\"{POSTINSTALL_SCRIPTS_KEY}\" must be true or false")]
    Scripts,
}

/// The key of [`Policy::min_release_age`] in requirements, overrides and records.
pub(crate) const MIN_RELEASE_AGE_KEY: &str = "min_release_age";

/// The key of [`Policy::postinstall_scripts`].
pub(crate) const POSTINSTALL_SCRIPTS_KEY: &str = "postinstall_scripts";

/// The key of the rules that a provider could not enforce, in its Binary record.
pub(crate) const UNENFORCED: &str = "unenforced";

impl Policy {
    /// Parses the policy in the keys of a requirement, or in its overrides for one provider.
    pub fn parse(keys: &Map<String, Value>) -> Result<Self, PolicyError> {
        let stated = |key: &str| keys.get(key).filter(|value| !value.is_null());
        let age = |value: &Value| {
            let days = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
            days.filter(|days| (0.0..=MAX_RELEASE_AGE).contains(days)).ok_or(PolicyError::Age)
        };
        let scripts = |value: &Value| {
            let is_allowed = value.as_bool().or_else(|| boolean::parse(value.as_str()?.trim()));
            is_allowed.ok_or(PolicyError::Scripts)
        };
        Ok(Self {
            min_release_age: stated(MIN_RELEASE_AGE_KEY).map(age).transpose()?,
            postinstall_scripts: stated(POSTINSTALL_SCRIPTS_KEY).map(scripts).transpose()?,
        })
    }

    /// Combines two policies: for each rule, the stricter value applies.
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

    /// Returns this policy, with the rules that it does not state taken from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            min_release_age: self.min_release_age.or(other.min_release_age),
            postinstall_scripts: self.postinstall_scripts.or(other.postinstall_scripts),
        }
    }

    /// Returns the minimum age in days, or the default if none is stated.
    pub fn age(self) -> f64 {
        self.min_release_age.unwrap_or(MIN_RELEASE_AGE)
    }

    /// Returns whether packages may run scripts, or the default if that is not stated.
    pub fn may_run_scripts(self) -> bool {
        self.postinstall_scripts.unwrap_or(false)
    }

    /// Writes the policy into a record, with null for a rule that is not stated.
    pub fn write_to(self, record: &mut Value) {
        record[MIN_RELEASE_AGE_KEY] = self.min_release_age.into();
        record[POSTINSTALL_SCRIPTS_KEY] = self.postinstall_scripts.into();
    }
}

impl PolicySupport {
    /// Returns why the provider does not enforce a rule that the policy states, or `None` if it enforces all of them.
    pub fn unsupported_rule(self, policy: Policy) -> Option<String> {
        let limits_age = policy.min_release_age.is_some_and(|days| days > 0.0);
        let forbids_scripts = policy.postinstall_scripts == Some(false);
        let rules = [
            (limits_age, self.min_release_age, MIN_RELEASE_AGE_KEY),
            (forbids_scripts, self.postinstall_scripts, POSTINSTALL_SCRIPTS_KEY),
        ];
        rules.into_iter().filter(|(is_stated, ..)| *is_stated).find_map(|(_, enforces, key)| match enforces {
            Some(true) => None,
            Some(false) => Some(format!("the provider cannot enforce {key}")),
            None => Some(format!(
                "the provider does not declare that it enforces {key}; leave out this rule, or name another provider"
            )),
        })
    }

    /// Returns the keys of the rules that the policy does not state and that the provider declares it cannot enforce.
    pub fn unsupported_defaults(self, policy: Policy) -> Vec<&'static str> {
        let age = policy.min_release_age.is_none() && self.min_release_age == Some(false);
        let scripts = policy.postinstall_scripts.is_none() && self.postinstall_scripts == Some(false);
        [(age, MIN_RELEASE_AGE_KEY), (scripts, POSTINSTALL_SCRIPTS_KEY)]
            .into_iter()
            .filter_map(|(is_unsupported, key)| is_unsupported.then_some(key))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(keys: &Value) -> Result<Policy, PolicyError> {
        Policy::parse(keys.as_object().unwrap())
    }

    fn policy(min_release_age: Option<f64>, postinstall_scripts: Option<bool>) -> Policy {
        Policy { min_release_age, postinstall_scripts }
    }

    fn support(min_release_age: Option<bool>, postinstall_scripts: Option<bool>) -> PolicySupport {
        PolicySupport { min_release_age, postinstall_scripts }
    }

    #[test]
    fn parses_both_rules_in_every_spelling() {
        assert_eq!(parse(&json!({})), Ok(Policy::default()));
        assert_eq!(
            parse(&json!({"min_release_age": 3, "postinstall_scripts": true})),
            Ok(policy(Some(3.0), Some(true)))
        );
        assert_eq!(
            parse(&json!({"min_release_age": "0.5", "postinstall_scripts": "false"})),
            Ok(policy(Some(0.5), Some(false)))
        );
        assert_eq!(
            parse(&json!({"min_release_age": null, "postinstall_scripts": null})),
            Ok(Policy::default())
        );
        for bad in [json!(-1), json!("soon"), json!([]), json!(1e9), json!("NaN"), json!("inf")] {
            assert_eq!(parse(&json!({"min_release_age": bad})), Err(PolicyError::Age), "{bad}");
        }
        for bad in [json!(1), json!("maybe"), json!([])] {
            assert_eq!(parse(&json!({"postinstall_scripts": bad})), Err(PolicyError::Scripts), "{bad}");
        }
    }

    #[test]
    fn the_stricter_rule_of_two_policies_wins() {
        let strict = policy(Some(14.0), Some(false));
        assert_eq!(policy(Some(3.0), Some(true)).and(strict), strict);
        assert_eq!(strict.and(Policy::default()), strict);
        assert_eq!(policy(None, Some(true)).and(policy(Some(0.0), None)), policy(Some(0.0), Some(true)));
        assert_eq!(policy(None, Some(true)).or(strict), policy(Some(14.0), Some(true)));
        assert_eq!((Policy::default().age(), Policy::default().may_run_scripts()), (7.0, false));
    }

    #[test]
    fn a_stated_rule_is_unsupported_unless_the_provider_declares_it() {
        let strict = policy(Some(1.0), Some(false));
        assert_eq!(support(Some(true), Some(true)).unsupported_rule(strict), None);
        assert_eq!(support(None, None).unsupported_rule(policy(Some(0.0), Some(true))), None);
        assert_eq!(support(None, None).unsupported_rule(Policy::default()), None);
        let scripts = support(Some(true), Some(false)).unsupported_rule(strict).unwrap();
        assert_eq!(scripts, "the provider cannot enforce postinstall_scripts");
        let age = support(None, None).unsupported_rule(policy(Some(1.0), None)).unwrap();
        assert!(age.starts_with("the provider does not declare that it enforces min_release_age"), "{age}");
    }

    #[test]
    fn a_default_is_unsupported_if_the_provider_cannot_enforce_it() {
        let unsupported = support(Some(false), Some(false));
        assert_eq!(
            unsupported.unsupported_defaults(Policy::default()),
            ["min_release_age", "postinstall_scripts"]
        );
        assert_eq!(unsupported.unsupported_defaults(policy(Some(0.0), Some(true))), [""; 0]);
        assert_eq!(PolicySupport::default().unsupported_defaults(Policy::default()), [""; 0]);
    }
}
