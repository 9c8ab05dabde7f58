//! A binary that was requested on a machine, and its status.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::clock;
use crate::model::attempt::Attempt;
use crate::model::id::{BinaryId, MachineId};
use crate::model::plugin_name::ProviderName;
use crate::model::policy::Policy;
use crate::model::version::VersionRange;

/// The wait after the first failure. Each further failure doubles it.
pub(crate) const BACKOFF: SignedDuration = SignedDuration::from_mins(5);
/// The longest wait after a failure.
pub(crate) const BACKOFF_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A stored binary: one row for each machine and name.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The row's id.
    pub id: BinaryId,
    /// The machine that the binary was requested on.
    pub machine_id: MachineId,
    /// The requested name.
    pub name: String,
    /// The allowed providers, in order of preference: `pip,env`, or `*`.
    pub binproviders: String,
    /// The minimum version; empty for any.
    pub min_version: String,
    /// The maximum version; empty for any.
    pub max_version: String,
    /// The policy of the request.
    pub policy: Policy,
    /// Packages and other options for each provider, as the requirement states them.
    pub overrides: Map<String, Value>,
    /// The failures since the last success.
    pub backoff: Backoff,
    /// The installed file, or `None` if the binary is queued. It stays installed while a changed request is resolved.
    pub installed: Option<Installed>,
    /// When the row was created.
    pub created_at: Timestamp,
    /// When the row was last changed.
    pub modified_at: Timestamp,
    /// The number of requests that failed.
    pub num_uses_failed: u32,
    /// The number of requests that succeeded.
    pub num_uses_succeeded: u32,
}

/// The failures of a binary since its last success.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backoff {
    /// When `apply` may try again, or `None` before the first failure.
    pub retry_at: Option<Timestamp>,
    /// The number of failures since the last success.
    pub attempt_count: u32,
    /// The cause of the last failure; empty before the first.
    pub last_error: String,
    /// The digest of the request that failed. Another request is not held back.
    pub failed_request_digest: String,
}

/// The data of an installed binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The provider that installed it.
    pub binprovider: ProviderName,
    /// The executable file.
    pub abspath: PathBuf,
    /// The version that is compared with those of requests; empty if it is unknown.
    pub version: String,
    /// The version of the package that owns the program, exactly as the package manager writes it; empty if no package
    /// manager installed it.
    pub package_version: String,
    /// The address of the file from which the provider installed it; empty if it did not state one.
    pub url: String,
    /// Hex SHA-256 of that file; empty without an address.
    pub url_sha256: String,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    /// Inode, size and times of the file when it was verified.
    pub fingerprint: String,
    /// The digest of the request that the provider was tried for; empty if the record came without a request.
    pub request_digest: String,
    /// Whether LIB_BIN_DIR leads to the file by a wrapper: the program does not run through a link.
    pub needs_wrapper: bool,
}

impl Installed {
    /// Returns the version as a registry lists it: that of the package or, if no package manager installed the program, its
    /// own; empty if both are unknown.
    pub(crate) fn listed_version(&self) -> &str {
        if self.package_version.is_empty() { &self.version } else { &self.package_version }
    }
}

impl Backoff {
    /// Returns the time before which `apply` does not try again, or `None` if that time has passed. Ignores a time that
    /// is further away than the wait after this number of failures, because the clock was ahead when it was stored.
    pub fn pending_retry(&self, now: Timestamp) -> Option<Timestamp> {
        self.retry_at.filter(|at| *at > now && now.duration_until(*at) <= backoff(self.attempt_count))
    }

    /// Returns the time before which `apply` does not try this request again, or `None` if it may try now.
    pub fn pending_retry_of(&self, request_digest: &str, now: Timestamp) -> Option<Timestamp> {
        self.pending_retry(now).filter(|_| self.failed_request_digest == request_digest)
    }

