//! One execution of one hook, from its record to its exit.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;
use crate::hook::{command, interpreter};
use crate::model::{
    BinaryId, InterfaceId, MachineId, PluginName, Process, ProcessExit, ProcessId, ProcessSpec, ProcessType,
};
use crate::plugin::builtin;
use crate::plugin::config::value::Variable;
use crate::plugin::discovery::{Hook, Start};
use crate::process::lock::folder::{self, PATIENCE};
use crate::process::run_dir::{self, RunDir};
use crate::process::signals::Interrupt;
use crate::process::spawn::{CommandSpec, Spawn};
use crate::process::supervise::Supervision;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// A hook that exits sooner is recorded only when it has exited.
pub(crate) const RECORD_AFTER: Duration = Duration::from_millis(20);

/// What the hooks of one rigup have in common.
#[derive(Debug)]
pub(crate) struct Runner<'a> {
    /// The folders and the caller's environment.
    pub settings: &'a Settings,
    /// The store in which a process is recorded before it is started.
    pub store: &'a Store,
    /// The machine.
    pub machine_id: MachineId,
    /// The network interface.
    pub iface_id: Option<InterfaceId>,
    /// The process of this rigup.
    pub parent_id: ProcessId,
    /// The settings of the plugins, by plugin.
    pub variables: &'a HashMap<PluginName, Vec<Variable>>,
    /// The interrupts of this rigup.
    pub interrupt: &'a Interrupt,
}

/// A hook to run.
#[derive(Debug)]
pub(crate) struct HookJob<'a> {
    /// The hook.
    pub hook: &'a Hook,
    /// Its arguments, one argv item each.
    pub arguments: Vec<OsString>,
    /// Its own folder.
    pub cwd: PathBuf,
    /// The binary that it installs.
    pub binary_id: Option<BinaryId>,
    /// Its standard input; `None` for `/dev/null`.
    pub input: Option<Vec<u8>>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A hook with its record and its run dir. The record is to be stored before the hook is started.
#[derive(Debug)]
pub(crate) struct PreparedHook {
    /// The record, queued.
    pub process: Process,
    /// The run dir.
    pub run_dir: RunDir,
    /// Problems that do not prevent the hook from running.
    warnings: Vec<String>,
    logs: [File; 2],
    input: Option<File>,
    pub(super) command: CommandSpec,
}

impl PreparedHook {
    /// Has the hook started by another program, which is followed by its arguments and then the hook's own command line.
    #[must_use]
    pub(crate) fn started_by(mut self, launcher: Vec<OsString>) -> Self {
        let hook = std::iter::once(self.command.program).chain(self.command.args);
        let mut words = launcher.into_iter().chain(hook);
        self.command.program = words.next().unwrap_or_default();
        self.command.args = words.collect();
        self.process.spec.cmd = self.command.words();
        self
    }
}

/// A hook that has exited.
#[derive(Debug)]
pub(crate) struct FinishedHook {
    /// Its record with its exit, which the caller stores together with the result.
    pub process: Process,
    /// Its run dir.
    pub run_dir: RunDir,
    /// The processes that it left behind, and those that could not be terminated.
    pub warnings: Vec<String>,
}

