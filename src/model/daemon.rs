//! A daemon: the declaration of a supervised command, and what is stored about it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::clock;
use crate::model::attributes::ProcessAttributes;
use crate::model::daemon_hooks::DaemonHooks;
use crate::model::health::{Health, HealthCheck};
use crate::model::id::ProcessId;
use crate::model::lifecycle::LifecycleEvent;
use crate::model::process::Process;
use crate::model::readiness::Readiness;
use crate::model::restart_history::RestartHistory;
use crate::model::secret::{MASKED, is_secret_name};
use crate::model::text_enum::text_enum;

/// The longest name of a daemon, in characters.
const MAX_NAME: usize = 63;

/// The name of a daemon: 1 to 63 characters, without `/` and control characters; blanks are allowed inside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DaemonName(String);

/// An error about a text that is not the name of a daemon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a daemon; use 1 to 63 characters without `/`")]
pub struct InvalidDaemonName(String);

impl FromStr for DaemonName {
    type Err = InvalidDaemonName;

    fn from_str(text: &str) -> Result<Self, InvalidDaemonName> {
        let is_valid = (1..=MAX_NAME).contains(&text.chars().count())
            && text.trim() == text
            && !text.chars().any(|letter| letter == '/' || letter.is_control())
            && !text.starts_with(['-', '.']);
        if is_valid { Ok(Self(text.to_owned())) } else { Err(InvalidDaemonName(text.to_owned())) }
    }
}

impl TryFrom<String> for DaemonName {
    type Error = InvalidDaemonName;

    fn try_from(text: String) -> Result<Self, InvalidDaemonName> {
        text.parse()
    }
}

impl From<DaemonName> for String {
    fn from(name: DaemonName) -> Self {
        name.0
    }
}

impl fmt::Display for DaemonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::ops::Deref for DaemonName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// The declaration of a daemon. Every path is absolute, and every default is filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of a manifest")]
pub struct DaemonSpec {
    /// Its name.
    pub name: DaemonName,
    /// Where it is declared: `file:line`, or `file` with the key of the table.
    pub source: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The working directory.
    pub working_dir: PathBuf,
    /// Variables besides those of the caller.
    pub env: BTreeMap<String, String>,
    /// The binaries to install before the start.
    pub binaries: Vec<String>,
    /// The daemons that it depends on.
    pub depends_on: Vec<Dependency>,
    /// How it shows that it is ready; `None`: as soon as it runs.
    pub ready: Option<Readiness>,
    /// How it shows that it works.
    pub healthcheck: Option<HealthCheck>,
    /// When it is started again after its exit.
    pub restart: Restart,
    /// The exit codes that count as success.
    pub success_exit_codes: Vec<i32>,
    /// The delay before the first restart, which doubles with every further one.
    pub restart_delay: Duration,
    /// The longest delay.
    pub restart_delay_max: Duration,
    /// The uptime after which the delay is the first one again.
    pub restart_reset: Duration,
    /// How many restarts within which time make it fail for good.
    pub restart_limit: Option<(u32, Duration)>,
    /// The signal that ends it, such as `TERM`.
    pub stop_signal: String,
    /// How long it may take to end before it is killed.
    pub stop_grace_period: Duration,
    /// Whether its end stops all daemons.
    pub exit_on_end: bool,
    /// Whether its failure stops all daemons.
    pub exit_on_failure: bool,
    /// Whether `rigup up` without names starts it.
    pub autostart: bool,
    /// Whether it is restarted at once if an install changes one of its binaries, and not by the next `rigup up`.
    pub restart_on_update: bool,
    /// Whether it is an orchestrator rather than a worker.
    pub is_orchestrator: bool,
    /// The limits of its logs.
    pub log_limits: LogLimits,
    /// Which replica of a declaration it is; `None` if that has only one.
    pub replica: Option<Replica>,
    /// Its user, its priority and its limits.
    pub attributes: ProcessAttributes,
    /// How much memory it and its descendants may use, in bytes.
    pub memory_max: Option<u64>,
    /// The command that stops it in place of the signal.
    pub stop_command: Option<Vec<String>>,
    /// Whether only the daemon itself, and nothing that it started, gets the signal.
    pub is_signalled_alone: bool,
    /// The hooks of its events.
    pub hooks: DaemonHooks,
}

/// A replica of a declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The declared name.
    pub of: DaemonName,
    /// Its number, from 0.
    pub index: u32,
}

/// The limits of each log of a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// The size from which a log is rotated, in bytes.
    pub max_size: u64,
    /// The number of files that are kept, with the one that the daemon writes to.
    pub max_files: u32,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { max_size: 10 << 20, max_files: 5 }
    }
}

