//! A process that rigup started, or a rigup command itself.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::clock;
use crate::duration;
use crate::model::error_line;
use crate::model::id::{BinaryId, InterfaceId, MachineId, ProcessId};
use crate::model::text_enum::text_enum;
use crate::model::warnings::Warnings;

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

impl ProcessType {
    /// Returns whether the command of such a process can be run again: not that of rigup itself.
    pub(crate) const fn is_replayable(self) -> bool {
        !matches!(self, Self::Cli | Self::Supervisord)
    }
}

text_enum! {
    /// The reason why a process exited.
    #[derive(Default)]
    pub enum ExitReason {
        /// The process exited by itself.
        Exited = "exited",
        /// A signal that rigup did not send killed the process.
        Signalled = "signalled",
        /// The process reached its timeout, and rigup terminated it.
        Timeout = "timeout",
        /// The process and its descendants exceeded their memory limit, and rigup killed them.
        Memory = "memory",
        /// rigup terminated the process because of a signal to rigup, `process kill`, or output that exceeded its
        /// limit.
        Stopped = "stopped",
        /// No process observed the exit. The exit code is unknown, and never assumed to be 0.
        #[default]
        Lost = "lost",
        /// The process could not be started.
        SpawnFailed = "spawn_failed",
    }
}

/// The exit code of a hook that skips.
pub(crate) const SKIPPED: i32 = 10;

/// The identity of a process: no two processes have the same three values. They are compared exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The process id.
    pub pid: u32,
    /// When the process started, in clock ticks since boot.
    pub start_ticks: u64,
    /// The id of the boot in which it runs.
    pub boot_id: String,
}

/// The specification of a process: what to run, and how. It is complete before the process starts.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessSpec {
    /// The kind of the process.
    pub process_type: ProcessType,
    /// The plugin of a hook; empty for other processes.
    pub plugin: String,
    /// The file name of a hook; empty for other processes.
    pub hook_name: String,
    /// The program and its arguments.
    pub cmd: Vec<String>,
    /// The working directory.
    pub pwd: PathBuf,
    /// The variables that rigup added to the environment, with secrets masked.
    pub env: Map<String, Value>,
    /// How long the process may run; `None` for no limit.
    pub timeout: Option<Duration>,
    /// The run dir; `None` for rigup itself, for processes that use the terminal, and after it was removed.
    pub run_dir: Option<PathBuf>,
    /// The values of a run; `None` for a process that is not a run.
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

    /// Returns whether this is the hook of a daemon, which runs until it is told to stop.
    fn is_daemon_hook(&self) -> bool {
        let has = |part: &str| self.hook_name.contains(part);
        (has(".bg.") || has("__background")) && !has(".finite.")
    }
}

/// The values that `rigup start` adds to a command to make it a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSpec {
    /// The name of this kind of run.
    pub slug: String,
    /// A description by the caller.
    pub description: String,
    /// How long the run dir is kept after the exit; `None` for no limit.
    pub ttl: Option<Duration>,
}

/// The exit of a process, with the last lines of its logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessExit {
    /// When the process exited.
    pub ended_at: Timestamp,
    /// The exit code: 0 to 255, or 128 + N after signal N; `None` if it is unknown.
    pub exit_code: Option<i32>,
    /// The signal that killed the process.
    pub signal: Option<i32>,
    /// The reason why the process exited.
    pub reason: ExitReason,
    /// The last lines of standard output.
    pub stdout_tail: String,
    /// The last lines of standard error.
    pub stderr_tail: String,
    /// The size of standard output in bytes.
    pub stdout_bytes: u64,
    /// The size of standard error in bytes.
    pub stderr_bytes: u64,
    /// CPU time and memory; `None` if they were not measured.
    pub usage: Option<Usage>,
}

