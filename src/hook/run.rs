//! One execution of one hook, from the intent to the ending.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;
use crate::fs::lock::FileLock;
use crate::hook::{command, interpreter};
use crate::model::id::{BinaryId, InterfaceId, MachineId, ProcessId};
use crate::model::plugin_name::PluginName;
use crate::model::process::{Process, ProcessExit, ProcessSpec, ProcessType};
use crate::plugin::builtin;
use crate::plugin::config::value::Variable;
use crate::plugin::discovery::{Hook, Start};
use crate::process::lock::folder::{self, PATIENCE};
use crate::process::run_dir::{self, RunDir};
use crate::process::signals::Interrupt;
use crate::process::spawn::{self, Child, Spawn};
use crate::process::supervise::{SupervisedExit, Supervision};
use crate::process::waiter::{Launch, LaunchError};
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// A hook that is over sooner is recorded as running only in its ending.
pub const NOTE_AFTER: Duration = Duration::from_millis(20);

/// What all hooks of one rigup share.
#[derive(Debug)]
pub struct Runner<'a> {
    /// Folders and the caller's environment.
    pub settings: &'a Settings,
    /// Where the process is recorded before it is started.
    pub store: &'a Store,
    /// The machine it runs on.
    pub machine_id: MachineId,
    /// The network interface it runs with.
    pub iface_id: Option<InterfaceId>,
    /// The process of this rigup.
    pub parent_id: ProcessId,
    /// The settings of the plugins, by plugin.
    pub variables: &'a HashMap<PluginName, Vec<Variable>>,
    /// Whether rigup was asked to stop.
    pub interrupt: &'a Interrupt,
}

/// One hook to run.
#[derive(Debug)]
pub struct Job<'a> {
    /// The hook.
    pub hook: &'a Hook,
    /// What it is told, one argv item each.
    pub arguments: Vec<OsString>,
    /// The hook's own folder.
    pub cwd: PathBuf,
    /// The binary it is about.
    pub binary_id: Option<BinaryId>,
    /// What it reads from standard input; none for nothing.
    pub input: Option<Vec<u8>>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A hook with its record and its run dir, to be stored before it is started.
#[derive(Debug)]
pub struct Ready {
    /// The record, queued.
    pub process: Process,
    /// The run dir with its `cmd.sh`.
    pub run_dir: RunDir,
    /// What is wrong and changes nothing.
    warnings: Vec<String>,
    logs: [File; 2],
    input: Option<File>,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Ready {
    /// Has the hook started by a program that changes its surroundings: the hook's own program and arguments follow
    /// these words.
    #[must_use]
    pub fn started_by(mut self, launcher: Vec<OsString>) -> Self {
        let hook = std::iter::once(self.program).chain(self.args);
        let mut words = launcher.into_iter().chain(hook);
        self.program = words.next().unwrap_or_default();
        self.args = words.collect();
        self.process.spec.cmd = spawn::spelled(&self.program, &self.args);
        self
    }
}

/// A hook that is over.
#[derive(Debug)]
pub struct Finished {
    /// Its record, with its ending, which the caller stores together with what it means.
    pub process: Process,
    /// Its logs.
    pub run_dir: RunDir,
    /// What it left behind, and what could not be ended.
    pub warnings: Vec<String>,
}

/// Why a hook could not be run at all. A hook that fails is not an error but an ending.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run dir cannot be made or written.
    #[error("the run dir of {hook} cannot be written: {error}; is there room, and may you write there?")]
    RunDir {
        /// The hook's file name.
        hook: String,
        /// What went wrong, with the path.
        error: io::Error,
    },
    /// The file of a built-in hook is not what rigup unpacked, and cannot be written anew.
    #[error("the built-in hook {hook} cannot be unpacked anew: {error}")]
    BuiltIn {
        /// The hook's file name.
        hook: String,
        /// What went wrong, with the path.
        error: io::Error,
    },
    /// The record cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Runner<'_> {
    /// Makes the run dir and the record of a hook, after a look at its file where that is a built-in one's. Nothing is
    /// stored and nothing is started yet. `waiting` is told if another rigup is putting that file right.
    pub fn prepare(&self, job: Job<'_>, waiting: impl FnOnce()) -> Result<Ready, RunError> {
        let hook_name = &job.hook.name.file_name;
        let unwritable = |error| RunError::RunDir { hook: hook_name.clone(), error };
        let lock = |folder: &Path| folder::take(folder, self.interrupt, PATIENCE, waiting);
        let restored = builtin::verify(&job.hook.path, &self.settings.data_dir, lock)
            .map_err(|error| RunError::BuiltIn { hook: hook_name.clone(), error })?;
        let input = job.input;
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
        let path = run_dir::path(&self.settings.data_dir, process_id);
        let spec = ProcessSpec {
            plugin: job.hook.plugin.to_string(),
            hook_name: hook_name.clone(),
            env: environment.added,
            timeout: Some(job.timeout),
            run_dir: Some(path.clone()),
            ..ProcessSpec::new(ProcessType::Hook, spawn::spelled(&program, &args), job.cwd)
        };
        let mut process = Process::queued(process_id, self.machine_id, spec, clock::now());
        process.parent_id = Some(self.parent_id);
        process.binary_id = job.binary_id;
        process.iface_id = self.iface_id;
        let run_dir =
            RunDir::create(path, &process, &program, &args, input.as_deref()).map_err(unwritable)?;
        let open = || -> io::Result<_> {
            let input = input.map(|_| File::open(run_dir.input())).transpose()?;
            Ok((input, run_dir.open_logs()?))
        };
        let (input, logs) = open().map_err(|error| {
            run_dir.discard();
            unwritable(error)
        })?;
        let warnings = restored.into_iter().collect();
        Ok(Ready { process, run_dir, warnings, logs, input, program, args, env: environment.whole })
    }

