//! Starting a process: the one place where rigup does so.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::clock;
use crate::process::poll;
use crate::process::table::{self, Entry};

/// What to start, with nothing left to chance: the environment is the whole of it, stdin is `/dev/null`, and
/// output goes to files, so that a grandchild that keeps them open delays nobody.
#[derive(Debug)]
pub struct Spawn {
    /// The program, looked up on the `PATH` in `env` where it has no slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Where its standard output goes.
    pub stdout: File,
    /// Where its standard error goes.
    pub stderr: File,
}

/// A process that was started and not yet waited for: until then its pid and its group are nobody else's.
#[derive(Debug)]
pub struct Child {
    /// The process.
    pub entry: Entry,
    /// When it started.
    pub started_at: Timestamp,
    pidfd: OwnedFd,
}

/// A process that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{} could not be started: {reason}", program.display())]
pub struct SpawnError {
    /// The program.
    pub program: PathBuf,
    /// Why not, and what to do.
    pub reason: String,
}

/// A script that another process holds open for writing is tried again so often, with this pause.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

impl Spawn {
    /// Starts it in a session of its own, without a terminal, with all signals at their defaults.
    pub fn start(self) -> Result<Child, SpawnError> {
        let program = PathBuf::from(&self.program);
        let cwd = self.cwd.clone();
        self.try_start().map_err(|error| SpawnError { reason: reason(&program, &cwd, &error), program })
    }

    fn try_start(self) -> io::Result<Child> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.cwd)
            .stdin(Stdio::null())
            .stdout(self.stdout)
            .stderr(self.stderr);
        // SAFETY: signal and setsid are async-signal-safe and touch no memory of the parent.
        #[expect(unsafe_code, reason = "the standard library starts no session and resets PIPE alone")]
        unsafe {
            command.pre_exec(|| {
                for number in 1..=libc::SIGRTMAX() {
                    // Those that cannot be set are at their defaults.
                    libc::signal(number, libc::SIG_DFL);
                }
                nix::unistd::setsid().map(drop).map_err(io::Error::from)
            });
        }
        let mut tries = 0;
        let child = loop {
            match command.spawn() {
                Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) && tries < BUSY_TRIES => {
                    tries += 1;
                    poll::pause(Instant::now() + BUSY_PAUSE);
                }
                done => break done?,
            }
        };
        let started_at = clock::now();
        let pid = child.id();
        let pidfd = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
            .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?));
        match (pidfd, table::entry(pid)) {
            (Ok(pidfd), Some(entry)) => Ok(Child { entry, started_at, pidfd }),
            (pidfd, _) => {
                let mut child = child;
                child.kill()?;
                child.wait()?;
                Err(pidfd.err().unwrap_or_else(|| io::Error::other("/proc does not show the new process")))
            }
        }
    }
}

impl Child {
    /// Readable once the process is over.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Runs a command in this process's own session and with its own standard streams, waits for it, and gives back its
/// exit code, 128+N for signal N.
pub fn run_attached(program: &OsStr, args: &[OsString]) -> Result<i32, SpawnError> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let status = Command::new(program).args(args).status().map_err(|error| SpawnError {
        program: program.into(),
        reason: reason(Path::new(program), Path::new("."), &error),
    })?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
}

/// What the error of a spawn means. The system tells one number for a missing program, a missing interpreter and a
/// missing folder.
fn reason(program: &Path, cwd: &Path, error: &io::Error) -> String {
    let is_path = program.as_os_str().as_encoded_bytes().contains(&b'/');
    match error.kind() {
        io::ErrorKind::NotFound if !cwd.is_dir() => format!("the folder {} is not there", cwd.display()),
        io::ErrorKind::NotFound if is_path && program.exists() => match shebang(program) {
            Some(line) => {
                format!("its interpreter is not there: {line}; install it, or change the first line")
            }
            None => "its loader is not there: it was built for another system".to_owned(),
        },
        io::ErrorKind::NotFound if is_path => "the file is not there".to_owned(),
        io::ErrorKind::NotFound => "it is not on PATH; install it".to_owned(),
        io::ErrorKind::ArgumentListTooLong => "its arguments and environment are too long".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("{error}; check its mode, and that it lies on no noexec mount")
        }
        _ => error.to_string(),
    }
}

fn shebang(script: &Path) -> Option<String> {
    let start = fs_err::read(script).ok()?;
    let line = start.split(|&byte| byte == b'\n').next()?;
    line.starts_with(b"#!").then(|| String::from_utf8_lossy(line).trim().to_owned())
}

/// The program and arguments as one list of texts, for records.
pub fn spelled(program: &OsStr, args: &[OsString]) -> Vec<String> {
    std::iter::once(program)
        .chain(args.iter().map(OsString::as_os_str))
        .map(|it| it.to_string_lossy().into_owned())
        .collect()
}
