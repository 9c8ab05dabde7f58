//! Starting processes: the only place that does so.

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

/// A command with everything that decides what it does.
#[derive(Debug)]
pub struct CommandSpec {
    /// The program, looked up on the `PATH` in `env` if it has no slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub cwd: PathBuf,
}

impl CommandSpec {
    /// Returns the program and its arguments as texts, for records.
    pub fn words(&self) -> Vec<String> {
        words(&self.program, &self.args)
    }

    /// Returns the program's file: the program itself if it is a path, otherwise the first of its name on `PATH`.
    fn find_program(&self) -> io::Result<PathBuf> {
        if self.program.as_encoded_bytes().contains(&b'/') {
            return Ok(PathBuf::from(&self.program));
        }
        let path = self.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
        which::which_in(&self.program, path, &self.cwd).map_err(|_| io::ErrorKind::NotFound.into())
    }
}

/// A command and its streams. Output goes to files, so that a grandchild that keeps them open causes no delay.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The command.
    pub command: &'a CommandSpec,
    /// Its standard input; `None` for `/dev/null`.
    pub stdin: Option<&'a File>,
    /// The file for its standard output.
    pub stdout: &'a File,
    /// The file for its standard error.
    pub stderr: &'a File,
}

/// A process that rigup started.
#[derive(Debug)]
pub struct Child {
    /// The process.
    pub handle: Handle,
    /// Its start time.
    pub started_at: Timestamp,
}

/// A process that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {}: {reason}", program.display())]
pub struct SpawnError {
    /// The program.
    pub program: PathBuf,
    /// The cause and the next step.
    pub reason: String,
    /// Whether the program does not exist; otherwise it exists, and cannot be started.
    pub is_missing: bool,
    /// Whether the system ran out of resources, so that the program itself may be fine.
    pub is_exhausted: bool,
}

impl SpawnError {
    fn new(program: PathBuf, cwd: &Path, error: &io::Error) -> Self {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        let is_exhausted = exhaustion::is_exhausted(error);
        Self { reason: explain(&program, cwd, error), program, is_missing, is_exhausted }
    }
}

/// How long a program that another process has open for writing is tried again, and the pause between two tries.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

impl Spawn<'_> {
    /// Starts the command in a session of its own, without a terminal, with every signal at its default.
    pub fn start(&self) -> Result<Child, SpawnError> {
        let CommandSpec { program, cwd, .. } = self.command;
        self.try_start().map_err(|error| SpawnError::new(PathBuf::from(program), cwd, &error))
    }

    fn try_start(&self) -> io::Result<Child> {
        let null;
        let stdin = if let Some(stdin) = self.stdin {
            stdin
        } else {
            null = File::open("/dev/null")?;
            &null
        };
        let CommandSpec { program, args, env, cwd } = self.command;
        let file = self.command.find_program()?;
        let image = Image {
            file: &file,
            argv: std::iter::once(program).chain(args).map(OsString::as_os_str).collect(),
            env: env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())).collect(),
            cwd,
            streams: [stdin.as_fd(), self.stdout.as_fd(), self.stderr.as_fd()],
        };
        start(|| image.spawn())
    }
}

impl Child {
    /// Returns the process.
    pub fn entry(&self) -> &ProcessEntry {
        &self.handle.entry
    }

    /// Returns its identity.
    pub fn identity(&self) -> Identity {
        handle::identity_of(&self.handle.entry)
    }

    /// A descriptor that is readable once the process has exited.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.handle.fd()
    }
}

/// Starts a command in this process's own session and group, with its own standard streams, and with this environment or its
/// own.
pub fn start_in_foreground(
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
    start(|| command.spawn().map(|child| child.id()))
        .map_err(|error| SpawnError::new(program.into(), Path::new("."), &error))
}

/// Starts a child, and tries again for a while if its program is still being written.
fn start(mut spawn: impl FnMut() -> io::Result<u32>) -> io::Result<Child> {
    // The descriptors that the handle of the child needs: no child is started that could only be killed again.
    let reserve = [File::open("/dev/null")?, File::open("/dev/null")?];
    let deadline = Instant::now() + BUSY_PATIENCE;
    let pid = loop {
        match subreaper::start_child(&mut spawn) {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) && Instant::now() < deadline => {
                poll::pause(Instant::now() + BUSY_PAUSE);
            }
            started => break started?,
        }
    };
    drop(reserve);
    let started_at = clock::now();
    match Handle::open_child(pid) {
        Ok(handle) => Ok(Child { handle, started_at }),
        Err(error) => {
            let child = nix::unistd::Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?);
            nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL)?;
            subreaper::reap_child(pid, || nix::sys::wait::waitpid(child, None))?;
            Err(error)
        }
    }
}

/// Closes the descriptors that this process inherited besides its standard streams, so that a process that outlives its
/// caller keeps none of the caller's pipes open. It has to be called before anything else is opened.
pub fn close_inherited() {
    system::close_inherited();
}

/// Explains the error of a spawn. The system reports the same number for a missing program, a missing interpreter and a
/// missing folder.
fn explain(program: &Path, cwd: &Path, error: &io::Error) -> String {
    let is_path = program.as_os_str().as_encoded_bytes().contains(&b'/');
    match error.kind() {
        io::ErrorKind::NotFound if !cwd.is_dir() => format!("the folder {} does not exist", cwd.display()),
        io::ErrorKind::NotFound if is_path && program.exists() => match shebang(program) {
            Some(line) => {
                format!("its interpreter does not exist: {line}; install it, or change the first line")
            }
            None => "its loader does not exist: it was built for another system".to_owned(),
        },
        io::ErrorKind::NotFound if is_path => "the file does not exist".to_owned(),
        io::ErrorKind::NotFound => "it is not on PATH; install it".to_owned(),
        io::ErrorKind::ArgumentListTooLong => "its arguments and environment are too long".to_owned(),
        _ if error.raw_os_error() == Some(libc::ENOEXEC) => {
            "its format is unknown; a script begins with a line such as #!/bin/sh".to_owned()
        }
        io::ErrorKind::PermissionDenied if is_mounted_noexec(program) => {
            "its file system is mounted noexec; move it to another one, or remount that with exec".to_owned()
        }
        io::ErrorKind::PermissionDenied => format!("{error}; check its mode"),
        _ if error.raw_os_error() == Some(libc::ETXTBSY) => {
            format!("{error}: another process has it open for writing; try again later")
        }
        _ => exhaustion::explain(error),
    }
}

/// Whether the file system of this file is mounted noexec.
pub fn is_mounted_noexec(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    let is_noexec = rustix::fs::statvfs(path)
        .is_ok_and(|stat| stat.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC));
    // Elsewhere only the mode of a file decides.
    #[cfg(not(target_os = "linux"))]
    let is_noexec = false;
    is_noexec
}

fn shebang(script: &Path) -> Option<String> {
    let start = fs_err::read(script).ok()?;
    let line = start.split(|&byte| byte == b'\n').next()?;
    line.starts_with(b"#!").then(|| String::from_utf8_lossy(line).trim().to_owned())
}

/// Returns a program and its arguments as texts, for records.
pub fn words(program: &OsStr, args: &[OsString]) -> Vec<String> {
    std::iter::once(program)
        .chain(args.iter().map(OsString::as_os_str))
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}
