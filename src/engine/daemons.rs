//! The work of `rigup up` and of the commands for daemons, with or without a running supervisor.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::engine::catalog::Catalog;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::session::Session;
use crate::fs::lock::{self, FileLock};
use crate::model::{
    Daemon, DaemonName, DaemonSpec, DaemonStatus, ExitReason, Process, ProcessExit, ProcessType, Wanted,
};
use crate::process::signals::Interrupt;
use crate::process::{poll, recover};
use crate::settings::{FILE_NAME, Settings};
use crate::store::Store;
use crate::supervisor::control::{self, Answer, ControlRequest, Server};
use crate::supervisor::control_loop::{ControlLoop, DaemonEvent};
use crate::supervisor::manifest::{self, ManifestError, ManifestSource};
use crate::supervisor::{execution, policy, staleness};

/// The file in the data dir that the supervisor locks.
const LOCK: &str = "supervisor.lock";

/// A manifest to apply.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// All declared daemons.
    pub specs: Vec<DaemonSpec>,
    /// The daemons to start; all that start by themselves if empty.
    pub names: Vec<String>,
    /// Whether daemons that are no longer declared are stopped.
    pub removes_orphans: bool,
}

impl Manifest {
    /// Returns the names of all declared daemons.
    pub(crate) fn names_of_all(&self) -> Vec<String> {
        self.specs.iter().map(|spec| spec.name.to_string()).collect()
    }

    /// Returns the daemons to start with all that they depend on, or all declared daemons if none are named.
    pub(crate) fn selected(&self) -> Vec<DaemonName> {
        if self.names.is_empty() {
            self.specs.iter().map(|spec| spec.name.clone()).collect()
        } else {
            policy::with_dependencies(&self.specs, &self.names)
        }
    }

    /// Returns the daemons that run once it is applied, or may do so, given the daemons in the store.
    pub(crate) fn to_run(&self, mut stored: Vec<Daemon>) -> Vec<&DaemonSpec> {
        use DaemonStatus::{Exited, Failed, Stopped};
        for spec in &self.specs {
            if let Some(daemon) = stored.iter_mut().find(|daemon| daemon.name == *spec.name) {
                daemon.forget_stop(spec);
            }
        }
        let find = |name: &DaemonName| stored.iter().find(|daemon| daemon.name == **name);
        let goes_on = |daemon: &Daemon| {
            daemon.wanted == Wanted::Started && !matches!(daemon.status, Stopped | Exited | Failed)
        };
        let names = policy::to_run(&self.specs, &self.names, find, goes_on);
        self.specs.iter().filter(|spec| names.contains(&spec.name)).collect()
    }
}

/// Returns the daemons of all manifests, and warnings.
pub(crate) fn declared(
    catalog: &Catalog,
    files: &[PathBuf],
    settings: &Settings,
) -> Result<(Vec<DaemonSpec>, Vec<String>), ManifestError> {
    let plugins = catalog.discovery.plugins.iter().filter(|plugin| catalog.is_enabled(&plugin.name));
    let mut sources: Vec<ManifestSource> =
        plugins.clone().map(|plugin| ManifestSource::Plugin(plugin.path.clone())).collect();
    sources.push(ManifestSource::Project(FILE_NAME.into()));
    sources.extend(files.iter().cloned().map(ManifestSource::File));
    let hooks: Vec<_> = plugins.flat_map(|plugin| &plugin.hooks).map(|hook| &hook.name).collect();
    manifest::read(settings, &sources, &hooks)
}

/// Why a process holds the lock of the supervisor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LockHolder {
    /// It is the supervisor.
    Supervisor,
    /// It stops daemons while no supervisor runs.
    Stop,
}

/// How long the supervisor may take to answer a request that takes no time. The error comes within 10 s.
const ANSWER_PATIENCE: Duration = Duration::from_secs(9);

/// How long the supervisor may take to answer a command that has already done its work.
const ANNOUNCE_PATIENCE: Duration = Duration::from_secs(1);

/// The interval at which the lock of a supervisor that does not listen yet is examined.
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// The word in the lock of a process that stops daemons.
const STOP: &str = "stop";

fn lock_path(settings: &Settings) -> PathBuf {
    settings.data_dir.join(LOCK)
}

fn lock_error(settings: &Settings, error: &io::Error) -> EngineError {
    EngineError::Setup(format!("cannot lock {}: {error}", lock_path(settings).display()))
}

