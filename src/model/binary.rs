//! A binary that somebody asked for on this machine, and what became of it.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::clock;
use crate::model::attempt::Attempt;
use crate::model::id::{BinaryId, MachineId};
use crate::model::plugin_name::ProviderName;
use crate::model::policy::Policy;
use crate::model::version::Version;

/// The first wait after a failure; each further failure doubles it.
pub const BACKOFF: SignedDuration = SignedDuration::from_mins(5);
/// The longest wait after a failure.
pub const BACKOFF_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A stored binary: one row per machine and name.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The row's id.
    pub id: BinaryId,
    /// The machine it is for.
    pub machine_id: MachineId,
    /// The name as it was asked for.
    pub name: String,
    /// The providers allowed, in order of preference: `pip,env`, or `*`.
    pub binproviders: String,
    /// The lowest version that will do; empty for any.
    pub min_version: String,
    /// What may be brought in for it.
    pub policy: Policy,
    /// Per provider: packages and the like, as the requirement spelled them.
    pub overrides: Map<String, Value>,
    /// Queued or installed, with what belongs to each.
    pub state: BinaryState,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub modified_at: Timestamp,
    /// Requests for it that nobody could satisfy.
    pub num_uses_failed: u32,
    /// Requests for it that were satisfied.
    pub num_uses_succeeded: u32,
}

/// Where a binary stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BinaryState {
    /// Asked for, not there (any more).
    Queued(Queued),
    /// There, verified.
    Installed(Installed),
}

/// What is known of a binary that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queued {
    /// When to try again by itself; none before the first try.
    pub retry_at: Option<Timestamp>,
    /// Failed resolutions since the last success.
    pub attempt_count: u32,
    /// Why the last resolution failed; empty before the first.
    pub last_error: String,
}

/// What is known of a binary that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The provider that won.
    pub binprovider: ProviderName,
    /// The file.
    pub abspath: PathBuf,
    /// What the file says its version is; empty where it says nothing.
    pub version: String,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    /// Device, inode, size and times of the file when it was verified.
    pub fingerprint: String,
}

impl BinaryState {
    /// The word in records and in the store.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Queued(_) => "queued",
            Self::Installed(_) => "installed",
        }
    }
}

impl Queued {
    /// A provider's answer was verified.
    pub fn install(self, found: Installed) -> Installed {
        found
    }

    /// When to try again, where that is still to come. No wait is longer than the one that its failures led to: a time
    /// further away than that was written by a clock that was ahead.
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.retry_at.filter(|at| *at > now && now.duration_until(*at) <= backoff(self.attempt_count))
    }

    /// Every provider was tried in vain: wait, twice as long after every failure.
    #[must_use]
    pub fn fail(self, reason: String, now: Timestamp) -> Self {
        let attempt_count = self.attempt_count.saturating_add(1);
        Self { retry_at: Some(now + backoff(attempt_count)), attempt_count, last_error: reason }
    }
}

impl Installed {
    /// The file is gone or changed, is too old now, or is to be made anew.
    pub fn requeue(self) -> Queued {
        Queued::default()
    }

    /// Whether it still is what it was: `fingerprint` is that of the file now, none where it is gone.
    pub fn is_current(&self, fingerprint: Option<&str>, min_version: &str) -> bool {
        fingerprint == Some(self.fingerprint.as_str())
            && (min_version.is_empty()
                || !self.version.is_empty() && Version::parse(&self.version) >= Version::parse(min_version))
    }

    /// Whether the file belongs inside a macOS app bundle, where links break the signature.
    pub fn is_in_app_bundle(&self) -> bool {
        is_in_app_bundle(&self.abspath)
    }
}

/// Whether `path` is a program inside `X.app/Contents/MacOS/`.
pub fn is_in_app_bundle(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.windows(3).any(|part| part[0].ends_with(".app") && part[1] == "Contents" && part[2] == "MacOS")
}

/// 5 min x 2^(n-1) after the n-th failure, at most 24 h.
fn backoff(failures: u32) -> SignedDuration {
    let doublings = failures.saturating_sub(1).min(16);
    (BACKOFF * (1 << doublings)).min(BACKOFF_MAX)
}

impl Binary {
    /// A binary asked for the first time.
    pub fn new(id: BinaryId, machine_id: MachineId, name: &str, now: Timestamp) -> Self {
        Self {
            id,
            machine_id,
            name: name.to_owned(),
            binproviders: String::new(),
            min_version: String::new(),
            policy: Policy::default(),
            overrides: Map::new(),
            state: BinaryState::Queued(Queued::default()),
            created_at: now,
            modified_at: now,
            num_uses_failed: 0,
            num_uses_succeeded: 0,
        }
    }

    /// What is there, if it is there.
    pub fn installed(&self) -> Option<&Installed> {
        match &self.state {
            BinaryState::Installed(installed) => Some(installed),
            BinaryState::Queued(_) => None,
        }
    }

    /// It is asked for anew: what was known of its file counts no more.
    pub fn request(
        &mut self,
        binproviders: &str,
        min_version: &str,
        policy: Policy,
        overrides: &Map<String, Value>,
        now: Timestamp,
    ) {
        binproviders.clone_into(&mut self.binproviders);
        min_version.clone_into(&mut self.min_version);
        self.policy = policy;
        self.overrides.clone_from(overrides);
        self.state = BinaryState::Queued(self.take_queued());
        self.modified_at = now;
    }