/// The CPU time and memory of a process and of the children that it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Peak resident memory in bytes. The kernel counts from the fork, so this is at least as much as rigup itself used
    /// at that time.
    pub max_rss: u64,
    /// CPU time in user mode, milliseconds.
    pub user_ms: u64,
    /// CPU time in the kernel, milliseconds.
    pub sys_ms: u64,
}

impl ProcessExit {
    /// Returns the exit of a process that no process observed.
    pub fn lost(now: Timestamp) -> Self {
        Self::without_code(ExitReason::Lost, now)
    }

    /// Returns the exit of a process that could not be started; `message` becomes its stderr.
    pub fn spawn_failed(message: String, now: Timestamp) -> Self {
        Self { stderr_tail: message, ..Self::without_code(ExitReason::SpawnFailed, now) }
    }

    /// Returns the exit of a process that was not started because rigup was interrupted first.
    pub fn not_started(now: Timestamp) -> Self {
        Self::without_code(ExitReason::Stopped, now)
    }

    /// Returns the exit of a process with this exit code.
    pub fn exited(exit_code: i32, now: Timestamp) -> Self {
        Self { exit_code: Some(exit_code), ..Self::without_code(ExitReason::Exited, now) }
    }

    /// Returns the line of standard error that says why the process failed, or `None` if there is none.
    pub fn error_line(&self) -> Option<Cow<'_, str>> {
        error_line::find(&self.stderr_tail)
    }

    fn without_code(reason: ExitReason, ended_at: Timestamp) -> Self {
        Self { ended_at, reason, ..Self::default() }
    }
}

/// The state of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessState {
    /// Not started yet.
    Queued,
    /// Started, and not exited yet.
    Running(Running),
    /// Exited. A process that was never started has no [`Running`].
    Exited(Option<Running>, ProcessExit),
}

impl ProcessState {
    /// Returns the `status` of the record, the identity and start time, and the exit.
    pub(crate) const fn parts(&self) -> (&'static str, Option<&Running>, Option<&ProcessExit>) {
        match self {
            Self::Queued => ("queued", None, None),
            Self::Running(running) => ("running", Some(running), None),
            Self::Exited(running, exit) => ("exited", running.as_ref(), Some(exit)),
        }
    }
}

/// The identity and start time of a process that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its identity.
    pub identity: Identity,
    /// When it started.
    pub started_at: Timestamp,
}

/// A stored process.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// The id, which is also in the process's variable `RIGUP_PROCESS_ID`.
    pub id: ProcessId,
    /// The machine on which it runs.
    pub machine_id: MachineId,
    /// The process that started it.
    pub parent_id: Option<ProcessId>,
    /// The binary that it installs or runs.
    pub binary_id: Option<BinaryId>,
    /// The network interface of the machine when it started.
    pub iface_id: Option<InterfaceId>,
    /// The specification.
    pub spec: ProcessSpec,
    /// Its state.
    pub state: ProcessState,
    /// The warnings about it.
    pub warnings: Warnings,
    /// The id of the data dir in which it was recorded first. Records that rigup prints do not have it.
    pub data_dir_id: String,
    /// When it was queued.
    pub created_at: Timestamp,
}

impl Process {
    /// Returns a queued process, which is stored before the process is started.
    pub fn queued(id: ProcessId, machine_id: MachineId, spec: ProcessSpec, now: Timestamp) -> Self {
        Self {
            id,
            machine_id,
            parent_id: None,
            binary_id: None,
            iface_id: None,
            spec,
            state: ProcessState::Queued,
            warnings: Warnings::default(),
            data_dir_id: String::new(),
            created_at: now,
        }
    }

    /// Returns the process as running.
    #[must_use]
    pub fn into_running(self, identity: Identity, started_at: Timestamp) -> Self {
        Self { state: ProcessState::Running(Running { identity, started_at }), ..self }
    }