/// Takes the lock of the supervisor. Returns `None` if another process has it.
pub(crate) fn try_lock(settings: &Settings, holder: LockHolder) -> Result<Option<FileLock>, EngineError> {
    let lock = || -> io::Result<_> {
        let mut lock = FileLock::create(&lock_path(settings))?;
        if !lock.try_lock()? {
            return Ok(None);
        }
        let text = match holder {
            LockHolder::Supervisor => format!("{}\n", std::process::id()),
            LockHolder::Stop => format!("{} {STOP}\n", std::process::id()),
        };
        // The pid is for messages, so a full disk does no harm.
        let _ = lock.write(&text);
        Ok(Some(lock))
    };
    lock().map_err(|error| lock_error(settings, &error))
}

/// Returns the text in the lock of the supervisor if a process holds it.
fn lock_text(settings: &Settings) -> Result<Option<String>, EngineError> {
    let path = lock_path(settings);
    let text = || -> io::Result<_> {
        if lock::is_locked(&path)? == Some(true) { Ok(Some(FileLock::open(&path)?.read())) } else { Ok(None) }
    };
    text().map_err(|error| lock_error(settings, &error))
}

/// Returns how long it may take until all daemons are stopped: the sum of their grace periods, because each may depend on
/// another one.
pub(crate) fn stop_patience(settings: &Settings) -> Result<Duration, EngineError> {
    let store = Store::open_existing(&settings.data_dir, &settings.lib_dir)?;
    let daemons = store.map_or(Ok(Vec::new()), |store| store.daemons())?;
    let graces = daemons.iter().map(|daemon| daemon.spec.stop_grace_period);
    Ok(graces.fold(ANSWER_PATIENCE, Duration::saturating_add))
}

