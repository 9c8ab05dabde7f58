//! The fingerprint of a file, and what a program answers when it is run to ask for its version.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::fs::digest;
use crate::hook::command;
use crate::install::wrapper::{self, LinkKind};
use crate::model::Installed;
use crate::model::version::output::find_version;
use crate::process::capture::{self, Captured, CapturedExit};
use crate::process::sandbox;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::process::wait::WaitOutcome;
use crate::settings::Settings;

/// The arguments that make programs print their version, in the order in which they are tried.
const FLAGS: [&str; 2] = ["--version", "-V"];

/// The programs that need other arguments.
const KNOWN_ARGUMENTS: [(&str, &[&str]); 12] = [
    ("ffmpeg", &["-version"]),
    ("ffplay", &["-version"]),
    ("ffprobe", &["-version"]),
    ("go", &["version"]),
    ("helm", &["version"]),
    ("java", &["-version"]),
    ("javac", &["-version"]),
    ("kubectl", &["version", "--client"]),
    ("lsof", &["-v"]),
    ("nginx", &["-v"]),
    ("openssl", &["version"]),
    ("unzip", &["-v"]),
];

/// The time in which a program must answer, for all arguments together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What programs print that were not installed completely, and exit with an error.
const INCOMPLETE: [&str; 5] = [
    "failed to install correctly",
    "not installed correctly",
    "did not install correctly",
    "Cannot find module",
    "ModuleNotFoundError",
];

/// Returns the inode, size, mtime and ctime of a file, following links, or `None` if it does not exist. If the
/// fingerprint is unchanged, so is the file. The device is not a part: a container image has another one in each
/// container.
pub(crate) fn fingerprint(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    Some(format!(
        "{}:{}:{}.{:09}:{}.{:09}",
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    ))
}

/// Returns the fingerprint of an installed file that still has the recorded digest, or `None` if it has another one or
/// does not exist.
pub(crate) fn fingerprint_of_same_file(installed: &Installed) -> Option<String> {
    let path = &installed.abspath;
    let found = fingerprint(path)?;
    let is_same = digest::sha256(path).is_ok_and(|sha256| sha256 == installed.sha256);
    // If the file changed meanwhile, the digest may be that of another content.
    (is_same && fingerprint(path).as_ref() == Some(&found)).then_some(found)
}

/// A program to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program<'a> {
    /// The name of its link.
    pub link_name: &'a str,
    /// The file.
    pub file: &'a Path,
    /// The arguments that make it print its version; empty for the usual ones.
    pub version_args: &'a [String],
}

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The version that it printed, or `None` if it printed none.
    pub version: Option<String>,
    /// How LIB_BIN_DIR must lead to the program.
    pub link_kind: LinkKind,
    /// Whether it did not exit in time.
    pub is_timed_out: bool,
}

/// An error because of which there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// The program cannot run, with the reason.
    #[error("cannot run: {0}")]
    CannotRun(String),
    /// rigup was interrupted.
    #[error("was not run: rigup was interrupted")]
    Interrupted,
    /// The program cannot be run by this process.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs programs to ask for their versions. Each runs in an empty folder, with the standard input closed, and can write
/// only there if the system supports that.
#[derive(Debug)]
pub(crate) struct Prober<'a> {
    search_path: OsString,
    env: Vec<(OsString, OsString)>,
    interrupt: &'a Interrupt,
}