    /// Counts a failure of a request, and sets when to try it again. The failures of other requests do not count.
    #[must_use]
    pub fn fail(self, request_digest: String, reason: String, now: Timestamp) -> Self {
        let earlier = if self.failed_request_digest == request_digest { self.attempt_count } else { 0 };
        let attempt_count = earlier.saturating_add(1);
        Self {
            retry_at: Some(now + backoff(attempt_count)),
            attempt_count,
            last_error: reason,
            failed_request_digest: request_digest,
        }
    }
}

impl Installed {
    /// Returns whether the file belongs to a macOS app bundle, where links break the signature.
    pub fn is_in_app_bundle(&self) -> bool {
        is_in_app_bundle(&self.abspath)
    }
}

/// Returns whether `path` is a program in `X.app/Contents/MacOS/`.
pub(crate) fn is_in_app_bundle(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.windows(3).any(|part| part[0].ends_with(".app") && part[1] == "Contents" && part[2] == "MacOS")
}

/// Returns the wait after the n-th failure: 5 min x 2^(n-1), at most 24 h.
fn backoff(failures: u32) -> SignedDuration {
    let doublings = failures.saturating_sub(1).min(16);
    (BACKOFF * (1 << doublings)).min(BACKOFF_MAX)
}

impl Binary {
    /// Returns a binary that is requested for the first time.
    pub fn new(id: BinaryId, machine_id: MachineId, name: &str, now: Timestamp) -> Self {
        Self {
            id,
            machine_id,
            name: name.to_owned(),
            binproviders: String::new(),
            min_version: String::new(),
            max_version: String::new(),
            policy: Policy::default(),
            overrides: Map::new(),
            backoff: Backoff::default(),
            installed: None,
            created_at: now,
            modified_at: now,
            num_uses_failed: 0,
            num_uses_succeeded: 0,
        }
    }

    /// Returns the installed file, or `None` if the binary is queued.
    pub fn installed(&self) -> Option<&Installed> {
        self.installed.as_ref()
    }