impl DaemonSpec {
    /// The grace period of a daemon.
    pub(crate) const STOP_GRACE_PERIOD: Duration = Duration::from_secs(10);
    /// The delay before the first restart.
    pub(crate) const RESTART_DELAY: Duration = Duration::from_secs(1);
    /// The longest delay before a restart.
    pub(crate) const RESTART_DELAY_MAX: Duration = Duration::from_mins(1);
    /// The uptime after which the delay is the first one again.
    pub(crate) const RESTART_RESET: Duration = Duration::from_secs(10);

    /// Returns the declaration of a daemon with the default of every field.
    pub(crate) fn new(name: DaemonName, source: String, command: Vec<String>, working_dir: PathBuf) -> Self {
        Self {
            name,
            source,
            command,
            working_dir,
            env: BTreeMap::new(),
            binaries: Vec::new(),
            depends_on: Vec::new(),
            ready: None,
            healthcheck: None,
            restart: Restart::OnFailure,
            success_exit_codes: vec![0],
            restart_delay: Self::RESTART_DELAY,
            restart_delay_max: Self::RESTART_DELAY_MAX,
            restart_reset: Self::RESTART_RESET,
            restart_limit: None,
            stop_signal: "TERM".to_owned(),
            stop_grace_period: Self::STOP_GRACE_PERIOD,
            exit_on_end: false,
            exit_on_failure: false,
            autostart: true,
            restart_on_update: false,
            is_orchestrator: false,
            log_limits: LogLimits::default(),
            replica: None,
            attributes: ProcessAttributes::default(),
            memory_max: None,
            stop_command: None,
            is_signalled_alone: false,
            hooks: DaemonHooks::default(),
        }
    }

    /// Whether an execution with this exit code has failed; without one, it has.
    pub(crate) fn is_failure(&self, exit_code: Option<i32>) -> bool {
        !exit_code.is_some_and(|code| self.success_exit_codes.contains(&code))
    }

    /// Whether its exit stops all daemons.
    pub(crate) fn stops_all(&self, is_failure: bool) -> bool {
        self.exit_on_end || is_failure && self.exit_on_failure
    }

    /// Returns the name in the declaration, which all replicas share.
    pub fn declared_name(&self) -> &DaemonName {
        self.replica.as_ref().map_or(&self.name, |replica| &replica.of)
    }

    /// Returns its number among the replicas of its declaration, which is 0 if it has no others.
    pub fn replica_index(&self) -> u32 {
        self.replica.as_ref().map_or(0, |replica| replica.index)
    }

    /// Whether this name means the daemon: its own name, or the one that all replicas share.
    pub fn is_named(&self, name: &str) -> bool {
        *self.name == *name || **self.declared_name() == *name
    }

    /// Returns the digest of what only a restart applies: two declarations with the same one run in the same way. The store
    /// has it, because it has no secrets of the declaration.
    pub fn digest(&self) -> String {
        let limits = (&self.log_limits, &self.attributes, self.memory_max);
        let execution = (&self.command, &self.working_dir, &self.env, &self.binaries, limits);
        let text = serde_json::to_vec(&execution).unwrap_or_default();
        let mut digest = String::new();
        for byte in Sha256::digest(text) {
            let _ = write!(digest, "{byte:02x}");
        }
        digest
    }
}

/// A daemon that another one depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Its name.
    pub name: DaemonName,
    /// What it must have reached.
    pub condition: Condition,
    /// Whether the dependent cannot start without it.
    pub required: bool,
    /// Whether a restart of it by a command restarts the dependent, too.
    pub restart: bool,
}

/// The condition of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Nothing: only the order of the stop and restarts follow from the dependency, as after `rigup up --no-deps`.
    None,
    /// It runs.
    Started,
    /// It is ready.
    Ready,
    /// It is ready, and healthy if it has a health check.
    Healthy,
    /// It has exited with success.
    CompletedSuccessfully,
    /// It has exited with success, or has failed for good.
    Completed,
}

/// When a daemon is started again after its exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    No,
    /// After a failure.
    OnFailure,
    /// After every exit. It also starts again after the end of all daemons if it was stopped by hand.
    Always,
    /// After every exit. It stays stopped if it was stopped by hand.
    UnlessStopped,
}

impl Restart {
    /// Whether a daemon is started again after an exit that was not requested.
    pub(crate) fn follows(self, is_failure: bool) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure => is_failure,
            Self::Always | Self::UnlessStopped => true,
        }
    }
}

text_enum! {
    /// The status of a daemon.
    pub enum DaemonStatus {
        /// It does not run, because it is not wanted.
        Stopped = "stopped",
        /// It waits for its dependencies.
        Waiting = "waiting",
        /// It runs, and is not ready.
        Starting = "starting",
        /// It runs, and is ready.
        Running = "running",
        /// It waits for its restart.
        Backoff = "backoff",
        /// It is being stopped.
        Stopping = "stopping",
        /// It has ended with success.
        Exited = "exited",
        /// It has failed, and is not started again.
        Failed = "failed",
    }
}

