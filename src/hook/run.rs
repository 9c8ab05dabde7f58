//! The execution of one hook, from its record to its exit.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use crate::clock;
use crate::fs::temporary_folder::TemporaryFolder;
use crate::hook::command::{self, ChildEnvironment, EventFolders, InvalidMemoryLimit};
use crate::hook::interpreter;
use crate::model::{BinaryId, Identity, PluginName, Process, ProcessId, ProcessSpec, ProcessType};
use crate::plugin::builtin;
use crate::plugin::config::value::Variable;
use crate::plugin::discovery::{Hook, Start};
use crate::process::lock::{self, FOLDER_PATIENCE};
use crate::process::log::Logs;
use crate::process::run_dir::{self, RunDir};
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::process::supervise::{FinishedProcess, PreparedProcess, Supervision};
use crate::process::terminate;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// The time after which a hook is recorded as running. A hook that exits sooner is recorded only with its exit.
pub(crate) const RECORD_AFTER: Duration = Duration::from_millis(50);

/// The settings of each plugin, as variables.
pub(crate) type Variables = HashMap<PluginName, Vec<Variable>>;

/// The context that all hooks of one rigup share.
#[derive(Debug)]
pub(crate) struct Runner<'a> {
    /// The folders and the caller's environment.
    pub settings: &'a Settings,
    /// The store in which a process is recorded before it is started.
    pub store: &'a Store,
    /// The process of this rigup.
    pub command: &'a Process,
    /// The settings of each plugin.
    pub variables: RwLock<Arc<Variables>>,
    /// The signals that interrupt this rigup.
    pub interrupt: &'a Interrupt,
    /// The environment of each plugin's hooks in each output dir, as far as it does not depend on the process.
    pub environments: Mutex<HashMap<(PluginName, Option<PathBuf>), ChildEnvironment>>,
    /// The folder for temporary files of the hooks of events, once one needs it.
    pub temporary: OnceLock<TemporaryFolder>,
}

/// A hook to run.
#[derive(Debug)]
pub(crate) struct HookJob<'a> {
    /// The hook.
    pub hook: &'a Hook,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// The output dir of its event; `None` for a provider's hook.
    pub output_dir: Option<&'a Path>,
    /// The binary that it is run to install, if any.
    pub binary_id: Option<BinaryId>,
    /// Its standard input; `None` for `/dev/null`.
    pub input: Option<Vec<u8>>,
    /// Its timeout.
    pub timeout: Duration,
}

