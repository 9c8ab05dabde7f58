//! The waiter: a small rigup process that waits for a background command, even if the rigup that launched it exits.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock;
use crate::fs::lock::FileLock;
use crate::model::{Identity, LogLimits, Process, ProcessAttributes, ProcessExit, ProcessId};
use crate::process::notify;
use crate::process::reserved_exit::ReservedExit;
use crate::process::rotation::Rotation;
use crate::process::run_dir::{self, RunDir};
use crate::process::signals::Interrupt;
use crate::process::spawn::{Child, CommandSpec, SpawnError};
use crate::process::supervise::{FinishedProcess, PreparedProcess, Supervision};
use crate::process::tree::{self, PROCESS_ID_VARIABLE, WAITER_VARIABLE};
use crate::process::{lifetime, poll, subreaper, system, terminate, wait};
use crate::settings::{Environment, Settings};
use crate::sorting::collect_sorted;
use crate::store::Store;

/// The hidden command that starts rigup as a waiter.
pub(crate) const COMMAND: &str = "waiter";

/// How long a waiter may take to start its process and to report that.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long a waiter tries to store the exit of its process, and the pause between two tries.
const STORE_PATIENCE: Duration = Duration::from_secs(30);
const STORE_PAUSE: Duration = Duration::from_millis(200);

/// The prefix of the variables of the command in the environment of its waiter, if the waiter itself has none of this name
/// and value. It begins with the name of the variable that marks a waiter.
const COMMAND_PREFIX: &str = "RIGUP_WAITER_ENV_";

/// The prefix of the variables that contain the program and the arguments of the command, numbered from 0. They are not
/// arguments of the waiter, because hooks that look for processes by their command lines would take it for the command.
const WORD_PREFIX: &str = "RIGUP_WAITER_WORD_";

/// The text that a waiter writes to standard output once its process runs or could not be started.
const READY: &str = "ready";

/// The number of bytes of a report that are read: what a waiter writes at once.
const MAX_REPORT: usize = 4096;

/// An error that prevents a waiter from being launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It cannot be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It was killed, so its process may have been started.
    #[error("the waiter was killed")]
    Killed,
    /// It was started, but reported an error, or nothing in time.
    #[error("the waiter {0}")]
    Unready(String),
    /// A pipe or `/dev/null` cannot be opened.
    #[error("cannot open a pipe to the waiter: {0}")]
    Io(#[from] io::Error),
}

/// The conditions under which a waiter supervises its process.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaiterConditions {
    /// How much memory the process and its descendants may use, in bytes; `None` for no limit.
    pub memory_limit: Option<u64>,
    /// The grace period of the process if the waiter is told to terminate it.
    pub grace: Duration,
    /// The limits from which the waiter rotates the logs; `None` for no rotation.
    pub log_limits: Option<LogLimits>,
    /// The user, the priority and the limits of the process; `None` for those of the waiter.
    pub attributes: Option<ProcessAttributes>,
}

/// A waiter that was started, and has not reported yet.
#[derive(Debug)]
pub(crate) struct StartingWaiter {
    waiter: Child,
    process_id: ProcessId,
    report: io::PipeReader,
    /// When it must have reported.
    pub deadline: Instant,
}

/// A waiter that was started, and reported an error, or nothing in time.
#[derive(Debug)]
pub(crate) struct FailedWaiter {
    waiter: StartingWaiter,
    has_reported: bool,
    /// The beginning of its report.
    report: Vec<u8>,
}

impl StartingWaiter {
    /// Returns the descriptor that is readable when it has reported or has exited.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// Waits until the process runs or could not be started; the record shows which.
    pub(crate) fn wait(self) -> Result<Child, LaunchError> {
        poll::readable([self.fd()], self.deadline);
        self.finish().map_err(FailedWaiter::end)
    }