/// The variables that a program does not get, because it could open a window or start a service.
const REMOVED: [&str; 4] = ["DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "LANGUAGE", "WAYLAND_DISPLAY"];

impl<'a> Prober<'a> {
    /// Returns a prober that runs programs with the PATH of hooks.
    pub(crate) fn new(settings: &Settings, interrupt: &'a Interrupt) -> Self {
        let search_path = command::search_path(settings);
        let added = [
            ("PATH", search_path.clone()),
            // Versions are found by English words.
            ("LC_ALL", "C".into()),
            ("PYTHONDONTWRITEBYTECODE", "1".into()),
        ];
        let mut env: Vec<(OsString, OsString)> = Vec::new();
        for (name, value) in settings.environment.iter() {
            if !REMOVED.iter().chain(added.iter().map(|(name, _)| name)).any(|removed| name == *removed) {
                env.push((name.to_owned(), value.to_owned()));
            }
        }
        env.extend(added.map(|(name, value)| (name.into(), value)));
        Self { search_path, env, interrupt }
    }

    /// Returns the PATH of the programs.
    pub(crate) fn search_path(&self) -> &OsStr {
        &self.search_path
    }

    /// Returns the signals that interrupt a probe.
    pub(crate) fn interrupt(&self) -> &'a Interrupt {
        self.interrupt
    }

    /// Returns what a program answers. `known` is its version if that is known already, so that the program only has to
    /// run.
    pub(crate) fn ask(&self, program: Program<'_>, known: Option<&str>) -> Result<Answer, ProbeError> {
        let folder = tempfile::Builder::new().prefix("rigup-").tempdir()?;
        let cwd = folder.path().join("cwd");
        fs_err::create_dir(&cwd)?;
        let link = folder.path().join(program.link_name);
        symlink(program.file, &link)?;
        let query = Query {
            program,
            arguments: arguments(program),
            is_version_known: known.is_some(),
            folder: folder.path(),
            cwd,
            deadline: Instant::now() + TIMEOUT,
            prober: self,
        };
        let mut reply = query.run(&link)?;
        let mut link_kind = link_kind(program.file);
        // The program may find its own files by the path that it was called by.
        if !query.is_answered_by(&reply) && !reply.is_timed_out {
            let direct = query.run(program.file)?;
            if query.is_answered_by(&direct) || reply.problem.is_some() && direct.problem.is_none() {
                reply = direct;
                link_kind = LinkKind::Wrapper;
            }
        }
        if self.interrupt.signal().is_some() {
            return Err(ProbeError::Interrupted);
        }
        if let Some(problem) = reply.problem {
            return Err(ProbeError::CannotRun(problem));
        }
        Ok(Answer {
            version: known.map(str::to_owned).or(reply.version),
            link_kind,
            is_timed_out: reply.is_timed_out,
        })
    }
}

/// A program that is asked for its version.
struct Query<'a> {
    program: Program<'a>,
    /// The lists of arguments, in the order in which they are tried.
    arguments: Vec<Vec<OsString>>,
    is_version_known: bool,
    /// The folder that the program can write to.
    folder: &'a Path,
    /// The working directory.
    cwd: PathBuf,
    deadline: Instant,
    prober: &'a Prober<'a>,
}

/// What a program replied to all arguments together.
#[derive(Debug, Default)]
struct Reply {
    version: Option<String>,
    /// Why it cannot run.
    problem: Option<String>,
    is_timed_out: bool,
}

impl Query<'_> {
    fn is_answered_by(&self, reply: &Reply) -> bool {
        reply.version.is_some() || self.is_version_known && reply.problem.is_none()
    }

    /// Runs the program at a path, in a sandbox.
    fn run(&self, path: &Path) -> io::Result<Reply> {
        sandbox::with_writable(self.folder, || self.try_arguments(path))?
    }

    fn try_arguments(&self, path: &Path) -> io::Result<Reply> {
        let mut problem = None;
        let mut is_running = false;
        for args in &self.arguments {
            let mut env = self.prober.env.clone();
            env.push(("TMPDIR".into(), self.folder.into()));
            let command =
                CommandSpec { program: path.into(), args: args.clone(), env, cwd: self.cwd.clone() };
            match capture::run(&command, self.folder, self.deadline, self.prober.interrupt)? {
                Captured::NotStarted(error) => {
                    return Ok(Reply { problem: Some(error.reason), ..Reply::default() });
                }
                Captured::Killed(WaitOutcome::OutputLimit) => is_running = true,
                // The caller checks for an interrupt.
                Captured::Killed(outcome) => {
                    let is_timed_out = outcome == WaitOutcome::Timeout;
                    return Ok(Reply { is_timed_out, ..Reply::default() });
                }
                Captured::Exited(exit) => {
                    if let Some(found) = problem_of(&exit, args) {
                        problem = problem.or(Some(found));
                        continue;
                    }
                    is_running = true;
                    let version = self.version_in(&exit);
                    if version.is_some() || self.is_version_known {
                        return Ok(Reply { version, ..Reply::default() });
                    }
                }
            }
        }
        Ok(Reply { problem: problem.filter(|_| !is_running), ..Reply::default() })
    }

    /// Returns the version that a program printed. The output of one that failed has none.
    fn version_in(&self, exit: &CapturedExit) -> Option<String> {
        let names = [Some(OsStr::new(self.program.link_name)), self.program.file.file_name()];
        let names: Vec<&str> = names.into_iter().flatten().filter_map(OsStr::to_str).collect();
        let streams = [&exit.stdout, &exit.stderr];
        let version = streams.into_iter().find_map(|text| find_version(text, &names));
        version.filter(|_| exit.exit_code == Some(0)).map(str::to_owned)
    }
}

