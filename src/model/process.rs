//! One execution of something rigup started, or of rigup itself, from the intent to its true ending.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::clock;
use crate::model::id::{BinaryId, InterfaceId, MachineId, ProcessId};
use crate::model::text_enum::text_enum;

text_enum! {
    /// The kind of a process.
    pub enum ProcessType {
        /// A rigup command.
        Cli = "cli",
        /// A hook.
        Hook = "hook",
        /// A program that a user runs through rigup.
        Binary = "binary",
        /// A worker of an application that keeps its records in this store.
        Worker = "worker",
        /// The orchestrator of such an application.
        Orchestrator = "orchestrator",
        /// A supervisor of daemons.
        Supervisord = "supervisord",
    }
}

text_enum! {
    /// Why a process ended.
    pub enum ExitReason {
        /// The process exited by itself.
        Exited = "exited",
        /// A signal that rigup did not send killed the process.
        Signalled = "signalled",
        /// The process reached its timeout, and rigup terminated it.
        Timeout = "timeout",
        /// rigup terminated the process on request: a signal to rigup, `process kill`, or output beyond its limit.
        Stopped = "stopped",
        /// No process observed the exit. The exit code is unknown, and never taken as 0.
        Lost = "lost",
        /// The process could not be started.
        SpawnFailed = "spawn_failed",
    }
}

/// The exit code of a hook that had nothing to do.
pub const SKIPPED: i32 = 10;

/// Who a process is: the three together never name two processes. Compared exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The process id.
    pub pid: u32,
    /// When the process started, in clock ticks since boot.
    pub start_ticks: u64,
    /// The boot it runs in.
    pub boot_id: String,
}

/// What was asked to be run. Fixed before the process exists.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessSpec {
    /// What kind of process it is.
    pub process_type: ProcessType,
    /// The plugin a hook belongs to; else empty.
    pub plugin: String,
    /// The hook's file name; else empty.
    pub hook_name: String,
    /// The program and its arguments.
    pub cmd: Vec<String>,
    /// The working directory.
    pub pwd: PathBuf,
    /// What rigup added to the environment, secrets masked.
    pub env: Map<String, Value>,
    /// How long it may take; none for as long as it likes.
    pub timeout: Option<Duration>,
    /// The folder with its `cmd.sh`, `stdout.log`, `stderr.log`; none for rigup itself, and for what uses the terminal.
    pub run_dir: Option<PathBuf>,
    /// What makes it a detached run; none for all else.
    pub run: Option<RunSpec>,
}

impl ProcessSpec {
    /// Returns the spec of a process that runs `cmd` in `pwd`, without a timeout, a run dir or a plugin.
    pub fn new(process_type: ProcessType, cmd: Vec<String>, pwd: impl Into<PathBuf>) -> Self {
        Self {
            process_type,
            plugin: String::new(),
            hook_name: String::new(),
            cmd,
            pwd: pwd.into(),
            env: Map::new(),
            timeout: None,
            run_dir: None,
            run: None,
        }
    }
}

/// What is asked of a detached run, besides its command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSpec {
    /// The name that runs of one kind share.
    pub slug: String,
    /// What it is for, in the caller's words.
    pub description: String,
    /// How long its run dir is kept after its end; none for ever.
    pub ttl: Option<Duration>,
}

/// How a process ended, and what it left in its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessExit {
    /// When.
    pub ended_at: Timestamp,
    /// 0 to 255, 128+N for signal N; none where nobody knows.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why.
    pub reason: ExitReason,
    /// The last lines of standard output.
    pub stdout_tail: String,
    /// The last lines of standard error.
    pub stderr_tail: String,
    /// The size of standard output in bytes.
    pub stdout_bytes: u64,
    /// The size of standard error in bytes.
    pub stderr_bytes: u64,
    /// CPU and memory; none where nobody measured.
    pub usage: Option<Usage>,
}

/// What a process and the children it waited for used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Peak resident memory in bytes. The kernel counts from before the program was loaded, so that it is never less
    /// than what rigup itself had by then.
    pub max_rss: u64,
    /// CPU time in user mode, milliseconds.
    pub user_ms: u64,
    /// CPU time in the kernel, milliseconds.
    pub sys_ms: u64,
}

impl ProcessExit {
    /// The end of a process that nobody saw.
    pub fn lost(now: Timestamp) -> Self {
        Self::without_code(ExitReason::Lost, now)
    }