    /// Returns the waiter if the process runs or could not be started. Does not block; the caller has waited for the
    /// descriptor or the deadline.
    pub(crate) fn finish(mut self) -> Result<Child, FailedWaiter> {
        let has_reported = poll::readable([self.fd()], Instant::now()) == [true];
        let mut report = vec![0; MAX_REPORT];
        let count = if has_reported { self.report.read(&mut report).unwrap_or_default() } else { 0 };
        report.truncate(count);
        if report.trim_ascii() == READY.as_bytes() {
            return Ok(self.waiter);
        }
        Err(FailedWaiter { waiter: self, has_reported, report })
    }
}

impl FailedWaiter {
    /// Kills the waiter and what it has started, because no process may run unsupervised. Returns the error.
    pub(crate) fn end(self) -> LaunchError {
        let Self { waiter: StartingWaiter { waiter, process_id, .. }, has_reported, report } = self;
        waiter.handle.signal(Signal::KILL);
        let _ = wait::reap(&waiter);
        terminate::terminate_leftovers(None, || tree::find_by_id(process_id).unwrap_or_default());
        match String::from_utf8_lossy(&report).trim() {
            "" if has_reported => LaunchError::Killed,
            "" => LaunchError::Unready("did not report that it is ready".to_owned()),
            error => LaunchError::Unready(format!("failed: {error}")),
        }
    }
}

/// Starts a waiter for a command whose record and run dir exist. The waiter holds `lock`, the lock of the run dir, until the
/// exit is stored.
pub(crate) fn start(
    settings: &Settings,
    process: &Process,
    lock: FileLock,
    command: CommandSpec,
    conditions: &WaiterConditions,
) -> Result<StartingWaiter, LaunchError> {
    let WaiterConditions { memory_limit, grace, log_limits, attributes } = conditions;
    let id = process.id.to_string();
    let (report, ready_writer) = io::pipe()?;
    let CommandSpec { program, args, env, cwd } = command;
    // The command may have other settings in its environment and its folder, which do not concern the waiter.
    let options: [(&str, OsString); 4] = [
        ("--data-dir", settings.data_dir.clone().into()),
        ("--lib-dir", settings.lib_dir.clone().into()),
        ("--output-limit", settings.output_limit.to_string().into()),
        ("--grace", grace.as_millis().to_string().into()),
    ];
    let memory_limit = memory_limit.map(|limit| ("--memory-limit", limit.to_string().into()));
    let log_limits = log_limits.map(|LogLimits { max_size, max_files }| {
        [("--log-max-size", max_size.to_string().into()), ("--log-max-files", max_files.to_string().into())]
    });
    let options = options.into_iter().chain(memory_limit).chain(log_limits.into_iter().flatten());
    let mut words = vec![OsString::from(COMMAND)];
    let attributes =
        attributes.as_ref().map(|attributes| serde_json::to_string(attributes).map(OsString::from));
    let attributes = attributes.transpose().map_err(io::Error::other)?.map(|value| ("--attributes", value));
    let options = options.chain(attributes);
    words.extend(options.flat_map(|(option, value)| [option.into(), value]));
    words.push(id.as_str().into());
    let mut env = own_environment(&settings.command_environment, env);
    env.push((WAITER_VARIABLE.into(), id.into()));
    let numbered = std::iter::once(program).chain(args).enumerate();
    env.extend(numbered.map(|(n, word)| (format!("{WORD_PREFIX}{n}").into(), word)));
    let waiter = CommandSpec { program: settings.rigup.clone().into(), args: words, env, cwd };
    let (ready_writer, null) = (File::from(OwnedFd::from(ready_writer)), null()?);
    let waiter = waiter.start(Some(lock.file()), &ready_writer, &null)?;
    // From here on the waiter alone holds the lock and the pipe.
    drop((lock, ready_writer));
    Ok(StartingWaiter { waiter, process_id: process.id, report, deadline: Instant::now() + START_PATIENCE })
}

