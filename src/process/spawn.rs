//! Starting processes. No other module does so.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::clock;
use crate::exhaustion;
use crate::fs::dir::with_path;
use crate::model::BinaryName;
use crate::process::executable::{self, ExecutableError};
use crate::process::handle::Handle;
use crate::process::{poll, subreaper, system};
use crate::shell;

/// A command with its environment and working directory.
#[derive(Debug, Clone)]
pub(crate) struct CommandSpec {
    /// The program, looked up on the `PATH` in `env` if it has no slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its complete environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub cwd: PathBuf,
}

/// A process that rigup started.
#[derive(Debug)]
pub(crate) struct Child {
    /// The process.
    pub handle: Handle,
    /// Its start time.
    pub started_at: Timestamp,
}

/// An error that prevents a process from being started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {}: {reason}", program.display())]
pub struct SpawnError {
    /// The program.
    pub program: PathBuf,
    /// The cause and the next step.
    pub reason: String,
    /// Whether the program does not exist, rather than being impossible to start.
    pub is_missing: bool,
    /// Whether the system ran out of resources, so that the program itself may be fine.
    pub is_exhausted: bool,
}

/// How long to retry a program that another process has open for writing, and the pause between two tries.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

impl CommandSpec {
    /// Returns the path of the program: the program itself if it is a path, otherwise the first match on `PATH`.
    pub(crate) fn find_program(&self) -> io::Result<PathBuf> {
        if self.program.as_encoded_bytes().contains(&b'/') {
            return Ok(PathBuf::from(&self.program));
        }
        let path = self.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
        which::which_in(&self.program, path, &self.cwd).map_err(|_| io::ErrorKind::NotFound.into())
    }

    /// Returns the command with a launcher in front of it: a program that starts it, with arguments.
    #[must_use]
    pub(crate) fn started_by(mut self, launcher: Vec<OsString>) -> Self {
        let command_line = std::iter::once(self.program).chain(self.args);
        let mut words = launcher.into_iter().chain(command_line);
        self.program = words.next().unwrap_or_default();
        self.args = words.collect();
        self
    }