    /// Returns the process as exited. An exit is final: a process that has already exited is returned unchanged.
    #[must_use]
    pub fn into_exited(self, exit: ProcessExit) -> Self {
        let state = match self.state {
            ProcessState::Queued => ProcessState::Exited(None, exit),
            ProcessState::Running(running) => ProcessState::Exited(Some(running), exit),
            exited @ ProcessState::Exited(..) => exited,
        };
        Self { state, ..self }
    }

    /// Returns the identity and the start time, or `None` if the process was never started.
    pub fn running(&self) -> Option<&Running> {
        self.state.parts().1
    }

    /// Returns the exit, or `None` if the process has not exited.
    pub fn exit(&self) -> Option<&ProcessExit> {
        self.state.parts().2
    }

    /// Returns the `status` of the record.
    pub const fn status(&self) -> &'static str {
        self.state.parts().0
    }

    /// Returns the `state` of the record: `queued`, `running`, `finished`, `killed` or `died`.
    pub fn run_state(&self) -> &'static str {
        match &self.state {
            ProcessState::Queued => "queued",
            ProcessState::Running(_) => "running",
            ProcessState::Exited(_, exit) => match exit.reason {
                ExitReason::Stopped | ExitReason::Timeout | ExitReason::Memory => "killed",
                ExitReason::Exited if self.has_success_code(exit) => "finished",
                _ => "died",
            },
        }
    }

    /// Returns whether the process exited and was not successful: it exited with a code other than 0, or 10 for a hook;
    /// a signal or its time limit ended it; it was lost or could not be started; it was told to stop, but not cleanly.
    pub fn has_failed(&self) -> bool {
        self.exit().is_some() && self.run_state() != "finished" && !self.is_clean_stop()
    }

    /// Returns whether the process exited because it was told to stop, with a code of success from its own handler or
    /// killed by TERM, and had no work left to do: not so a hook other than a daemon. It may also not have been started.
    pub(crate) fn is_clean_stop(&self) -> bool {
        const KILLED_BY_TERM: i32 = 143;
        let is_unfinished = self.spec.process_type == ProcessType::Hook && !self.spec.is_daemon_hook();
        self.exit().is_some_and(|exit| {
            let is_clean = self.has_success_code(exit) || exit.exit_code == Some(KILLED_BY_TERM);
            exit.reason == ExitReason::Stopped && (self.running().is_none() || (is_clean && !is_unfinished))
        })
    }

    /// Returns whether a hook did no work: it exited by itself with the code of one that skips, or rigup did not start it.
    pub(crate) fn is_skipped(&self) -> bool {
        let is_without_work = |exit: &ProcessExit| match exit.reason {
            ExitReason::Exited => exit.exit_code == Some(SKIPPED),
            ExitReason::Stopped => self.running().is_none(),
            _ => false,
        };
        self.spec.process_type == ProcessType::Hook && self.exit().is_some_and(is_without_work)
    }

    /// Returns whether an exit has the code 0, or that of a hook that skipped.
    fn has_success_code(&self, exit: &ProcessExit) -> bool {
        let is_hook = self.spec.process_type == ProcessType::Hook;
        exit.exit_code == Some(0) || (is_hook && exit.exit_code == Some(SKIPPED))
    }

    /// Returns a title for the process: the plugin, file and binary of a hook, otherwise the command.
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

    /// Returns the name of the binary in the arguments of a hook, or an empty string.
    pub fn subject(&self) -> &str {
        self.spec.cmd.iter().find_map(|word| word.strip_prefix("--name=")).unwrap_or_default()
    }

    /// Returns the record.
    pub fn to_record(&self) -> Value {
        // This does not fail, because all keys are strings.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The record.
impl Serialize for Process {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let running = self.running();
        let exit = self.exit();
        let usage = exit.and_then(|exit| exit.usage);
        let run = self.spec.run.as_ref();
        let mut record = serializer.serialize_map(None)?;
        record.serialize_entry("type", "Process")?;
        record.serialize_entry("id", &self.id)?;
        record.serialize_entry("machine_id", &self.machine_id)?;
        record.serialize_entry("parent_id", &self.parent_id)?;
        record.serialize_entry("binary_id", &self.binary_id)?;
        record.serialize_entry("iface_id", &self.iface_id)?;
        record.serialize_entry("process_type", self.spec.process_type.as_str())?;
        record.serialize_entry("plugin", &self.spec.plugin)?;
        record.serialize_entry("hook_name", &self.spec.hook_name)?;
        record.serialize_entry("slug", run.map_or("", |run| &run.slug))?;
        record.serialize_entry("description", run.map_or("", |run| &run.description))?;
        record.serialize_entry("ttl_seconds", &run.and_then(|run| run.ttl).map(duration::seconds))?;
        record.serialize_entry("max_runtime_seconds", &run.and(self.spec.timeout).map(duration::seconds))?;
        record.serialize_entry("cmd", &self.spec.cmd)?;
        record.serialize_entry("pwd", &self.spec.pwd.to_string_lossy())?;
        record.serialize_entry("env", &self.spec.env)?;
        record.serialize_entry("timeout", &self.spec.timeout.map(duration::seconds))?;
        record.serialize_entry("run_dir", &self.spec.run_dir.as_ref().map(|path| path.to_string_lossy()))?;
        record.serialize_entry("pid", &running.map(|running| running.identity.pid))?;
        record.serialize_entry("start_ticks", &running.map(|running| running.identity.start_ticks))?;
        record.serialize_entry("boot_id", &running.map(|running| running.identity.boot_id.as_str()))?;
        record.serialize_entry("created_at", &clock::format(self.created_at))?;
        record.serialize_entry("started_at", &running.map(|running| clock::format(running.started_at)))?;
        record.serialize_entry("ended_at", &exit.map(|exit| clock::format(exit.ended_at)))?;
        record.serialize_entry("exit_code", &exit.and_then(|exit| exit.exit_code))?;
        record.serialize_entry("signal", &exit.and_then(|exit| exit.signal))?;
        record.serialize_entry("exit_reason", &exit.map(|exit| exit.reason.as_str()))?;
        record.serialize_entry("stdout_tail", exit.map_or("", |exit| &exit.stdout_tail))?;
        record.serialize_entry("stderr_tail", exit.map_or("", |exit| &exit.stderr_tail))?;
        record.serialize_entry("stdout_bytes", &exit.map(|exit| exit.stdout_bytes))?;
        record.serialize_entry("stderr_bytes", &exit.map(|exit| exit.stderr_bytes))?;
        record.serialize_entry("max_rss", &usage.map(|usage| usage.max_rss))?;
        record.serialize_entry("user_ms", &usage.map(|usage| usage.user_ms))?;
        record.serialize_entry("sys_ms", &usage.map(|usage| usage.sys_ms))?;
        record.serialize_entry("warnings", &self.warnings)?;
        record.serialize_entry("status", &self.status())?;
        record.serialize_entry("state", &self.run_state())?;
        record.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_final() {
        let now = Timestamp::UNIX_EPOCH;
        let process = Process::queued(ProcessId::from(0), MachineId::from(0), spec(), now)
            .into_exited(ProcessExit::exited(3, now));
        let result = process.clone().into_exited(ProcessExit::lost(now));
        assert_eq!(result, process);
    }

    #[test]
    fn a_lost_process_has_no_exit_code() {
        let now = Timestamp::UNIX_EPOCH;
        let record = Process::queued(ProcessId::from(0), MachineId::from(0), spec(), now)
            .into_exited(ProcessExit::lost(now))
            .to_record();
        assert_eq!(record["exit_reason"], "lost");
        assert_eq!(record["exit_code"], Value::Null);
    }

    fn spec() -> ProcessSpec {
        ProcessSpec::new(ProcessType::Hook, vec!["sh".to_owned()], "/")
    }
}