    /// Returns the status in records and in the store.
    pub fn status(&self) -> &'static str {
        if self.installed.is_some() { "installed" } else { "queued" }
    }

    /// Returns the versions that the request accepts.
    pub fn versions(&self) -> VersionRange<'_> {
        VersionRange { min: &self.min_version, max: &self.max_version }
    }

    /// Sets the request that is resolved, or that was resolved.
    pub fn set_request(
        &mut self,
        binproviders: &str,
        versions: VersionRange<'_>,
        policy: Policy,
        overrides: &Map<String, Value>,
        now: Timestamp,
    ) {
        binproviders.clone_into(&mut self.binproviders);
        versions.min.clone_into(&mut self.min_version);
        versions.max.clone_into(&mut self.max_version);
        self.policy = policy;
        self.overrides.clone_from(overrides);
        self.modified_at = now;
    }

    /// Queues the binary, so that the next command may try it at once.
    pub fn requeue(&mut self, now: Timestamp) {
        self.installed = None;
        self.backoff.retry_at = None;
        self.modified_at = now;
    }

    /// Records that a request was resolved.
    pub fn install(&mut self, installed: Installed, now: Timestamp) {
        self.installed = Some(installed);
        self.backoff = Backoff::default();
        self.num_uses_succeeded = self.num_uses_succeeded.saturating_add(1);
        self.modified_at = now;
    }

    /// Records that a request could not be resolved. An installed binary stays installed.
    pub fn fail(&mut self, request_digest: String, reason: String, now: Timestamp) {
        self.backoff = std::mem::take(&mut self.backoff).fail(request_digest, reason, now);
        self.num_uses_failed = self.num_uses_failed.saturating_add(1);
        self.modified_at = now;
    }

    /// Returns the JSONL record: a Binary if it is installed, otherwise a `BinaryRequest` with its attempts.
    pub fn to_record(&self, attempts: &[Attempt]) -> Value {
        let installed = self.installed();
        let mut record = json!({
            "type": if installed.is_some() { "Binary" } else { "BinaryRequest" },
            "id": self.id,
            "machine_id": self.machine_id,
            "name": self.name,
            "binproviders": self.binproviders,
            "min_version": self.min_version,
            "max_version": self.max_version,
            "overrides": self.overrides,
            "binprovider": installed.map_or("", |installed| &installed.binprovider),
            "abspath": installed.map(|installed| installed.abspath.to_string_lossy()).unwrap_or_default(),
            "version": installed.map_or("", |installed| &installed.version),
            "package_version": installed.map_or("", |installed| &installed.package_version),
            "url": installed.map_or("", |installed| &installed.url),
            "url_sha256": installed.map_or("", |installed| &installed.url_sha256),
            "sha256": installed.map_or("", |installed| &installed.sha256),
            "fingerprint": installed.map_or("", |installed| &installed.fingerprint),
            "request_digest": installed.map_or("", |installed| &installed.request_digest),
            "needs_wrapper": installed.is_some_and(|installed| installed.needs_wrapper),
            "status": self.status(),
            "retry_at": self.backoff.retry_at.map(clock::format),
            "attempt_count": self.backoff.attempt_count,
            "last_error": self.backoff.last_error,
            "created_at": clock::format(self.created_at),
            "modified_at": clock::format(self.modified_at),
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
    fn the_wait_doubles_with_each_failure_up_to_a_day() {
        let waits: Vec<_> = (1..=10).map(|failures| backoff(failures).as_mins()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }

    #[test]
    fn ignores_a_retry_time_that_only_a_wrong_clock_can_have_set() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let queued = Backoff::default().fail("d1".to_owned(), "no network".to_owned(), now);
        let at = now + SignedDuration::from_mins(5);
        assert_eq!(queued.pending_retry(now), Some(at));
        assert_eq!(queued.pending_retry(at), None);
        assert_eq!(queued.pending_retry(now - SignedDuration::from_mins(1)), None, "the clock was set back");
    }

    #[test]
    fn the_failures_of_one_request_do_not_hold_back_another() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let fail = |queued: Backoff, digest: &str| queued.fail(digest.to_owned(), String::new(), now);
        let twice = fail(fail(Backoff::default(), "d1"), "d1");
        assert_eq!(twice.pending_retry_of("d1", now), Some(now + 2 * BACKOFF));
        assert_eq!(twice.pending_retry_of("d2", now), None);
        assert_eq!(fail(twice, "d2").pending_retry_of("d2", now), Some(now + BACKOFF));
    }

    #[test]
    fn a_success_resets_the_count_of_failures() {
        let now = Timestamp::UNIX_EPOCH;
        let mut binary = Binary::new(BinaryId::from(0), MachineId::from(0), "rg", now);
        binary.fail(String::new(), "no network".to_owned(), now);
        binary.install(installed("14.0"), now);
        binary.fail(String::new(), "gone".to_owned(), now);
        assert_eq!((binary.num_uses_failed, binary.num_uses_succeeded), (2, 1));
        assert_eq!(binary.backoff.attempt_count, 1);
        assert_eq!(binary.installed(), Some(&installed("14.0")), "a failure leaves it installed");
    }

    #[test]
    fn only_a_program_of_an_app_bundle_is_in_an_app_bundle() {
        assert!(is_in_app_bundle(Path::new("/Applications/Chrome.app/Contents/MacOS/Chrome")));
        assert!(!is_in_app_bundle(Path::new("/Applications/Chrome.app/Contents/Resources/x")));
    }

    fn installed(version: &str) -> Installed {
        Installed {
            binprovider: ProviderName::from_static("env"),
            abspath: PathBuf::from("/usr/bin/rg"),
            version: version.to_owned(),
            package_version: String::new(),
            url: String::new(),
            url_sha256: String::new(),
            sha256: String::new(),
            fingerprint: "1:2".to_owned(),
            request_digest: String::new(),
            needs_wrapper: false,
        }
    }
}