    /// Returns the program and its arguments as texts, for records.
    pub(crate) fn words(&self) -> Vec<String> {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| word.to_string_lossy().into_owned()).collect()
    }

    /// Starts the command in its own session, without a terminal, with no signal blocked and every signal at its
    /// default. Without `stdin`, the standard input is `/dev/null`. The output goes to files, so that a grandchild that
    /// keeps them open does not cause a delay.
    pub(crate) fn start(
        &self,
        stdin: Option<&File>,
        stdout: &File,
        stderr: &File,
    ) -> Result<Child, SpawnError> {
        self.start_with_lock(None, stdin, stdout, stderr)
    }

    /// Starts the command as [`Self::start`] does. It inherits the file of a lock, so that it holds the lock, too.
    pub(crate) fn start_with_lock(
        &self,
        lock: Option<&File>,
        stdin: Option<&File>,
        stdout: &File,
        stderr: &File,
    ) -> Result<Child, SpawnError> {
        let session = PosixSpawnFlags::from_bits_retain(system::SETSID.into());
        self.start_with(session, SigSet::all(), |actions| {
            let stdin = match stdin {
                Some(stdin) => stdin,
                None => null()?,
            };
            change_folder(actions, &self.cwd)?;
            for (target, stream) in (0..).zip([stdin, stdout, stderr]) {
                actions.add_dup2(stream.as_raw_fd(), target)?;
            }
            if let Some(lock) = lock {
                // Onto itself: no other command that this process starts inherits it.
                actions.add_dup2(lock.as_raw_fd(), lock.as_raw_fd())?;
            }
            Ok(())
        })
    }

    /// Starts the command with these flags and actions, with no signal blocked, and with these signals at their defaults.
    pub(super) fn start_with(
        &self,
        flags: PosixSpawnFlags,
        defaults: SigSet,
        add_actions: impl FnOnce(&mut PosixSpawnFileActions) -> io::Result<()>,
    ) -> Result<Child, SpawnError> {
        let signal_flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        let start = || {
            let mut actions = PosixSpawnFileActions::init()?;
            add_actions(&mut actions)?;
            let mut attributes = PosixSpawnAttr::init()?;
            attributes.set_flags(flags | signal_flags)?;
            attributes.set_sigdefault(&defaults)?;
            attributes.set_sigmask(&SigSet::empty())?;
            let started = self.try_start(&actions, &attributes);
            match self.in_shell(started.as_ref().err()) {
                Some(command) => command.try_start(&actions, &attributes),
                None => started,
            }
        };
        start().map_err(|error| self.error(&error))
    }

    /// Returns the command as a shell runs it if the system does not start the program because it is a script without a `#!`
    /// line.
    pub(super) fn in_shell(&self, error: Option<&io::Error>) -> Option<Self> {
        error.filter(|error| error.raw_os_error() == Some(libc::ENOEXEC))?;
        let script = self.find_program().ok().filter(|program| executable::lacks_shebang(program))?;
        let command = Self { program: script.into(), ..self.clone() };
        Some(command.started_by(vec![executable::SHELL.into()]))
    }

    /// Returns the error of a start, with its cause.
    pub(super) fn error(&self, error: &io::Error) -> SpawnError {
        SpawnError {
            program: PathBuf::from(&self.program),
            reason: self.explain(error),
            is_missing: error.kind() == io::ErrorKind::NotFound,
            is_exhausted: exhaustion::is_exhausted(error),
        }
    }

    /// Explains why a process could not be started. The system reports the same error for a missing program, a missing
    /// interpreter and a missing folder.
    fn explain(&self, error: &io::Error) -> String {
        let (program, cwd) = (Path::new(&self.program), &self.cwd);
        let is_of_file = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
            || error.raw_os_error() == Some(libc::ENOEXEC);
        match error.kind() {
            io::ErrorKind::NotFound if !cwd.is_dir() => {
                format!("the folder {} does not exist", cwd.display())
            }
            _ if is_of_file
                && let Ok(file) = self.find_program()
                && let Err(problem) = executable::check(&file, None) =>
            {
                let is_interpreter =
                    matches!(problem, ExecutableError::NoInterpreter(..) | ExecutableError::NotOnPath(_));
                let next_step = if is_interpreter { "; install it, or change the script" } else { "" };
                let subject = if file == program { "it".to_owned() } else { file.display().to_string() };
                format!("{subject} {problem}{next_step}")
            }
            io::ErrorKind::NotFound => {
                let name = program.to_string_lossy();
                let next = match BinaryName::parse(&name, None) {
                    Ok(_) => format!("run `rigup install {}`", shell::quote_text(&name)),
                    Err(_) => "install it".to_owned(),
                };
                format!("it is not on PATH; {next}")
            }
            io::ErrorKind::ArgumentListTooLong => "its arguments and environment are too long".to_owned(),
            _ if error.raw_os_error() == Some(libc::ETXTBSY) => {
                format!("{error}: another process has it open for writing; try again later")
            }
            _ => exhaustion::explain(error),
        }
    }

    fn try_start(&self, actions: &PosixSpawnFileActions, attributes: &PosixSpawnAttr) -> io::Result<Child> {
        let Self { program, args, env, .. } = self;
        let file = CString::new(self.find_program()?.into_os_string().into_vec())?;
        let argv = std::iter::once(program).chain(args).map(|word| CString::new(word.as_bytes()));
        let argv = argv.collect::<Result<Vec<_>, _>>()?;
        // All variables are in one allocation, because there are many.
        let mut block = Vec::new();
        let append = |(name, value): &(OsString, OsString)| {
            let start = block.len();
            for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
                block.extend_from_slice(part);
            }
            start..block.len()
        };
        let ranges: Vec<Range<usize>> = env.iter().map(append).collect();
        let env = ranges.into_iter().map(|range| CStr::from_bytes_with_nul(&block[range]));
        let env = env.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        // Unlike `fork`, this does not copy rigup's memory.
        start(|| {
            let pid = posix_spawn(file.as_c_str(), actions, attributes, &argv, &env)?;
            u32::try_from(pid.as_raw()).map_err(io::Error::other)
        })
    }
}

/// Adds a change of the working directory, for which nix has no function.
fn change_folder(actions: &mut PosixSpawnFileActions, folder: &Path) -> io::Result<()> {
    let folder = CString::new(folder.as_os_str().as_bytes())?;
    let actions: *mut libc::posix_spawn_file_actions_t = (&raw mut *actions).cast();
    // SAFETY: PosixSpawnFileActions is a transparent wrapper of the initialized C struct, and the path is copied.
    #[expect(unsafe_code, reason = "nix has no function for this action")]
    match unsafe { libc::posix_spawn_file_actions_addchdir_np(actions, folder.as_ptr()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The file that is empty, and to which writes have no effect.
const DEV_NULL: &str = "/dev/null";

/// Returns `/dev/null`, which is opened once. The error names it, and its kind does not say that the program is missing.
fn null() -> io::Result<&'static File> {
    static NULL: OnceLock<File> = OnceLock::new();
    if let Some(null) = NULL.get() {
        return Ok(null);
    }
    let opened = File::open(DEV_NULL).map(|null| NULL.get_or_init(|| null));
    opened.map_err(|error| io::Error::other(with_path(Path::new(DEV_NULL), error)))
}

/// Starts a child. Tries again for a while if another process has the program open for writing.
fn start(mut spawn: impl FnMut() -> io::Result<u32>) -> io::Result<Child> {
    // Reserves the descriptors that the handle of the child needs, so that no child has to be killed for lack of them.
    let reserve = [null()?.try_clone()?, null()?.try_clone()?];
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
            let child = Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?);
            kill(child, Signal::SIGKILL)?;
            subreaper::reap_child(pid, || waitpid(child, None))?;
            Err(error)
        }
    }
}