    /// The end of a process that never was: the message stands in its stderr.
    pub fn spawn_failed(message: String, now: Timestamp) -> Self {
        Self { stderr_tail: message, ..Self::without_code(ExitReason::SpawnFailed, now) }
    }

    /// The end of a process that was never started, because somebody asked to stop before.
    pub fn not_started(now: Timestamp) -> Self {
        Self::without_code(ExitReason::Stopped, now)
    }

    /// Whether a process that was asked to end did so: by a handler of its own, or without one.
    pub fn is_clean_stop(&self) -> bool {
        const POLITE: [i32; 2] = [0, 143];
        self.reason == ExitReason::Stopped && self.exit_code.is_some_and(|code| POLITE.contains(&code))
    }

    /// The end of a process with an exit code of its own.
    pub fn exited(exit_code: i32, now: Timestamp) -> Self {
        Self { exit_code: Some(exit_code), ..Self::without_code(ExitReason::Exited, now) }
    }

    fn without_code(reason: ExitReason, ended_at: Timestamp) -> Self {
        Self {
            ended_at,
            exit_code: None,
            signal: None,
            reason,
            stdout_tail: String::new(),
            stderr_tail: String::new(),
            stdout_bytes: 0,
            stderr_bytes: 0,
            usage: None,
        }
    }
}

/// Where a process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessState {
    /// Intended; not started yet.
    Queued,
    /// Started.
    Running(Running),
    /// Over. A process that never started has no [`Running`].
    Exited(Option<Running>, ProcessExit),
}

/// A process that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Who it is.
    pub identity: Identity,
    /// When it started.
    pub started_at: Timestamp,
}

/// A stored process.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// The row's id; the process finds it in `RIGUP_PROCESS_ID`.
    pub id: ProcessId,
    /// The machine it runs on.
    pub machine_id: MachineId,
    /// The process that asked for it.
    pub parent_id: Option<ProcessId>,
    /// The binary it is about.
    pub binary_id: Option<BinaryId>,
    /// The network interface it ran with.
    pub iface_id: Option<InterfaceId>,
    /// What was asked to be run.
    pub spec: ProcessSpec,
    /// Where it stands.
    pub state: ProcessState,
    /// When the row was made.
    pub created_at: Timestamp,
}

impl Process {
    /// The intent to run something, to be stored before anything is started.
    pub fn queued(id: ProcessId, machine_id: MachineId, spec: ProcessSpec, now: Timestamp) -> Self {
        Self {
            id,
            machine_id,
            parent_id: None,
            binary_id: None,
            iface_id: None,
            spec,
            state: ProcessState::Queued,
            created_at: now,
        }
    }

    /// It was started.
    #[must_use]
    pub fn into_running(self, identity: Identity, started_at: Timestamp) -> Self {
        Self { state: ProcessState::Running(Running { identity, started_at }), ..self }
    }

    /// It is over. An ending is final: one that is over already stays as it is.
    #[must_use]
    pub fn into_exited(self, exit: ProcessExit) -> Self {
        let state = match self.state {
            ProcessState::Queued => ProcessState::Exited(None, exit),
            ProcessState::Running(running) => ProcessState::Exited(Some(running), exit),
            over @ ProcessState::Exited(..) => over,
        };
        Self { state, ..self }
    }

    /// The process, while and after it ran.
    pub fn running(&self) -> Option<&Running> {
        match &self.state {
            ProcessState::Queued => None,
            ProcessState::Running(running) => Some(running),
            ProcessState::Exited(running, _) => running.as_ref(),
        }
    }

    /// How it ended, if it did.
    pub fn exit(&self) -> Option<&ProcessExit> {
        match &self.state {
            ProcessState::Exited(_, exit) => Some(exit),
            ProcessState::Queued | ProcessState::Running(_) => None,
        }
    }

