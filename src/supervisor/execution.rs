//! The executions of daemons: each is made of the same parts as a run of `rigup start`.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock;
use crate::duration;
use crate::hook::command::{self, ChildEnvironment};
use crate::model::{
    DaemonSpec, Identity, Process, ProcessId, ProcessSpec, ProcessType, ReadinessCheck, RunSpec,
};
use crate::process::handle::{self, Handle};
use crate::process::kill::{self, KillOutcome};
use crate::process::run_dir::{self, RunDir};
use crate::process::spawn::CommandSpec;
use crate::process::system::ProcessEntry;
use crate::process::waiter::WaiterConditions;
use crate::process::{notify, terminate};
use crate::runs::start::{self, ReservedRun, StartError, StartingRun};
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use crate::supervisor::stop_request;

/// The prefix of the slug of an execution, which no run has: it makes the limit of one execution for each daemon exact.
const SLUG_PREFIX: &str = "daemon:";

/// The variable with the number of a replica, from 0.
const REPLICA_VARIABLE: &str = "RIGUP_REPLICA";

/// The number of executions of a daemon that are kept, with the current one.
const MAX_KEPT: u32 = 20;

/// How long the logs of an execution that has ended are kept, as those of a run are by default.
const LOG_TTL: Duration = Duration::from_hours(24);

/// Starts the executions of the daemons of one supervisor.
#[derive(Debug)]
pub(super) struct Launcher<'a> {
    pub settings: &'a Settings,
    pub store: &'a Store,
    /// The process of the supervisor.
    pub command: &'a Process,
}

impl Launcher<'_> {
    /// Returns the environment of an execution, and of the command that checks its readiness.
    pub(super) fn environment(&self, spec: &DaemonSpec, id: ProcessId) -> ChildEnvironment {
        let mut set: Vec<(String, OsString)> =
            spec.env.iter().map(|(name, value)| (name.clone(), value.into())).collect();
        let defaults = [
            ("DATA_DIR", self.settings.data_dir.clone().into()),
            ("LIB_DIR", self.settings.lib_dir.clone().into()),
            ("LIB_BIN_DIR", self.settings.lib_bin_dir.clone().into()),
            ("MACHINE_ID", self.command.machine_id.to_string().into()),
        ];
        let is_set =
            |name: &str| spec.env.contains_key(name) || self.settings.command_environment.get(name).is_some();
        set.push((REPLICA_VARIABLE.to_owned(), spec.replica_index().to_string().into()));
        set.extend(
            defaults
                .into_iter()
                .filter(|(name, _)| !is_set(name))
                .map(|(name, value): (&str, OsString)| (name.to_owned(), value)),
        );
        let run_dir = run_dir::path(&self.settings.data_dir, id);
        if spec.ready.as_ref().is_some_and(|ready| ready.probe == ReadinessCheck::Notify) {
            let address = notify::address(&run_dir, id, spec.attributes.user.is_some());
            set.push((notify::SOCKET_VARIABLE.to_owned(), address.into()));
        }
        command::environment_of_command(self.settings, id, &set)
    }

    /// Reserves an execution, which must be launched next. Returns why it cannot be started.
    pub(super) fn reserve(&self, spec: &DaemonSpec) -> Result<ReservedRun, String> {
        let Some((program, args)) = spec.command.split_first() else {
            return Err("it has no command".to_owned());
        };
        if !spec.working_dir.is_dir() {
            return Err(format!("its working_dir {} is not a folder", spec.working_dir.display()));
        }
        let id = ProcessId::generate();
        let environment = self.environment(spec, id);
        let command = CommandSpec {
            program: program.into(),
            args: args.iter().map(Into::into).collect(),
            env: environment.all,
            cwd: spec.working_dir.clone(),
        };
        let process_type = if spec.is_orchestrator { ProcessType::Orchestrator } else { ProcessType::Worker };
        let process_spec = ProcessSpec {
            env: environment.added,
            run_dir: Some(run_dir::path(&self.settings.data_dir, id)),
            run: Some(RunSpec { slug: slug(&spec.name), description: String::new(), ttl: Some(LOG_TTL) }),
            ..ProcessSpec::new(process_type, command.words(), &command.cwd)
        };
        let process = Process {
            parent_id: Some(self.command.id),
            iface_id: self.command.iface_id,
            data_dir_id: self.store.data_dir_id().to_owned(),
            ..Process::queued(id, self.command.machine_id, process_spec, clock::now())
        };
        let reserved = start::reserve(self.settings, self.store, process, command, Some(1));
        reserved.map_err(|error| match error {
            StartError::TooMany(..) => "it already runs".to_owned(),
            error => error.to_string(),
        })
    }

    /// Starts the waiter of a reserved execution. Returns why it cannot be started.
    pub(super) fn begin(&self, run: ReservedRun, spec: &DaemonSpec) -> Result<StartingRun, String> {
        let conditions = WaiterConditions {
            memory_limit: spec.memory_max,
            grace: spec.stop_grace_period,
            log_limits: Some(spec.log_limits),
            attributes: spec.attributes.if_any().cloned(),
        };
        run.begin(self.settings, self.store, &conditions).map_err(|error| error.to_string())
    }
}