    /// It is to be asked for anew, and at once.
    pub fn requeue(&mut self, now: Timestamp) {
        self.state = BinaryState::Queued(Queued { retry_at: None, ..self.take_queued() });
        self.modified_at = now;
    }

    fn take_queued(&mut self) -> Queued {
        match std::mem::replace(&mut self.state, BinaryState::Queued(Queued::default())) {
            BinaryState::Queued(queued) => queued,
            BinaryState::Installed(installed) => installed.requeue(),
        }
    }

    /// A request for it was satisfied.
    pub fn satisfy(&mut self, found: Installed, now: Timestamp) {
        let queued = self.take_queued();
        self.state = BinaryState::Installed(queued.install(found));
        self.num_uses_succeeded = self.num_uses_succeeded.saturating_add(1);
        self.modified_at = now;
    }

    /// A request for it could not be satisfied.
    pub fn disappoint(&mut self, reason: String, now: Timestamp) {
        let queued = self.take_queued();
        self.state = BinaryState::Queued(queued.fail(reason, now));
        self.num_uses_failed = self.num_uses_failed.saturating_add(1);
        self.modified_at = now;
    }

    /// The record as JSONL shows it: a Binary where it is installed, else a `BinaryRequest` with the attempts.
    pub fn to_record(&self, attempts: &[Attempt]) -> Value {
        let nothing = Queued::default();
        let (kind, queued, installed) = match &self.state {
            BinaryState::Installed(installed) => ("Binary", &nothing, Some(installed)),
            BinaryState::Queued(queued) => ("BinaryRequest", queued, None),
        };
        let mut record = json!({
            "type": kind,
            "id": self.id,
            "machine_id": self.machine_id,
            "name": self.name,
            "binproviders": self.binproviders,
            "min_version": self.min_version,
            "overrides": self.overrides,
            "binprovider": installed.map_or("", |it| &it.binprovider),
            "abspath": installed.map(|it| it.abspath.to_string_lossy()).unwrap_or_default(),
            "version": installed.map_or("", |it| &it.version),
            "sha256": installed.map_or("", |it| &it.sha256),
            "fingerprint": installed.map_or("", |it| &it.fingerprint),
            "status": self.state.word(),
            "retry_at": queued.retry_at.map(clock::spell),
            "attempt_count": queued.attempt_count,
            "last_error": queued.last_error,
            "created_at": clock::spell(self.created_at),
            "modified_at": clock::spell(self.modified_at),
            "num_uses_failed": self.num_uses_failed,
            "num_uses_succeeded": self.num_uses_succeeded,
        });
        self.policy.write_to(&mut record);
        if installed.is_none() {
            record["attempts"] = json!(attempts);
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_with_every_failure_and_ends_at_a_day() {
        let waits: Vec<_> = (1..=10).map(|failures| backoff(failures).as_mins()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }

    #[test]
    fn nobody_waits_for_a_time_that_only_another_clock_could_set() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let queued = Queued::default().fail("no network".to_owned(), now);
        let at = now + SignedDuration::from_mins(5);
        assert_eq!(queued.waits_until(now), Some(at));
        assert_eq!(queued.waits_until(at), None);
        assert_eq!(queued.waits_until(now - SignedDuration::from_mins(1)), None, "it was set back since");
    }

    #[test]
    fn a_success_forgets_the_failures_before_it() {
        let now = Timestamp::UNIX_EPOCH;
        let mut binary = Binary::new(BinaryId::from_u128(0), MachineId::from_u128(0), "rg", now);
        binary.disappoint("no network".to_owned(), now);
        binary.satisfy(installed("14.0"), now);
        binary.disappoint("gone".to_owned(), now);
        assert_eq!((binary.num_uses_failed, binary.num_uses_succeeded), (2, 1));
        let BinaryState::Queued(queued) = binary.state else { panic!("installed after a failure") };
        assert_eq!(queued.attempt_count, 1);
    }

    #[test]
    fn an_installed_binary_is_current_while_its_file_and_the_wanted_version_stay() {
        let it = installed("14.0");
        assert!(it.is_current(Some("1:2"), ""));
        assert!(it.is_current(Some("1:2"), "13.9"));
        assert!(!it.is_current(Some("1:2"), "14.1"));
        assert!(!it.is_current(Some("1:3"), ""));
        assert!(!it.is_current(None, ""));
        assert!(!installed("").is_current(Some("1:2"), "1"));
    }

    #[test]
    fn only_programs_of_an_app_bundle_are_left_unlinked() {
        assert!(is_in_app_bundle(Path::new("/Applications/Chrome.app/Contents/MacOS/Chrome")));
        assert!(!is_in_app_bundle(Path::new("/Applications/Chrome.app/Contents/Resources/x")));
    }

    fn installed(version: &str) -> Installed {
        Installed {
            binprovider: ProviderName::from_static("env"),
            abspath: PathBuf::from("/usr/bin/rg"),
            version: version.to_owned(),
            sha256: String::new(),
            fingerprint: "1:2".to_owned(),
        }
    }
}