    /// Runs a hook, whose record is stored, to its end. Meanwhile `meanwhile` is called once, and `tick` ten times a
    /// second.
    pub fn run(
        &self,
        ready: Ready,
        meanwhile: impl FnOnce(),
        mut tick: impl FnMut(&RunDir),
    ) -> Result<Finished, RunError> {
        let Ready { process, run_dir, mut warnings, logs, input, program, args, env } = ready;
        let [stdout, stderr] = &logs;
        let cwd = process.spec.pwd.clone();
        let spawn = Spawn { program, args, env, cwd, stdin: input.as_ref(), stdout, stderr };
        let started = spawn.start();
        meanwhile();
        let child = match started {
            Ok(child) => child,
            Err(error) => {
                let process = process.into_exited(ProcessExit::spawn_failed(error.to_string(), clock::now()));
                return Ok(Finished { process, run_dir, warnings });
            }
        };
        let process = process.into_running(child.identity(), child.started_at);
        let unwritable = |error| RunError::RunDir { hook: process.spec.hook_name.clone(), error };
        let watch = Supervision {
            process_id: process.id,
            run_dir: &run_dir,
            logs: &logs,
            note_after: NOTE_AFTER,
            timeout: process.spec.timeout,
            output_cap: Some(self.settings.output_limit),
            interrupt: self.interrupt,
        };
        let note = || -> Result<(), RunError> {
            run_dir.write_pid(child.entry().pid).map_err(unwritable)?;
            Ok(self.store.save_process(&process)?)
        };
        let SupervisedExit { exit, warnings: seen } = watch.see_out(&child, note, || tick(&run_dir))?;
        warnings.extend(seen);
        if let Err(error) = run_dir.write_exit(child.started_at, &exit, &warnings) {
            warnings.push(format!("its exit cannot be written to its run dir: {error}"));
        }
        Ok(Finished { process: process.into_exited(exit), run_dir, warnings })
    }

    /// Starts a hook, whose record is stored, beside all that follows: a process of its own
    /// sees it out, also where this rigup is killed.
    pub fn launch(&self, ready: Ready, lock: FileLock) -> Result<Child, LaunchError> {
        Launch {
            rigup: &self.settings.rigup,
            data_dir: &self.settings.data_dir,
            process: &ready.process,
            lock,
            program: ready.program,
            args: ready.args,
            env: ready.env,
            cwd: ready.process.spec.pwd.clone(),
        }
        .launch()
    }
}