/// Returns the slug of the executions of a daemon.
pub(crate) fn slug(name: &str) -> String {
    format!("{SLUG_PREFIX}{name}")
}

/// Whether a run is an execution of a daemon.
pub(crate) fn is_execution(run: &RunSpec) -> bool {
    run.slug.starts_with(SLUG_PREFIX)
}

/// Returns whether [`prune`] would remove executions of a daemon.
pub(super) fn is_prunable(store: &Store, name: &str) -> Result<bool, StoreError> {
    Ok(!store.ended_executions(&slug(name), MAX_KEPT)?.is_empty())
}

/// Removes the oldest executions of a daemon with their run dirs, so that at most [`MAX_KEPT`] are left. An execution that has
/// started other processes keeps its record as long as theirs are kept.
pub(super) fn prune(data_dir: &Path, lib_dir: &Path, name: &str) -> Result<(), String> {
    let store = Store::open_existing(data_dir, lib_dir).map_err(|error| error.to_string())?;
    let Some(store) = store.filter(|_| run_dir::are_removable(data_dir)) else { return Ok(()) };
    let old = store.ended_executions(&slug(name), MAX_KEPT).map_err(|error| error.to_string())?;
    for id in &old {
        run_dir::remove(data_dir, *id).map_err(|error| error.to_string())?;
    }
    if old.is_empty() { Ok(()) } else { store.prune_processes(&old, &[]).map_err(|error| error.to_string()) }
}

/// Stops an execution: runs the `stop_command` of its daemon or sends its signal to everything that it started, and KILL
/// after the grace period. Without its record, such as after the data dir was removed, it is found as the process that
/// is `known` to run it. Returns a warning if the command failed, or why the execution could not be stopped.
pub(crate) fn stop(
    data_dir: &Path,
    lib_dir: &Path,
    rigup: &Path,
    id: ProcessId,
    known: Option<&Identity>,
    spec: &DaemonSpec,
) -> Result<Option<String>, String> {
    let (store, process) = match (find(data_dir, lib_dir, id), known) {
        (Ok(Some(found)), _) => found,
        (Ok(None), None) => return Ok(None),
        (Err(problem), None) => return Err(problem),
        (_, Some(known)) => return stop_without_record(data_dir, id, known, spec),
    };
    let (signal, deadline) = (stop_signal(spec), duration::deadline(spec.stop_grace_period));
    // Opened before the request: the daemon may end on that, and leave behind processes that the grace period is for, too.
    let root = kill::open_root(&store, &process).ok().flatten();
    let send = |root| stop_request::send(&store, &process, root, spec, rigup, signal, deadline).err();
    let warning = root.as_ref().and_then(send);
    let grace = deadline.saturating_duration_since(Instant::now());
    let outcome = match &root {
        Some(root) => kill::kill_tree(&store, &process, root, signal, grace),
        None => kill::kill(&store, &process, signal, grace),
    };
    match outcome.map_err(|error| error.to_string())? {
        KillOutcome::Exited(_) | KillOutcome::AlreadyExited => Ok(warning),
        KillOutcome::Survived(survivors) => Err(survived(&survivors)),
        KillOutcome::Failed(error) => Err(error.to_string()),
    }
}

/// Returns the store with the record of an execution, or `None` if that has no record.
fn find(data_dir: &Path, lib_dir: &Path, id: ProcessId) -> Result<Option<(Store, Process)>, String> {
    let store = Store::open_existing(data_dir, lib_dir).map_err(|error| error.to_string())?;
    let store = store.ok_or("the store is gone")?;
    let process = store.process(id).map_err(|error| error.to_string())?;
    Ok(process.map(|process| (store, process)))
}

/// Stops an execution whose record cannot be read, by its signal.
fn stop_without_record(
    data_dir: &Path,
    id: ProcessId,
    known: &Identity,
    spec: &DaemonSpec,
) -> Result<Option<String>, String> {
    let root =
        handle::find(known).and_then(|entry| entry.map_or(Ok(None), |entry| Handle::open_entry(&entry)));
    let Some(root) = root.map_err(|error| error.to_string())? else { return Ok(None) };
    let _ = RunDir::at(&run_dir::path(data_dir, id)).request_stop();
    let survivors = terminate::terminate_tree(stop_signal(spec), id, &root, spec.stop_grace_period, || false);
    if survivors.is_empty() { Ok(None) } else { Err(survived(&survivors)) }
}

fn stop_signal(spec: &DaemonSpec) -> Signal {
    kill::parse_signal(&spec.stop_signal).unwrap_or(Signal::TERM)
}

fn survived(survivors: &[ProcessEntry]) -> String {
    let pids: Vec<String> = survivors.iter().map(|survivor| survivor.pid.to_string()).collect();
    format!("these processes could not be killed: {}", pids.join(", "))
}