/// An error that prevents a hook from running. The failure of a hook that ran is part of its exit instead.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run dir of the hook with this file name cannot be created or written.
    #[error("cannot write the run dir of {0}: {1}")]
    RunDir(String, io::Error),
    /// The working directory of a hook cannot be created in this folder.
    #[error("cannot use the output dir {path}: {1}; choose another with --output-dir", path = .0.display())]
    OutputDir(PathBuf, io::Error),
    /// The folder for temporary files of an event cannot be created.
    #[error("{0}")]
    Temporary(io::Error),
    /// A setting is not a memory limit.
    #[error(transparent)]
    MemoryLimit(#[from] InvalidMemoryLimit),
    /// The file of a built-in hook was changed, and cannot be unpacked again.
    #[error("cannot unpack the built-in hook {0}: {1}")]
    BuiltIn(String, io::Error),
    /// The record cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Runner<'_> {
    /// Creates the run dir and the record of a hook, and opens its logs. Unpacks and verifies a built-in hook first, and calls
    /// `on_wait` if another rigup is unpacking one. The caller has to store the record before it runs
    /// the hook.
    pub(crate) fn prepare(&self, job: HookJob<'_>, on_wait: impl Fn()) -> Result<PreparedProcess, RunError> {
        let hook_name = &job.hook.name.file_name;
        let dir_error = |error| RunError::RunDir(hook_name.clone(), error);
        let lock = |folder: &Path| lock::take_folder(folder, self.interrupt, FOLDER_PATIENCE, &on_wait);
        let restored = builtin::verify(&job.hook.path, &self.settings.data_dir, lock)
            .map_err(|error| RunError::BuiltIn(hook_name.clone(), error))?;
        let memory_limit = match job.output_dir {
            Some(_) => {
                let variables = self.variables();
                command::memory_limit(
                    &job.hook.plugin,
                    variables_of(&variables, &job.hook.plugin),
                    self.settings,
                )?
            }
            None => None,
        };
        let process_id = ProcessId::generate();
        let environment = self.environment(&job.hook.plugin, job.output_dir)?.of_process(process_id);
        let script = job.hook.path.clone().into_os_string();
        let (program, args) = match job.hook.start {
            Start::Itself | Start::ByShebang(_) => (script, job.arguments),
            Start::By(name) => (name.into(), std::iter::once(script).chain(job.arguments).collect()),
        };
        let mut command = CommandSpec { program, args, env: environment.all, cwd: job.cwd };
        if let Some(real) = interpreter::resolve_shim(&command, self.interrupt) {
            command.program = real.into();
        }
        let path = run_dir::path(&self.settings.data_dir, process_id);
        let spec = ProcessSpec {
            plugin: job.hook.plugin.to_string(),
            hook_name: hook_name.clone(),
            env: environment.added,
            timeout: Some(job.timeout),
            run_dir: Some(path.clone()),
            ..ProcessSpec::new(ProcessType::Hook, command.words(), &command.cwd)
        };
        let mut process = Process {
            parent_id: Some(self.command.id),
            binary_id: job.binary_id,
            iface_id: self.command.iface_id,
            data_dir_id: self.store.data_dir_id().to_owned(),
            ..Process::queued(process_id, self.command.machine_id, spec, clock::now())
        };
        process.warnings.extend(restored);
        let run_dir = RunDir::create(path, &process, &command, job.input.as_deref()).map_err(dir_error)?;
        let open = || -> io::Result<_> {
            let input = job.input.map(|_| File::open(run_dir.input())).transpose()?;
            Ok((input, run_dir.open_logs()?, run_dir.clone().opened()?))
        };
        let (input, logs, run_dir) = open().map_err(|error| {
            run_dir.discard();
            dir_error(error)
        })?;
        Ok(PreparedProcess {
            process,
            run_dir,
            logs,
            input,
            lock: None,
            memory_limit,
            attributes: None,
            command,
        })
    }

    fn environment(
        &self,
        plugin: &PluginName,
        output_dir: Option<&Path>,
    ) -> Result<ChildEnvironment, RunError> {
        let mut environments = self.environments.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (plugin.clone(), output_dir.map(Path::to_owned));
        if let Some(environment) = environments.get(&key) {
            return Ok(environment.clone());
        }
        let folders = |output_dir| Ok(EventFolders { output_dir, temporary: self.temporary()? });
        let event = output_dir.map(folders).transpose().map_err(RunError::Temporary)?;
        let variables = self.variables();
        let variables = variables_of(&variables, plugin);
        let environment = command::environment(self.settings, self.command.machine_id, variables, event);
        environments.insert(key, environment.clone());
        Ok(environment)
    }

    /// Returns the settings for the hooks that are prepared now.
    pub(crate) fn variables(&self) -> Arc<Variables> {
        Arc::clone(&self.variables.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the settings for the hooks that are prepared from now on.
    pub(crate) fn set_variables(&self, variables: Variables) {
        *self.variables.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(variables);
        self.environments.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the folder for temporary files: that of the caller, or one that is removed with this runner. The lock of
    /// `environments` is held, so only one thread creates it.
    fn temporary(&self) -> io::Result<&Path> {
        if let Some(of_caller) = self.settings.environment.get("TMP_DIR") {
            return Ok(Path::new(of_caller));
        }
        if self.temporary.get().is_none() {
            let folder = TemporaryFolder::create("rigup-")?;
            // Otherwise, only a killed rigup leaves the folder behind.
            let _ = lock::name_folder(&self.settings.data_dir, self.command.id, folder.path());
            let _ = self.temporary.set(folder);
        }
        Ok(self.temporary.get().expect("it was just set").path())
    }

    /// Runs a hook until it exits. The caller has stored its record, and stores the returned one together with the
    /// result. Calls `tick` once the hook runs, and then ten times a second.
    pub(crate) fn run(
        &self,
        hook: PreparedProcess,
        tick: &mut dyn FnMut(&Logs),
    ) -> Result<FinishedProcess, RunError> {
        let supervision = Supervision {
            record_after: RECORD_AFTER,
            output_limit: Some(self.settings.output_limit),
            grace: terminate::GRACE,
            interrupt: self.interrupt,
        };
        let record = |process: &Process, run_dir: &RunDir, identity: &Identity| {
            // The hook may have removed its run dir, which the warning about its exit will say.
            let _ = run_dir.write_pid(identity.pid);
            Ok(self.store.save_process(process)?)
        };
        let mut is_first = true;
        supervision.run(hook, record, |logs| {
            if mem::take(&mut is_first) {
                self.store.prepare_for_results();
            }
            tick(logs);
            None
        })
    }
}

fn variables_of<'v>(variables: &'v Variables, plugin: &PluginName) -> &'v [Variable] {
    variables.get(plugin).map(Vec::as_slice).unwrap_or_default()
}