    /// The word in records and in the store.
    pub const fn status(&self) -> &'static str {
        match self.state {
            ProcessState::Queued => "queued",
            ProcessState::Running(_) => "running",
            ProcessState::Exited(..) => "exited",
        }
    }

    /// Where it stands, in one word: how a run is judged, derived from nothing but its record.
    pub fn run_state(&self) -> &'static str {
        match &self.state {
            ProcessState::Queued => "queued",
            ProcessState::Running(_) => "running",
            ProcessState::Exited(_, exit) => match exit.reason {
                ExitReason::Stopped | ExitReason::Timeout => "killed",
                ExitReason::Exited if exit.exit_code == Some(0) || self.is_skipped(exit) => "finished",
                ExitReason::Exited | ExitReason::Signalled | ExitReason::Lost | ExitReason::SpawnFailed => {
                    "died"
                }
            },
        }
    }

    /// Whether a hook said that it had nothing to do.
    fn is_skipped(&self, exit: &ProcessExit) -> bool {
        self.spec.process_type == ProcessType::Hook && exit.exit_code == Some(SKIPPED)
    }

    /// What a person calls it: a hook by its plugin, its file and the name it was asked for, all else by its command.
    pub fn title(&self) -> String {
        if self.spec.hook_name.is_empty() {
            let command = self.spec.cmd.join(" ");
            return match &self.spec.run {
                Some(run) => format!("{}: {command}", run.slug),
                None => command,
            };
        }
        let subject = self.subject();
        format!("{}/{} {subject}", self.spec.plugin, self.spec.hook_name).trim_end().to_owned()
    }

    /// The name that a hook was asked for; else empty.
    pub fn subject(&self) -> &str {
        self.spec.cmd.iter().find_map(|it| it.strip_prefix("--name=")).unwrap_or_default()
    }

    /// The record as JSONL shows it.
    pub fn to_record(&self) -> Value {
        let running = self.running();
        let exit = self.exit();
        let usage = exit.and_then(|it| it.usage);
        let run = self.spec.run.as_ref();
        json!({
            "type": "Process",
            "id": self.id,
            "machine_id": self.machine_id,
            "parent_id": self.parent_id,
            "binary_id": self.binary_id,
            "iface_id": self.iface_id,
            "process_type": self.spec.process_type.as_str(),
            "plugin": self.spec.plugin,
            "hook_name": self.spec.hook_name,
            "slug": run.map_or("", |it| &it.slug),
            "description": run.map_or("", |it| &it.description),
            "ttl_seconds": run.and_then(|it| it.ttl).map(|it| it.as_secs()),
            "max_runtime_seconds": run.and(self.spec.timeout).map(|it| it.as_secs()),
            "cmd": self.spec.cmd,
            "pwd": self.spec.pwd.to_string_lossy(),
            "env": self.spec.env,
            "timeout": self.spec.timeout.map(|it| it.as_secs()),
            "run_dir": self.spec.run_dir.as_ref().map(|it| it.to_string_lossy()),
            "pid": running.map(|it| it.identity.pid),
            "start_ticks": running.map(|it| it.identity.start_ticks),
            "boot_id": running.map(|it| it.identity.boot_id.as_str()),
            "created_at": clock::spell(self.created_at),
            "started_at": running.map(|it| clock::spell(it.started_at)),
            "ended_at": exit.map(|it| clock::spell(it.ended_at)),
            "exit_code": exit.and_then(|it| it.exit_code),
            "signal": exit.and_then(|it| it.signal),
            "exit_reason": exit.map(|it| it.reason.as_str()),
            "stdout_tail": exit.map_or("", |it| &it.stdout_tail),
            "stderr_tail": exit.map_or("", |it| &it.stderr_tail),
            "stdout_bytes": exit.map(|it| it.stdout_bytes),
            "stderr_bytes": exit.map(|it| it.stderr_bytes),
            "max_rss": usage.map(|it| it.max_rss),
            "user_ms": usage.map(|it| it.user_ms),
            "sys_ms": usage.map(|it| it.sys_ms),
            "status": self.status(),
            "state": self.run_state(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_final() {
        let now = Timestamp::UNIX_EPOCH;
        let process = Process::queued(ProcessId::from_u128(0), MachineId::from_u128(0), spec(), now)
            .into_exited(ProcessExit::exited(3, now));
        let again = process.clone().into_exited(ProcessExit::lost(now));
        assert_eq!(again, process);
    }

    #[test]
    fn an_end_that_nobody_saw_has_no_exit_code() {
        let now = Timestamp::UNIX_EPOCH;
        let record = Process::queued(ProcessId::from_u128(0), MachineId::from_u128(0), spec(), now)
            .into_exited(ProcessExit::lost(now))
            .to_record();
        assert_eq!(record["exit_reason"], "lost");
        assert_eq!(record["exit_code"], Value::Null);
    }

    fn spec() -> ProcessSpec {
        ProcessSpec::new(ProcessType::Hook, vec!["sh".to_owned()], "/")
    }
}