/// Runs as the supervisor, which holds the lock, until all daemons are down; unless it `is_lasting`, also until none is
/// left that could run. Calls `tick` as [`ControlLoop::run`] does.
pub(crate) fn supervise(
    session: &Session<'_>,
    lock: FileLock,
    manifest: Option<Manifest>,
    is_lasting: bool,
    tick: impl FnMut(bool) -> Option<Duration>,
    on_event: &mut dyn FnMut(DaemonEvent<'_>),
) -> Result<ExitStatus, EngineError> {
    let interrupt = Interrupt::install().map_err(EngineError::Signals)?;
    let setup = |error: io::Error| EngineError::Setup(format!("cannot start the supervisor: {error}"));
    let server = Server::open(&session.settings.data_dir).map_err(setup)?;
    let command = session.begin_as(ProcessType::Supervisord)?;
    let (settings, store) = (&session.settings, &*session.store);
    let mut control =
        ControlLoop::new(settings, store, &command.process, &interrupt, server, is_lasting, on_event)
            .map_err(setup)?;
    let applied = manifest.map_or(Ok(()), |Manifest { specs, names, removes_orphans }| {
        control.apply(specs, &names, removes_orphans).map(drop)
    });
    let status = match &applied {
        Ok(()) if control.run(tick) => ExitStatus::Incomplete,
        Ok(()) => ExitStatus::Success,
        Err(_) => ExitStatus::Setup,
    };
    let clients = control.into_clients();
    // A signal is the ordinary end of a supervisor, so it is not an interrupt.
    let finished = session.finish(command, status);
    // Once the clients are answered, no supervisor runs.
    drop((lock, clients));
    finished?;
    applied.map_err(EngineError::Setup)?;
    Ok(status)
}

/// Sends a request to the supervisor of a data dir, and waits for its answer. Returns `None` if none runs. A supervisor that
/// does not answer at all is an error.
pub(crate) fn request(
    settings: &Settings,
    request: &ControlRequest,
    timeout: Option<Duration>,
) -> Result<Option<Answer>, EngineError> {
    if !await_supervisor(settings)? {
        return Ok(None);
    }
    let answer = control::request(&settings.data_dir, request, timeout).map_err(|error| {
        if is_timeout(&error) {
            let problem = "the supervisor did not answer in time; `rigup ps` shows the daemons";
            EngineError::NotFound(problem.to_owned())
        } else {
            unreachable(&error)
        }
    })?;
    match answer {
        Some(Answer { error: Some(error), .. }) => Err(EngineError::NotFound(error)),
        answer => Ok(answer),
    }
}

/// Sends a request to the supervisor of a data dir, and calls `on_records` with the records of each answer until that
/// breaks, the supervisor ends, or the other end of `output` is closed. Returns whether a supervisor runs.
pub(crate) fn follow(
    settings: &Settings,
    request: &ControlRequest,
    output: BorrowedFd<'_>,
    mut on_records: impl FnMut(Vec<Value>) -> ControlFlow<()>,
) -> Result<bool, EngineError> {
    if !await_supervisor(settings)? {
        return Ok(false);
    }
    let mut refused = None;
    let on_answer = |answer: Answer| match answer.error {
        Some(error) => {
            refused = Some(error);
            ControlFlow::Break(())
        }
        None => on_records(answer.daemons),
    };
    let is_running = control::follow(&settings.data_dir, request, output, on_answer)
        .map_err(|error| unreachable(&error))?;
    refused.map_or(Ok(is_running), |error| Err(EngineError::NotFound(error)))
}

/// Tells the supervisor of a data dir, if one runs, that binaries may have been installed. One that does not answer finds
/// that later: the next `rigup up` restarts what is stale.
pub(crate) fn announce_installs(settings: &Settings) {
    let _ = control::request(&settings.data_dir, &ControlRequest::RestartStale, Some(ANNOUNCE_PATIENCE));
}

/// Sends a request that stops daemons to the supervisor. If none runs, stops them as [`stop`] does. Returns warnings.
pub(crate) fn request_or_stop(
    session: &Session<'_>,
    stop_request: &ControlRequest,
    names: Option<&[String]>,
    grace: Option<Duration>,
) -> Result<Vec<String>, EngineError> {
    loop {
        if let Some(answer) = request(&session.settings, stop_request, None)? {
            return Ok(answer.warnings);
        }
        // No supervisor starts meanwhile.
        if let Some(_lock) = try_lock(&session.settings, LockHolder::Stop)? {
            return stop(session, names, grace);
        }
    }
}

/// Waits until the supervisor of a data dir answers. Returns whether one runs.
pub(crate) fn await_supervisor(settings: &Settings) -> Result<bool, EngineError> {
    let start = Instant::now();
    loop {
        match control::request(&settings.data_dir, &ControlRequest::Ping, Some(ANSWER_PATIENCE)) {
            Ok(Some(_)) => return Ok(true),
            Ok(None) => {}
            Err(error) if is_timeout(&error) => {
                // Without the lock, something else listens there, which the start of a supervisor refuses.
                let Some(text) = lock_text(settings)? else { return Ok(false) };
                return Err(unanswered(settings, &text, ANSWER_PATIENCE));
            }
            Err(error) => return Err(unreachable(&error)),
        }
        // One that has the lock is about to listen, or has just stopped doing so.
        let Some(text) = lock_text(settings)? else { return Ok(false) };
        let is_stop = text.trim_end().ends_with(STOP);
        let patience = if is_stop { stop_patience(settings)? } else { ANSWER_PATIENCE };
        if start.elapsed() >= patience {
            return Err(unanswered(settings, &text, patience));
        }
        poll::pause(Instant::now() + LOCK_INTERVAL);
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn unreachable(error: &io::Error) -> EngineError {
    EngineError::Setup(format!("cannot reach the supervisor: {error}"))
}

/// Returns the error for a process that has the lock of the supervisor, with this text in it, and does not answer.
fn unanswered(settings: &Settings, text: &str, patience: Duration) -> EngineError {
    let pid: Option<u32> = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
    let process = pid.map_or_else(|| "it".to_owned(), |pid| format!("process {pid}"));
    let socket = control::socket_path(&settings.data_dir);
    let (reason, continued) = match pid {
        _ if !socket.exists() => (format!(", because {} was removed", socket.display()), String::new()),
        Some(pid) => (String::new(), format!("continue it with `kill -CONT {pid}`, or ")),
        None => Default::default(),
    };
    let remedy = pid.map_or_else(String::new, |pid| {
        format!("; {continued}end it with `kill -KILL {pid}`, after which the daemons keep running")
    });
    let seconds = patience.as_secs();
    let problem =
        format!("cannot reach the supervisor: {process} does not answer within {seconds} s{reason}{remedy}");
    EngineError::Setup(problem)
}

/// Returns the daemons in the store, each with its current or last execution. Without a supervisor, the status of a daemon
/// is that of its execution.
pub(crate) fn stored(store: &Store) -> Result<Vec<(Daemon, Option<Process>)>, EngineError> {
    let is_supervised = || matches!(lock::is_locked(&store.data_dir().join(LOCK)), Ok(Some(true)));
    let with_process = |mut daemon: Daemon| {
        let process = daemon.process_id.map(|id| store.readable_process(id)).transpose()?.flatten();
        let is_unreadable =
            process.is_none() && daemon.process_id.map_or(Ok(false), |id| store.has_process(id))?;
        let process = process.map(|process| recover::as_found(store, process));
        let is_alive = process.as_ref().is_some_and(|process| process.exit().is_none());
        // A supervisor is about to judge the exit.
        if daemon.status.is_alive() && !is_alive && !is_unreadable && !is_supervised() {
            daemon.status = status_after(&daemon, process.as_ref().and_then(Process::exit));
        }
        let machine_id = process.as_ref().map(|process| process.machine_id).filter(|_| is_alive);
        daemon.is_stale = machine_id.map_or(Ok(false), |id| staleness::is_stale(store, id, &daemon))?;
        Ok((daemon, process))
    };
    store.daemons()?.into_iter().map(with_process).collect()
}

/// Returns the status of a daemon whose execution has ended, and which no supervisor has judged or can judge now.
fn status_after(daemon: &Daemon, exit: Option<&ProcessExit>) -> DaemonStatus {
    // A restart goes on only once a supervisor runs, and all daemons that `rigup down` has stopped stay wanted.
    let is_stop = daemon.status == DaemonStatus::Stopping || daemon.wanted == Wanted::Stopped;
    let is_judged =
        |exit: &&ProcessExit| !is_stop && !matches!(exit.reason, ExitReason::Stopped | ExitReason::Lost);
    let Some(exit) = exit.filter(is_judged) else { return DaemonStatus::Stopped };
    let spec = &daemon.spec;
    match spec.is_failure(exit.exit_code) {
        is_failure if spec.restart.follows(is_failure) && !spec.stops_all(is_failure) => {
            DaemonStatus::Backoff
        }
        true => DaemonStatus::Failed,
        false => DaemonStatus::Exited,
    }
}

/// Stops daemons without a supervisor, and stores that they are not wanted: those with these names, or all in reverse order
/// of their dependencies, which stay wanted. Returns warnings.
fn stop(
    session: &Session<'_>,
    names: Option<&[String]>,
    grace: Option<Duration>,
) -> Result<Vec<String>, EngineError> {
    let store = &*session.store;
    let mut warnings = Vec::new();
    let daemons = store.daemons()?;
    let specs: Vec<DaemonSpec> = daemons.iter().map(|daemon| daemon.spec.clone()).collect();
    let selected = names.map(|names| policy::named(specs.iter(), names)).transpose();
    let selected = selected.map_err(|unknown| not_found(&unknown))?;
    for name in selected.iter().flatten() {
        store.save_stop_by_hand(name)?;
    }
    let is_selected =
        |daemon: &Daemon| selected.as_ref().is_none_or(|names| names.contains(&daemon.spec.name));
    for name in policy::order(&specs).into_iter().rev() {
        let Some(daemon) = daemons.iter().find(|daemon| daemon.name == *name && is_selected(daemon)) else {
            continue;
        };
        if let Some(id) = daemon.process_id {
            let Settings { data_dir, lib_dir, rigup, .. } = &session.settings;
            let mut spec = daemon.spec.clone();
            spec.stop_grace_period = grace.unwrap_or(spec.stop_grace_period);
            let warning = execution::stop(data_dir, lib_dir, rigup, id, None, &spec)
                .map_err(|problem| EngineError::NotFound(format!("cannot stop {name}: {problem}")))?;
            warnings.extend(warning.map(|warning| format!("{name}: {warning}")));
            if let Some(process) = store.process(id)? {
                recover::recover_if_lost(store, &process)?;
            }
        }
        let mut stopped = Daemon { status: DaemonStatus::Stopped, ..daemon.clone() };
        if names.is_some() {
            (stopped.wanted, stopped.is_stopped_by_hand) = (Wanted::Stopped, true);
        }
        store.save_daemons(&[stopped])?;
    }
    Ok(warnings)
}

/// Returns the error for an unknown daemon.
pub(crate) fn not_found(name: &str) -> EngineError {
    EngineError::NotFound(control::unknown_daemon(name))
}
