//! Starting a process: the one place where rigup does so.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::clock;
use crate::exhaustion;
use crate::model::process::Identity;
use crate::process::handle::{self, Handle};
use crate::process::posix_spawn::Image;
use crate::process::system::{self, ProcessEntry};
use crate::process::{poll, subreaper};

/// What to start, with nothing left to chance: the environment is the whole of it, stdin is `/dev/null`, and
/// output goes to files, so that a grandchild that keeps them open delays nobody.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program, looked up on the `PATH` in `env` where it has no slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Its standard input; none for `/dev/null`.
    pub stdin: Option<&'a File>,
    /// Where its standard output goes.
    pub stdout: &'a File,
    /// Where its standard error goes.
    pub stderr: &'a File,
}

/// A process that rigup started.
#[derive(Debug)]
pub struct Child {
    /// The process.
    pub handle: Handle,
    /// When it started.
    pub started_at: Timestamp,
}

/// A process that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{} could not be started: {reason}", program.display())]
pub struct SpawnError {
    /// The program.
    pub program: PathBuf,
    /// Why not, and what to do.
    pub reason: String,
    /// Whether there is no such program; else it is there, and cannot be started.
    pub is_missing: bool,
    /// Whether the system is out of what it takes, and the program may be as good as any.
    pub is_scarcity: bool,
}

impl SpawnError {
    fn new(program: PathBuf, cwd: &Path, error: &io::Error) -> Self {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        let is_scarcity = exhaustion::is_one(error);
        Self { reason: reason(&program, cwd, error), program, is_missing, is_scarcity }
    }
}

/// A program that another process holds open for writing is tried again for so long, with this pause.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

impl Spawn<'_> {
    /// Starts it in a session of its own, without a terminal, with all signals at their defaults.
    pub fn start(&self) -> Result<Child, SpawnError> {
        self.try_start().map_err(|error| SpawnError::new(PathBuf::from(&self.program), &self.cwd, &error))
    }

    fn try_start(&self) -> io::Result<Child> {
        let null;
        let stdin = if let Some(stdin) = self.stdin {
            stdin
        } else {
            null = File::open("/dev/null")?;
            &null
        };
        let file = self.find_program()?;
        let image = Image {
            file: &file,
            argv: std::iter::once(&self.program).chain(&self.args).map(OsString::as_os_str).collect(),
            env: self.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())).collect(),
            cwd: &self.cwd,
            streams: [stdin.as_fd(), self.stdout.as_fd(), self.stderr.as_fd()],
        };
        child(|| image.spawn())
    }
}

impl Spawn<'_> {
    /// The program's file: itself where it is a path, else the first of its name on the `PATH` in `env`.
    fn find_program(&self) -> io::Result<PathBuf> {
        if self.program.as_encoded_bytes().contains(&b'/') {
            return Ok(PathBuf::from(&self.program));
        }
        let path = self.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
        which::which_in(&self.program, path, &self.cwd).map_err(|_| io::ErrorKind::NotFound.into())
    }
}

impl Child {
    /// The process.
    pub fn entry(&self) -> &ProcessEntry {
        &self.handle.entry
    }

    /// Who it is.
    pub fn identity(&self) -> Identity {
        handle::from_entry(&self.handle.entry)
    }

    /// Readable once the process is over.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.handle.fd()
    }
}

/// Starts a command in this process's own session and group, with its own standard streams; with this environment, or
/// with its own.
pub fn start_attached(
    program: &OsStr,
    args: &[OsString],
    env: Option<Vec<(OsString, OsString)>>,
) -> Result<Child, SpawnError> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let mut command = Command::new(program);
    command.args(args);
    if let Some(env) = env {
        command.env_clear().envs(env);
    }
    let started = child(|| command.spawn().map(|child| child.id()));
    let here = Path::new(".");
    started.map_err(|error| SpawnError::new(program.into(), here, &error))
}

/// Starts a child, patiently where its program is still being written.
fn child(mut start: impl FnMut() -> io::Result<u32>) -> io::Result<Child> {
    // What it takes to get hold of the child: nothing is started that could only be killed again.
    let reserve = [File::open("/dev/null")?, File::open("/dev/null")?];
    let deadline = Instant::now() + BUSY_PATIENCE;
    let pid = loop {
        match subreaper::started(&mut start) {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) && Instant::now() < deadline => {
                poll::pause(Instant::now() + BUSY_PAUSE);
            }
            done => break done?,
        }
    };
    drop(reserve);
    let started_at = clock::now();
    match Handle::of_child(pid) {
        Ok(handle) => Ok(Child { handle, started_at }),
        Err(error) => {
            let child = nix::unistd::Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?);
            nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL)?;
            subreaper::reaped(pid, || nix::sys::wait::waitpid(child, None))?;
            Err(error)
        }
    }
}

/// Closes what this process inherited besides its standard streams, so that a process that outlives its caller keeps
/// none of the caller's pipes open. To be called before anything else is opened.
pub fn close_inherited() {
    system::close_inherited();
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
        _ if error.raw_os_error() == Some(libc::ENOEXEC) => {
            "its format is unknown; a script begins with a line such as #!/bin/sh".to_owned()
        }
        io::ErrorKind::PermissionDenied if is_mounted_noexec(program) => {
            "it lies on a file system that is mounted noexec; move it to another, or mount that with exec"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => format!("{error}; check its mode"),
        _ if error.raw_os_error() == Some(libc::ETXTBSY) => {
            format!("{error}: another process has it open for writing; try again once it is done")
        }
        _ => exhaustion::explained(error),
    }
}

/// Whether nothing may be executed where this file lies, whatever its mode says.
pub fn is_mounted_noexec(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    let is_noexec =
        rustix::fs::statvfs(path).is_ok_and(|it| it.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC));
    // Elsewhere, a file's permission is all that is looked at.
    #[cfg(not(target_os = "linux"))]
    let is_noexec = false;
    is_noexec
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