/// An error that prevents a hook from being run at all. A hook that fails is no error, but has an exit that says so.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run dir cannot be created or written.
    #[error("cannot write the run dir of {hook}: {error}; check its permissions and the free disk space")]
    RunDir {
        /// The hook's file name.
        hook: String,
        /// The cause, with the path.
        error: io::Error,
    },
    /// The file of a built-in hook was changed, and cannot be unpacked again.
    #[error("cannot unpack the built-in hook {hook}: {error}")]
    BuiltIn {
        /// The hook's file name.
        hook: String,
        /// The cause, with the path.
        error: io::Error,
    },
    /// The record cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Runner<'_> {
    /// Creates the run dir and the record of a hook, after verifying its file if it is a built-in one. Nothing is stored or
    /// started yet. `waiting` is called if another rigup is unpacking that file.
    pub(crate) fn prepare(&self, job: HookJob<'_>, waiting: impl FnOnce()) -> Result<PreparedHook, RunError> {
        let hook_name = &job.hook.name.file_name;
        let unwritable = |error| RunError::RunDir { hook: hook_name.clone(), error };
        let lock = |folder: &Path| folder::take(folder, self.interrupt, PATIENCE, waiting);
        let restored = builtin::verify(&job.hook.path, &self.settings.data_dir, lock)
            .map_err(|error| RunError::BuiltIn { hook: hook_name.clone(), error })?;
        let process_id = ProcessId::generate();
        let variables = self.variables.get(&job.hook.plugin).map(Vec::as_slice).unwrap_or_default();
        let environment = command::environment(self.settings, self.machine_id, process_id, variables);
        let script = job.hook.path.clone().into_os_string();
        let (program, args) = match job.hook.start {
            Start::Itself => (script, job.arguments),
            Start::By(name) => {
                let program = interpreter::program(name, &environment.whole, &job.cwd, self.interrupt);
                (program, std::iter::once(script).chain(job.arguments).collect())
            }
        };
        let command = CommandSpec { program, args, env: environment.whole, cwd: job.cwd };
        let path = run_dir::path(&self.settings.data_dir, process_id);
        let spec = ProcessSpec {
            plugin: job.hook.plugin.to_string(),
            hook_name: hook_name.clone(),
            env: environment.added,
            timeout: Some(job.timeout),
            run_dir: Some(path.clone()),
            ..ProcessSpec::new(ProcessType::Hook, command.words(), command.cwd.clone())
        };
        let process = Process {
            parent_id: Some(self.parent_id),
            binary_id: job.binary_id,
            iface_id: self.iface_id,
            ..Process::queued(process_id, self.machine_id, spec, clock::now())
        };
        let run_dir = RunDir::create(path, &process, &command, job.input.as_deref()).map_err(unwritable)?;
        let open = || -> io::Result<_> {
            let input = job.input.map(|_| File::open(run_dir.input())).transpose()?;
            Ok((input, run_dir.open_logs()?))
        };
        let (input, logs) = open().map_err(|error| {
            run_dir.discard();
            unwritable(error)
        })?;
        Ok(PreparedHook { process, run_dir, warnings: restored.into_iter().collect(), logs, input, command })
    }

    /// Runs a hook, whose record is stored, until it has exited. Meanwhile `meanwhile` is called once, and `tick` ten times a
    /// second.
    pub(crate) fn run(
        &self,
        hook: PreparedHook,
        meanwhile: impl FnOnce(),
        mut tick: impl FnMut(&RunDir),
    ) -> Result<FinishedHook, RunError> {
        let PreparedHook { process, run_dir, mut warnings, logs, input, command } = hook;
        let [stdout, stderr] = &logs;
        let started = Spawn { command: &command, stdin: input.as_ref(), stdout, stderr }.start();
        meanwhile();
        let child = match started {
            Ok(child) => child,
            Err(error) => {
                let exit = ProcessExit::spawn_failed(error.to_string(), clock::now());
                return Ok(FinishedHook { process: process.into_exited(exit), run_dir, warnings });
            }
        };
        let process = process.into_running(child.handle.entry.identity(), child.started_at);
        let unwritable = |error| RunError::RunDir { hook: process.spec.hook_name.clone(), error };
        let supervision = Supervision {
            process: &process,
            run_dir: &run_dir,
            logs: &logs,
            record_after: RECORD_AFTER,
            output_limit: Some(self.settings.output_limit),
            interrupt: self.interrupt,
        };
        let record = || -> Result<(), RunError> {
            run_dir.write_pid(child.handle.entry.pid).map_err(unwritable)?;
            Ok(self.store.save_process(&process)?)
        };
        let supervised = supervision.run(&child, record, || tick(&run_dir))?;
        warnings.extend(supervised.warnings);
        if let Err(error) = run_dir.write_exit(child.started_at, &supervised.exit, &warnings) {
            warnings.push(format!("cannot write its exit to its run dir: {error}"));
        }
        Ok(FinishedHook { process: process.into_exited(supervised.exit), run_dir, warnings })
    }
}
