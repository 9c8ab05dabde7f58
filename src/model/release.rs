//! A release of a package, as a registry lists it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::clock;
use crate::model::version::{Version, VersionRange, is_of_package, is_valid_version};

/// A release of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// Its version, as the package manager writes it.
    pub version: String,
    /// When it was published; `None` if the registry does not say.
    pub released_at: Option<Timestamp>,
    /// Whether it was withdrawn, so that package managers no longer choose it.
    pub is_yanked: bool,
    /// Whether a request that states no version may get it. Others get it only if nothing else is accepted.
    pub is_stable: bool,
}

/// What a request accepts of the releases of a package.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReleaseFilter<'a> {
    /// The versions.
    pub versions: VersionRange<'a>,
    /// The time before which a release must be published, if the provider enforces an age.
    pub released_before: Option<Timestamp>,
    /// Whether a release without a time may not be chosen: the age is not only a default.
    pub needs_time: bool,
}

impl Release {
    /// Returns a release that is neither yanked nor, by its version, a pre-release.
    pub(crate) fn new(version: impl Into<String>, released_at: Option<Timestamp>) -> Self {
        let version = version.into();
        let is_stable = !Version::parse(&version).is_prerelease();
        Self { version, released_at, is_yanked: false, is_stable }
    }

    /// Parses an entry of `versions` in a record of a hook. Returns `None` if it has no version.
    pub(crate) fn from_entry(entry: &Value) -> Option<Self> {
        let version = entry.get("version")?.as_str()?.trim();
        if version.is_empty() || !is_valid_version(version) {
            return None;
        }
        let flag = |key: &str| entry.get(key).and_then(Value::as_bool);
        let time = entry.get("released_at").and_then(Value::as_str);
        let release = Self::new(version, time.and_then(|time| clock::parse(time).ok()));
        Some(Self {
            is_yanked: flag("yanked").unwrap_or(false),
            is_stable: flag("stable").unwrap_or(release.is_stable),
            ..release
        })
    }

    /// Returns the entry of the release in a record. What is as for most releases is left out.
    pub(crate) fn to_entry(&self) -> Value {
        let mut entry = Map::from_iter([("version".to_owned(), json!(self.version))]);
        let mut add = |key: &str, value: Option<Value>| {
            entry.extend(value.map(|value| (key.to_owned(), value)));
        };
        add("released_at", self.released_at.map(|time| clock::format(time).into()));
        add("yanked", self.is_yanked.then_some(Value::Bool(true)));
        let is_prerelease = Version::parse(&self.version).is_prerelease();
        add("stable", (!self.is_stable || is_prerelease).then_some(Value::Bool(self.is_stable)));
        Value::Object(entry)
    }

    /// Returns whether its version is in a range.
    pub(crate) fn is_in(&self, versions: VersionRange<'_>) -> bool {
        versions.contains_program(self.program_version(), &self.version)
    }

    /// Returns the version as a program prints it: without the epoch and the revision of a distribution.
    fn program_version(&self) -> &str {
        if !is_of_package(&self.version) {
            return &self.version;
        }
        let version = self.version.split_once(':').map_or(&*self.version, |(_, rest)| rest);
        version.rsplit_once('-').map_or(version, |(version, _)| version)
    }
}

impl ReleaseFilter<'_> {
    /// Returns the newest release that is accepted, or `None` if there is none.
    pub(crate) fn newest<'r>(&self, releases: impl IntoIterator<Item = &'r Release>) -> Option<&'r Release> {
        let is_accepted = |release: &&Release| {
            let is_old_enough = match (self.released_before, release.released_at) {
                (Some(limit), Some(time)) => time < limit,
                (limit, None) => limit.is_none() || !self.needs_time,
                (None, Some(_)) => true,
            };
            !release.is_yanked && is_old_enough && release.is_in(self.versions)
        };
        let newest = |releases: Vec<&'r Release>| {
            releases.into_iter().max_by_key(|release| Version::parse(&release.version))
        };
        let (stable, others) =
            releases.into_iter().filter(is_accepted).partition(|release| release.is_stable);
        newest(stable).or_else(|| newest(others))
    }
}

/// Returns what an error says about a package without a version that a request accepts.
pub(crate) fn no_version(provider: &str, wanted: &str, package: &str, newest: Option<&Release>) -> String {
    let newest = newest.map(|newest| format!("; the newest is {}", newest.version)).unwrap_or_default();
    format!("{provider} has no version {wanted} of {package}{newest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn releases(entries: &Value) -> Vec<Release> {
        entries.as_array().unwrap().iter().filter_map(Release::from_entry).collect()
    }

    #[test]
    fn the_newest_release_is_neither_yanked_nor_a_pre_release_nor_too_young() {
        let all = releases(&json!([
            {"version": "1.9", "released_at": "2026-01-01T00:00:00Z"},
            {"version": "1.10", "released_at": "2026-02-01T00:00:00Z"},
            {"version": "2.0", "released_at": "2026-03-01T00:00:00Z", "yanked": true},
            {"version": "2.1rc1", "released_at": "2026-03-01T00:00:00Z"},
            {"version": "2.1", "released_at": "2026-03-01T00:00:00Z", "stable": false},
            {"version": ""}, {"version": 3}, "4",
        ]));
        let newest = |filter: ReleaseFilter<'_>| filter.newest(&all).map(|release| release.version.as_str());
        assert_eq!(newest(ReleaseFilter::default()), Some("1.10"));
        let limit = Some("2026-01-15T00:00:00Z".parse().unwrap());
        assert_eq!(newest(ReleaseFilter { released_before: limit, ..Default::default() }), Some("1.9"));
        let versions = VersionRange { min: "2", max: "" };
        assert_eq!(newest(ReleaseFilter { versions, ..Default::default() }), Some("2.1"));
        let versions = VersionRange { min: "3", max: "" };
        assert_eq!(newest(ReleaseFilter { versions, ..Default::default() }), None);
    }

    #[test]
    fn a_release_without_a_time_is_accepted_only_if_the_age_is_a_default() {
        let all = [Release::new("1", None)];
        let released_before = Some(Timestamp::UNIX_EPOCH);
        let is_found = |needs_time| {
            ReleaseFilter { released_before, needs_time, ..Default::default() }.newest(&all).is_some()
        };
        assert_eq!([is_found(false), is_found(true)], [true, false]);
    }

    #[test]
    fn a_bound_is_compared_with_the_version_of_the_program() {
        let all = [Release::new("1:2.39.5-0+deb12u1", None), Release::new("1:2.47.1-1", None)];
        for (max, newest) in [("2.40", 0), ("3", 1), ("1:2.39.5-1", 0)] {
            let filter = ReleaseFilter { versions: VersionRange { min: "", max }, ..Default::default() };
            assert_eq!(filter.newest(&all), Some(&all[newest]), "{max}");
        }
    }

    #[test]
    fn an_entry_keeps_what_differs_from_other_releases() {
        let plain = Release::new("1.0", None);
        assert_eq!(plain.to_entry(), json!({"version": "1.0"}));
        let odd = Release { is_yanked: true, is_stable: false, ..plain };
        assert_eq!(Release::from_entry(&odd.to_entry()), Some(odd));
    }
}