/// Returns the lists of arguments with which to ask a program for its version.
fn arguments(program: Program<'_>) -> Vec<Vec<OsString>> {
    if !program.version_args.is_empty() {
        return vec![program.version_args.iter().map(OsString::from).collect()];
    }
    let is_named = |name: &str| {
        program.link_name == name || program.file.file_name().is_some_and(|file_name| file_name == name)
    };
    match KNOWN_ARGUMENTS.iter().find(|(name, _)| is_named(name)) {
        Some((_, arguments)) => vec![arguments.iter().map(OsString::from).collect()],
        None => FLAGS.iter().map(|flag| vec![OsString::from(flag)]).collect(),
    }
}

/// Returns why a program that exited in this way cannot run, or `None` if it can.
fn problem_of(exit: &CapturedExit, args: &[OsString]) -> Option<String> {
    const CRASHES: [Signal; 3] = [Signal::SIGBUS, Signal::SIGILL, Signal::SIGSEGV];
    let code = exit.exit_code.filter(|code| *code != 0)?;
    let arguments = args.join(OsStr::new(" "));
    let arguments = arguments.display();
    if let Some(signal) = CRASHES.into_iter().find(|signal| code == 128 + *signal as i32) {
        return Some(format!("`{arguments}` makes it crash with {signal}"));
    }
    let lines = || exit.stderr.lines().chain(exit.stdout.lines()).map(str::trim);
    let line = if matches!(code, 126 | 127) {
        lines().next().unwrap_or_default()
    } else {
        lines().find(|line| INCOMPLETE.iter().any(|text| line.contains(text)))?
    };
    let separator = if line.is_empty() { "" } else { ": " };
    Some(format!("`{arguments}` exits with {code}{separator}{line}"))
}

/// Returns the kind of link that a program needs as far as that can be seen without running it: the Python of a venv
/// finds the venv by the path that it is called by.
pub(crate) fn link_kind(file: &Path) -> LinkKind {
    let target = file.canonicalize().unwrap_or_default();
    let name = target.file_name().unwrap_or_default().as_encoded_bytes();
    let is_python = [b"python".as_slice(), b"pypy"].iter().any(|start| {
        let version = name.strip_prefix(*start);
        version.is_some_and(|version| version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'))
    });
    let is_in_venv = file.ancestors().skip(1).take(2).any(|folder| folder.join("pyvenv.cfg").exists());
    if is_python && is_in_venv { LinkKind::Wrapper } else { LinkKind::Symlink }
}

/// Returns the first executable file of this name on `path`, or `None` if there is none. LIB_BIN_DIR is skipped, and so
/// are files that lead through it.
pub(crate) fn find(name: &str, path: &OsStr, lib_bin_dir: &Path) -> Option<PathBuf> {
    let excluded = lib_bin_dir.canonicalize().unwrap_or_else(|_| lib_bin_dir.to_owned());
    let folders = std::env::split_paths(path).filter(|folder| {
        !folder.as_os_str().is_empty() && folder.canonicalize().is_ok_and(|folder| folder != excluded)
    });
    let path = std::env::join_paths(folders).ok()?;
    let mut found = which::which_in_all(name, Some(path), "/").ok()?;
    found.find(|file| !wrapper::leads_through(file, lib_bin_dir))
}

#[cfg(test)]
mod tests;