impl DaemonStatus {
    /// Whether a process of the daemon runs.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping)
    }
}

text_enum! {
    /// What the user wants a daemon to be.
    pub enum Wanted {
        /// It is meant to run.
        Started = "started",
        /// It was stopped by hand, or is not started without being named.
        Stopped = "stopped",
    }
}

/// What is stored about a daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Daemon {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub source: String,
    /// Its declaration.
    pub spec: DaemonSpec,
    /// The digest of the declaration.
    pub digest: String,
    /// Whether it is meant to run.
    pub wanted: Wanted,
    /// Whether it was stopped by name, and has not been started since.
    pub is_stopped_by_hand: bool,
    /// Its status when the supervisor stored it last.
    pub status: DaemonStatus,
    /// Its current or last execution.
    pub process_id: Option<ProcessId>,
    /// When it became ready.
    pub ready_at: Option<Timestamp>,
    /// Its health when the supervisor stored it last.
    pub health: Health,
    /// How often it was restarted.
    pub restarts: u32,
    /// What its next restarts depend on.
    pub restart_history: RestartHistory,
    /// When it is started again.
    pub next_start_at: Option<Timestamp>,
    /// Why it failed last.
    pub last_error: String,
    /// The state of each of its binaries when its current or last execution was started.
    pub binaries: Map<String, Value>,
    /// Whether one of them has changed since then, while the execution runs.
    pub is_stale: bool,
}

impl Daemon {
    /// Returns a daemon that was never started.
    pub fn new(spec: DaemonSpec, wanted: Wanted) -> Self {
        Self {
            name: spec.name.to_string(),
            source: spec.source.clone(),
            digest: spec.digest(),
            spec,
            wanted,
            is_stopped_by_hand: false,
            status: DaemonStatus::Stopped,
            process_id: None,
            ready_at: None,
            health: Health::None,
            restarts: 0,
            restart_history: RestartHistory::default(),
            next_start_at: None,
            last_error: String::new(),
            binaries: Map::new(),
            is_stale: false,
        }
    }

    /// Forgets that it was stopped by name if it is now declared with `always`: a new supervisor starts it again.
    pub(crate) fn forget_stop(&mut self, spec: &DaemonSpec) {
        if self.is_stopped_by_hand && spec.restart == Restart::Always {
            self.wanted = if spec.autostart { Wanted::Started } else { Wanted::Stopped };
            self.is_stopped_by_hand = false;
        }
    }

    /// Returns its health, which only a daemon that runs has.
    pub fn current_health(&self) -> Health {
        if self.status.is_alive() { self.health } else { Health::None }
    }

    /// Returns the daemon without the values of variables that are secrets, as it is stored. The manifest has them.
    pub fn masked(mut self) -> Self {
        for (_, value) in self.spec.env.iter_mut().filter(|(name, _)| is_secret_name(name)) {
            MASKED.clone_into(value);
        }
        self
    }

    /// Returns the record of an event, which happens now: its name and time, and the other fields of the daemon's record.
    pub fn to_event_record(&self, event: LifecycleEvent, process: Option<&Process>) -> Value {
        let mut record = Map::new();
        record.insert("type".to_owned(), event.as_str().into());
        record.insert("at".to_owned(), clock::format(clock::now()).into());
        if let Value::Object(fields) = self.to_record(process) {
            record.extend(fields.into_iter().filter(|(key, _)| key != "type"));
        }
        Value::Object(record)
    }

    /// Returns the record of the daemon. `process` is its current or last execution.
    pub fn to_record(&self, process: Option<&Process>) -> Value {
        let (exit, running) = (process.and_then(Process::exit), process.and_then(Process::running));
        let running = running.filter(|_| exit.is_none());
        json!({
            "type": "Daemon",
            "name": self.name,
            "status": self.status,
            "ready": self.status == DaemonStatus::Running,
            "health": self.current_health(),
            "process_id": self.process_id,
            "pid": running.map(|running| running.identity.pid),
            "restarts": self.restarts,
            "exit_code": exit.and_then(|exit| exit.exit_code),
            "exit_reason": exit.map(|exit| exit.reason),
            "next_start_at": self.next_start_at.map(clock::format),
            "last_error": self.last_error,
            "stale": self.is_stale,
            "wanted": self.wanted,
            "source": self.source,
            "replica_of": self.spec.replica.as_ref().map(|replica| &replica.of),
            "memory_max": self.spec.memory_max,
            "memory_limit": self.spec.memory_max.map(|_| "polled"),
        })
    }
}