/// Returns the environment of a waiter: that of its launcher, with the variables in which the command differs behind the
/// prefix, because some would change the waiter itself, such as `LD_PRELOAD`.
fn own_environment(
    launcher: &Environment,
    of_command: Vec<(OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let launcher: BTreeMap<&OsStr, &OsStr> = collect_sorted(launcher.iter());
    let mut env = Vec::new();
    let is_of_command =
        |(name, _): &(OsString, OsString)| !name.as_bytes().starts_with(WAITER_VARIABLE.as_bytes());
    for (name, value) in of_command.into_iter().filter(is_of_command) {
        let own = launcher.get(&*name).copied();
        if own != Some(&*value) {
            let mut prefixed = OsString::from(COMMAND_PREFIX);
            prefixed.push(&name);
            env.push((prefixed, value));
        }
        // The waiter belongs to no tree.
        if let Some(own) = own.filter(|_| name != PROCESS_ID_VARIABLE) {
            env.push((name, own.to_owned()));
        }
    }
    env
}

/// Returns the environment of the command of this waiter, given its own.
pub(crate) fn environment_of_command(own: &Environment) -> Vec<(OsString, OsString)> {
    without_prefixes(own.iter())
}

/// Returns the environment with which a running process was started, from its waiter, or from the process itself if it has
/// none any more.
pub(crate) fn environment_of_execution(process: &Process) -> Option<Vec<(OsString, OsString)>> {
    let waiter = tree::find_waiter(process.id).ok().flatten().map(|waiter| waiter.pid);
    let pid = waiter.or_else(|| Some(process.running()?.identity.pid))?;
    let environ = system::environ(pid)?;
    let pairs = environ.split(|byte| *byte == 0).filter_map(|variable| {
        let end = memchr::memchr(b'=', variable)?;
        Some((OsStr::from_bytes(&variable[..end]), OsStr::from_bytes(&variable[end + 1..])))
    });
    Some(without_prefixes(pairs))
}

fn without_prefixes<'a>(own: impl Iterator<Item = (&'a OsStr, &'a OsStr)>) -> Vec<(OsString, OsString)> {
    let mut env = BTreeMap::new();
    let mut changed = Vec::new();
    let is_of_command =
        |name: &OsStr| name != WAITER_VARIABLE && !name.as_bytes().starts_with(WORD_PREFIX.as_bytes());
    for (name, value) in own.filter(|(name, _)| is_of_command(name)) {
        match name.as_bytes().strip_prefix(COMMAND_PREFIX.as_bytes()) {
            Some(name) => changed.push((OsStr::from_bytes(name), value)),
            None => {
                env.insert(name, value);
            }
        }
    }
    env.extend(changed);
    env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Returns the program and the arguments of the command of this waiter, given its own environment.
pub(crate) fn words_of_command(own: &Environment) -> Vec<OsString> {
    let variables: BTreeMap<&OsStr, &OsStr> = collect_sorted(own.iter());
    let words = (0..).map_while(|n| variables.get(OsStr::new(&format!("{WORD_PREFIX}{n}"))));
    words.map(|&word| word.to_owned()).collect()
}

/// Runs as a waiter: starts the process, reports that on standard output, and supervises the process. A hook may write
/// `output_limit` bytes to a stream, a detached run any number. A hook belongs to its event: if the rigup that runs the
/// event is gone, it is terminated, or not started at all. Logs with limits are rotated. The standard input of the waiter is
/// the lock of the run dir, so the waiter holds the lock while it runs. It keeps the store closed while the process runs:
/// the exit belongs into the store that there is then, which may be a rebuilt one.
pub(crate) fn run(
    store: Store,
    process: Process,
    output_limit: u64,
    conditions: WaiterConditions,
    command: CommandSpec,
) -> io::Result<()> {
    let WaiterConditions { memory_limit, grace, log_limits, attributes } = conditions;
    let interrupt = Interrupt::install()?;
    subreaper::become_subreaper();
    let run_dir = run_dir::of(store.data_dir(), &process).map(RunDir::opened).transpose()?;
    let run_dir = run_dir.ok_or_else(|| io::Error::other("the process to wait for has no run dir"))?;
    let save = |store: &Store, process: &Process| store.save_process(process).map_err(io::Error::other);
    if process.spec.run.is_none() && !lifetime::end_with(&store, process.parent_id)? {
        let process = process.into_exited(ProcessExit::not_started(clock::now()));
        // Not an error, because other rigups find the exit in the store.
        let _ = run_dir.write_exit(&process);
        return save(&store, &process);
    }
    let logs = run_dir.open_logs()?;
    let reserved = ReservedExit::new(&run_dir)?;
    let mut rotation = log_limits.map(|limits| Rotation::new(limits, [run_dir.stdout(), run_dir.stderr()]));
    let lock = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output_limit = process.spec.run.is_none().then_some(output_limit);
    let supervision =
        Supervision { record_after: Duration::ZERO, output_limit, grace, interrupt: &interrupt };
    let variable = command.env.iter().find(|(name, _)| name == notify::SOCKET_VARIABLE);
    let variable = variable.map(|(_, address)| address.as_os_str());
    let listener = notify::listener(&run_dir.path(), process.id, variable)?;
    let lib_dir = store.lib_dir().to_owned();
    let mut store = Some(store);
    let record = |process: &Process, run_dir: &RunDir, identity: &Identity| {
        if let Some(listener) = listener {
            listener.listen();
        }
        // The process may have removed its run dir, which the warning about its exit will say.
        let _ = run_dir.write_identity(&lock, identity);
        store.take().map_or(Ok(()), |store| save(&store, process))?;
        report_ready()
    };
    let prepared = PreparedProcess {
        process,
        run_dir,
        logs,
        input: None,
        lock: None,
        memory_limit,
        attributes,
        command,
    };
    let mut finished =
        supervision.run(prepared, record, |logs| rotation.as_mut().map(|rotation| rotation.tick(logs)))?;
    finished.process.warnings.extend(rotation.and_then(Rotation::end));
    notify::remove(&finished.run_dir.path());
    let is_written = finished.write_reserved_exit(reserved);
    store_exit(&mut finished, is_written, |run_dir, process| match store.take() {
        Some(store) => save(&store, process),
        None => save(&reopen(run_dir, &lib_dir)?, process),
    })?;
    // A process that could not be started or exited at once was not reported yet.
    report_ready()
}

/// Stores the exit of a process in the store or in its run dir, where other rigups find it; with `is_written`, it is there.
/// If both fail, such as without space on the disk after the process has removed the file, tries again for a while.
fn store_exit(
    finished: &mut FinishedProcess,
    is_written: bool,
    mut save: impl FnMut(&RunDir, &Process) -> io::Result<()>,
) -> io::Result<()> {
    let deadline = Instant::now() + STORE_PATIENCE;
    loop {
        let FinishedProcess { process, run_dir, .. } = finished;
        process.spec.run_dir = Some(run_dir::path(&data_dir_of(run_dir), process.id));
        let Err(error) = save(run_dir, process) else { return Ok(()) };
        // A data dir that was moved is found; one that was removed never comes back.
        let is_removed = !data_dir_of(run_dir).exists();
        if is_written || run_dir.write_exit(process).is_ok() || is_removed || Instant::now() >= deadline {
            return Err(error);
        }
        poll::pause(Instant::now() + STORE_PAUSE);
    }
}

fn reopen(run_dir: &RunDir, lib_dir: &Path) -> io::Result<Store> {
    let store = Store::open_existing(&data_dir_of(run_dir), lib_dir).map_err(io::Error::other)?;
    store.ok_or_else(|| io::Error::other("the store is gone"))
}

/// Returns the data dir that an open run dir is in, which may have been moved.
fn data_dir_of(run_dir: &RunDir) -> PathBuf {
    let path = run_dir.path();
    path.ancestors().nth(2).unwrap_or(&path).to_owned()
}

/// Reports to the launcher that the waiter is ready, and closes the pipe. Ignores a launcher that has exited.
fn report_ready() -> io::Result<()> {
    let _ = writeln!(io::stdout(), "{READY}");
    rustix::stdio::dup2_stdout(null()?)?;
    Ok(())
}

fn null() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
}
