//! The waiter: a small process of rigup's own that sees a background process out, whatever becomes of its launcher.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock;
use crate::fs::lock::FileLock;
use crate::model::process::{Process, ProcessExit};
use crate::process::run_dir::RunDir;
use crate::process::signals::Interrupt;
use crate::process::spawn::{Child, Spawn, SpawnError};
use crate::process::supervise::Supervision;
use crate::process::tree::{PROCESS_ID_VARIABLE, WAITER_VARIABLE};
use crate::process::{poll, subreaper, terminate, wait};
use crate::store::{Store, StoreError};

/// The hidden command by which rigup starts itself as a waiter.
pub const COMMAND: &str = "waiter";

/// How long a waiter has to start its process and to say so.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// What a launcher hands to a waiter: a process whose record and run dir exist.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The rigup to start.
    pub rigup: &'a Path,
    /// Where the record is.
    pub data_dir: &'a Path,
    /// The record.
    pub process: &'a Process,
    /// The lock on its run dir, which the waiter holds until the story is over.
    pub lock: FileLock,
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub cwd: PathBuf,
}

/// Why there is no waiter.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It was started, and said nothing good.
    #[error("the process that should wait for it {0}")]
    Unready(String),
    /// No pipe, no `/dev/null`.
    #[error("no pipe to the process that should wait for it: {0}")]
    Io(#[from] io::Error),
}

impl Launch<'_> {
    /// Starts the waiter, and returns once the process runs or could not be started; its record tells which.
    pub fn launch(self) -> Result<Child, LaunchError> {
        let id = self.process.id.to_string();
        let (ready, say_ready) = io::pipe()?;
        let mut args: Vec<OsString> =
            vec!["--data-dir".into(), self.data_dir.into(), COMMAND.into(), id.as_str().into(), "--".into()];
        args.push(self.program);
        args.extend(self.args);
        let mut env = self.env;
        env.retain(|(name, _)| name != PROCESS_ID_VARIABLE && name != WAITER_VARIABLE);
        env.push((WAITER_VARIABLE.into(), id.into()));
        let (say_ready, null) = (File::from(OwnedFd::from(say_ready)), null()?);
        let spawn = Spawn {
            program: self.rigup.into(),
            args,
            env,
            cwd: self.cwd,
            stdin: Some(self.lock.file()),
            stdout: &say_ready,
            stderr: &null,
        };
        let child = spawn.start()?;
        // From here on the waiter holds the lock, and nobody but it can say anything.
        drop((self.lock, say_ready));
        let mut ready = File::from(OwnedFd::from(ready));
        let deadline = Instant::now() + START_PATIENCE;
        let mut said = String::new();
        if let [true] = poll::readable([ready.as_fd()], deadline) {
            ready.read_to_string(&mut said)?;
        }
        let problem = match said.trim() {
            READY => return Ok(child),
            "" => "does not answer".to_owned(),
            error => format!("cannot work: {error}"),
        };
        // Nothing may run that nobody sees out.
        child.handle.signal(Signal::KILL);
        let _ = wait::reap(&child);
        terminate::end_marked(self.process.id, None);
        Err(LaunchError::Unready(problem))
    }
}

const READY: &str = "ready";

/// Why a waiter cannot work.
#[derive(Debug, thiserror::Error)]
pub enum WaiterError {
    /// The record cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run dir cannot be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It has no record, or one without a run dir.
    #[error("there is no process to wait for that has this id and a run dir")]
    NoRecord,
}

/// Starts the process, says so on standard output, and sees it out: the work of a waiter. A hook may write
/// `output_limit` bytes to a stream, a detached run as many as it likes. Its standard input is the
/// lock on the run dir, and is held by being open.
pub fn wait_for(
    store: &Store,
    process: Process,
    output_limit: u64,
    program: OsString,
    args: Vec<OsString>,
    mut env: Vec<(OsString, OsString)>,
    cwd: PathBuf,
) -> Result<(), WaiterError> {
    let interrupt = Interrupt::install()?;
    subreaper::adopt();
    let run_dir = RunDir::at(process.spec.run_dir.as_deref().ok_or(WaiterError::NoRecord)?);
    let logs = run_dir.open_logs()?;
    let [stdout, stderr] = &logs;
    env.retain(|(name, _)| name != WAITER_VARIABLE);
    env.push((PROCESS_ID_VARIABLE.into(), process.id.to_string().into()));
    let child = match (Spawn { program, args, env, cwd, stdin: None, stdout, stderr }).start() {
        Ok(child) => child,
        Err(error) => {
            let now = clock::now();
            let exit = ProcessExit::spawn_failed(error.to_string(), now);
            run_dir.write_exit(now, &exit, &[])?;
            store.save_process(&process.into_exited(exit))?;
            return Ok(say_ready()?);
        }
    };
    let output_cap = process.spec.run.is_none().then_some(output_limit);
    let process = process.into_running(child.identity(), child.started_at);
    let watch = Supervision {
        process_id: process.id,
        run_dir: &run_dir,
        logs: &logs,
        note_after: Duration::ZERO,
        timeout: process.spec.timeout,
        output_cap,
        interrupt: &interrupt,
    };
    let noted = || -> Result<(), WaiterError> {
        run_dir.write_pid(child.entry().pid)?;
        run_dir.write_identity(&child.identity())?;
        store.save_process(&process)?;
        Ok(say_ready()?)
    };
    let seen = watch.see_out(&child, noted, || ())?;
    // Each of the two is enough for whoever asks later.
    let noted = run_dir.write_exit(child.started_at, &seen.exit, &seen.warnings);
    store.save_process(&process.clone().into_exited(seen.exit))?;
    noted?;
    // What was over at once was never noted.
    Ok(say_ready()?)
}

/// Tells the launcher, and lets go of the pipe. A launcher that is gone is none of a waiter's business.
fn say_ready() -> io::Result<()> {
    let _ = writeln!(io::stdout(), "{READY}");
    rustix::stdio::dup2_stdout(null()?)?;
    Ok(())
}

fn null() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
}
