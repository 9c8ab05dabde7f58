//! The fingerprint of a file, and the probe of a program, which is run to find its version.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::both::both;
use crate::exhaustion;
use crate::fs::digest;
use crate::fs::dir::parent;
use crate::fs::lib_dir;
use crate::fs::temporary_folder::TemporaryFolder;
use crate::hook::command;
use crate::model::Installed;
use crate::model::version::output::find_version;
use crate::process::capture::{self, Captured, CapturedExit};
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::process::wait::WaitOutcome;
use crate::process::{executable, sandbox, subreaper, wrapper};
use crate::settings::Settings;

/// The arguments that make programs print their version, in the order in which they are tried.
const FLAGS: [&str; 2] = ["--version", "-V"];

/// The programs that need other arguments.
const KNOWN_ARGUMENTS: [(&str, &[&str]); 13] = [
    ("busybox", &["--help"]),
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

/// The time in which a program must exit, for all arguments together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a program prints, in lower case, if it was not installed completely or a part of it is gone.
const INCOMPLETE: [&str; 13] = [
    "(loaderror)",
    "can't find module",
    "can't locate ",
    "cannot find module",
    "cannot find package",
    "cannot open shared object file",
    "could not find or load main class",
    "could not be found, and is needed by",
    "importerror:",
    "install correctly",
    "installed correctly",
    "modulenotfounderror",
    "the \"file\" argument must be of type string",
];

/// What a program prints, in lower case, if it does not find a file.
const ERRORS: [&str; 5] = ["cannot ", "can't ", "error", "no such file", "not found"];

/// Returns the inode, size, mtime and ctime of a file, following links, or `None` if it is not one. If the
/// fingerprint is unchanged, so is the file. The device is not a part: a container image has another one in each
/// container.
pub(crate) fn fingerprint(path: &Path) -> Option<String> {
    // A named pipe or a device would block the digest.
    let metadata = path.metadata().ok().filter(Metadata::is_file)?;
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
    let size = |fingerprint: &str| fingerprint.split(':').nth(1).map(str::to_owned);
    let is_same = size(&found) == size(&installed.fingerprint) && has_digest(path, &found, &installed.sha256);
    is_same.then_some(found)
}

/// Returns the fingerprint of a file that has not changed since it had the fingerprint `earlier` and this digest, or `None`
/// if it has, or does not exist. If only the ctime differs, the digest decides: the ctime also changes if another name of
/// the file is removed, such as the one in the cache of a package manager.
pub(crate) fn fingerprint_if_unchanged(path: &Path, earlier: &str, sha256: &str) -> Option<String> {
    let found = fingerprint(path)?;
    let without_ctime = |fingerprint: &str| fingerprint.rsplit_once(':').map(|(rest, _)| rest.to_owned());
    let is_unchanged = found == earlier
        || without_ctime(&found) == without_ctime(earlier) && has_digest(path, &found, sha256);
    is_unchanged.then_some(found)
}

/// Returns whether a file has this digest. If it no longer has the fingerprint `found`, the digest may be that of another
/// content.
fn has_digest(path: &Path, found: &str, sha256: &str) -> bool {
    digest::sha256(path).is_ok_and(|digest| digest == sha256) && fingerprint(path).as_deref() == Some(found)
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

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbeResult {
    /// The version that the program printed, or `None` if it printed none.
    pub version: Option<String>,
    /// Whether LIB_BIN_DIR must lead to the program by a wrapper.
    pub needs_wrapper: bool,
    /// Whether the program did not exit in time.
    pub is_timed_out: bool,
}

/// An error because of which a probe has no result.
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

/// Probes programs: runs them to find their versions. Each runs in an empty folder, with the standard input closed, and
/// can write only there if the system supports that.
#[derive(Debug)]
pub(crate) struct Prober<'a> {
    search_path: OsString,
    env: Vec<(OsString, OsString)>,
    interrupt: &'a Interrupt,
    /// The time in which a program must exit, for all arguments together.
    timeout: Duration,
}

/// The variables that a program does not get, because it could open a window or start a service.
const REMOVED: [&str; 4] = ["DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "LANGUAGE", "WAYLAND_DISPLAY"];

/// The variables with options of every Java VM, which prints them and loads the agents that they name.
const JAVA_OPTIONS: [&str; 3] = ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"];

impl<'a> Prober<'a> {
    /// Returns a prober that runs programs with the PATH of hooks.
    pub(crate) fn new(settings: &Settings, interrupt: &'a Interrupt) -> Self {
        // Everything that a program leaves behind becomes a child of this process, which terminates it.
        subreaper::become_subreaper();
        let search_path = command::search_path(settings, &[]);
        let added = vec![
            ("PATH", search_path.clone()),
            // Versions are found by English words.
            ("LC_ALL", "C".into()),
            ("PYTHONDONTWRITEBYTECODE", "1".into()),
            // Without a display, a Qt program aborts unless it draws nothing.
            ("QT_QPA_PLATFORM", "offscreen".into()),
        ];
        let removed = [&REMOVED[..], &JAVA_OPTIONS].concat();
        let env = command::environment_of_program(settings, &removed, added);
        Self { search_path, env, interrupt, timeout: TIMEOUT }
    }

    /// Returns the PATH of the programs.
    pub(crate) fn search_path(&self) -> &OsStr {
        &self.search_path
    }

    /// Returns the signals that interrupt a probe.
    pub(crate) fn interrupt(&self) -> &'a Interrupt {
        self.interrupt
    }

    /// Probes a program through a link and by its file. `known` is its version if that is known already, so that the
    /// program only has to run.
    pub(crate) fn probe(&self, program: Program<'_>, known: Option<&str>) -> Result<ProbeResult, ProbeError> {
        let folder = TemporaryFolder::create("rigup-")?;
        let empty = folder.path().join("cwd");
        fs_err::create_dir(&empty)?;
        let link = folder.path().join(program.link_name);
        fs_err::os::unix::fs::symlink(program.file, &link)?;
        let probe = Probe {
            program,
            arguments: arguments(program),
            is_version_known: known.is_some(),
            folder: folder.path(),
            cwd: if is_shim(program.file) { "/".into() } else { empty },
            start: Instant::now(),
            prober: self,
        };
        let (by_link, by_file) = both(|| probe.run(&link), || probe.run(program.file));
        let (by_link, by_file) = (by_link?, by_file?);
        // The program may find its own files by the path that it was called by. It may also be several programs, which
        // it distinguishes by the name that it was called by: then a link with the name of the file behaves like it.
        let own_name = program.file.file_name().unwrap_or_default();
        let is_path_used = if by_file == by_link {
            false
        } else if own_name == program.link_name || by_file.is_timed_out || by_link.is_timed_out {
            own_name == program.link_name
        } else {
            let link = folder.path().join("own").join(own_name);
            fs_err::create_dir(parent(&link))?;
            fs_err::os::unix::fs::symlink(program.file, &link)?;
            by_file != Probe { start: Instant::now(), ..probe }.run(&link)?
        };
        let is_file_better = is_path_used || by_file.success() > by_link.success();
        let needs_wrapper = is_file_better && by_file.problem.is_none() && !by_file.is_timed_out;
        // A message about a program that does not run at all names its own path.
        let found = if needs_wrapper || by_link.problem.is_some() { by_file } else { by_link };
        if self.interrupt.signal().is_some() {
            return Err(ProbeError::Interrupted);
        }
        // A program that cannot write its temporary files says nothing about itself.
        if found.exit_code.is_some_and(|code| code != 0) && exhaustion::is_full(folder.path()) {
            let text = format!("no space left in {}", parent(folder.path()).display());
            return Err(io::Error::new(io::ErrorKind::StorageFull, text).into());
        }
        if let Some(problem) = found.problem {
            return Err(ProbeError::CannotRun(problem));
        }
        Ok(ProbeResult {
            version: known.map(str::to_owned).or(found.version),
            needs_wrapper: needs_wrapper || needs_wrapper_always(program.file),
            is_timed_out: found.is_timed_out,
        })
    }

    /// Returns whether LIB_BIN_DIR must lead by a wrapper to a program whose version the request states. It may fail or
    /// hang.
    pub(crate) fn needs_wrapper(&self, program: Program<'_>, version: &str) -> Result<bool, ProbeError> {
        match self.probe(program, Some(version)) {
            Ok(found) => Ok(found.needs_wrapper),
            Err(ProbeError::CannotRun(_)) => Ok(needs_wrapper_always(program.file)),
            Err(error) => Err(error),
        }
    }
}

/// The probe of one program.
struct Probe<'a> {
    program: Program<'a>,
    /// The lists of arguments, in the order in which they are tried.
    arguments: Vec<Vec<OsString>>,
    is_version_known: bool,
    /// The folder that the program can write to.
    folder: &'a Path,
    /// The working directory.
    cwd: PathBuf,
    start: Instant,
    prober: &'a Prober<'a>,
}

/// How a program behaves when it is called by one path with all arguments.
#[derive(Debug, Default, PartialEq, Eq)]
struct Behavior {
    version: Option<String>,
    /// The exit code for the last arguments that were tried.
    exit_code: Option<i32>,
    /// Why it cannot run.
    problem: Option<String>,
    is_timed_out: bool,
    /// The number of lines that may report an error: the program may go on without a file that it does not find.
    complaints: usize,
}

impl Behavior {
    /// Returns how well the program runs; a higher value is better.
    fn success(&self) -> [bool; 3] {
        [self.problem.is_none(), self.exit_code == Some(0), self.version.is_some()]
    }
}

impl Probe<'_> {
    /// Runs the program at a path, in a sandbox.
    fn run(&self, path: &Path) -> io::Result<Behavior> {
        sandbox::with_writable(self.folder, || self.try_arguments(path))?
    }

    fn try_arguments(&self, path: &Path) -> io::Result<Behavior> {
        let mut behavior = Behavior::default();
        let mut problem = None;
        let mut is_running = false;
        for (index, args) in self.arguments.iter().enumerate() {
            let mut env = self.prober.env.clone();
            env.push(("TMPDIR".into(), self.folder.into()));
            let command =
                CommandSpec { program: path.into(), args: args.clone(), env, cwd: self.cwd.clone() };
            // A program that hangs with these arguments may know the next ones.
            let quarters = if index + 1 < self.arguments.len() { 3 } else { 4 };
            let deadline = self.start + self.prober.timeout * quarters / 4;
            match capture::run(command, deadline, self.prober.interrupt)? {
                Captured::NotStarted(error) => {
                    return Ok(Behavior { problem: Some(error.reason), ..behavior });
                }
                // The caller checks for an interrupt.
                Captured::Killed(outcome) => {
                    is_running = true;
                    behavior.is_timed_out |= outcome == WaitOutcome::Timeout;
                }
                Captured::Exited(exit) => {
                    behavior.exit_code = exit.exit_code;
                    behavior.complaints = complaints(&exit, path);
                    if let Some(found) = problem_of(&exit, args) {
                        problem = problem.or(Some(found));
                        continue;
                    }
                    is_running = true;
                    behavior.version = self.version_in(&exit);
                    if behavior.version.is_some() || self.is_version_known {
                        behavior.is_timed_out = false;
                        return Ok(behavior);
                    }
                }
            }
        }
        behavior.problem = problem.filter(|_| !is_running);
        Ok(behavior)
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

/// Returns the lists of arguments with which a program is probed.
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
    const CRASHES: [Signal; 4] = [Signal::SIGABRT, Signal::SIGBUS, Signal::SIGILL, Signal::SIGSEGV];
    let code = exit.exit_code.filter(|code| *code != 0)?;
    let arguments = args.join(OsStr::new(" "));
    let arguments = arguments.to_string_lossy();
    let mut lines = exit.stderr.lines().chain(exit.stdout.lines()).map(str::trim);
    let crash = CRASHES.into_iter().find(|signal| code == 128 + *signal as i32);
    let line = if crash.is_some() || matches!(code, 126 | 127) {
        lines.next().unwrap_or_default()
    } else {
        lines.find(|line| is_incomplete(line))?
    };
    // As in "--version: applet not found": the program runs, and does not know the argument. A path such as /opt/x-V/x
    // does not name it.
    let is_separator = |c: char| c.is_whitespace() || "'\"`:;,=()[]<>".contains(c);
    let is_argument = |word: &str| args.iter().any(|argument| argument == word.trim_end_matches('.'));
    if line.split(is_separator).any(is_argument) {
        return None;
    }
    let separator = if line.is_empty() { "" } else { ": " };
    Some(match crash {
        Some(signal) => format!("`{arguments}` makes it crash with {signal}{separator}{line}"),
        None => format!("`{arguments}` exits with {code}{separator}{line}"),
    })
}

/// Returns the number of lines on standard error, and of those on standard output that report an error. The path by which
/// the program was called does not count.
fn complaints(exit: &CapturedExit, path: &Path) -> usize {
    let path = path.to_string_lossy();
    let is_error = |line: &&str| {
        let line = line.replace(&*path, "").to_lowercase();
        ERRORS.iter().any(|text| line.contains(text))
    };
    let lines = exit.stderr.lines().filter(|line| !line.trim().is_empty()).count();
    lines + exit.stdout.lines().filter(is_error).count()
}

/// Returns whether a line of an error states that a part of the program itself is missing.
fn is_incomplete(line: &str) -> bool {
    let line = line.to_lowercase();
    let is_spawn_of_file = || line.contains("spawn /") && line.contains("enoent");
    INCOMPLETE.iter().any(|text| line.contains(text)) || is_spawn_of_file()
}

/// Returns whether a file is the shim of a version manager such as pyenv. It runs the version that a file in a folder above
/// the working directory states, and anyone can write such a file to the folder of temporary files.
fn is_shim(file: &Path) -> bool {
    let target = file.canonicalize().unwrap_or_default();
    [file, &target].iter().any(|file| parent(file).ends_with("shims") || file.ends_with("rustup"))
}

/// Returns whether a program needs a wrapper whatever it prints. One without a `#!` line needs the line of the wrapper: not
/// every program starts it with a shell.
pub(crate) fn needs_wrapper_always(file: &Path) -> bool {
    is_python_of_venv(file) || executable::lacks_shebang(file)
}

/// Returns whether a file is the Python of a venv, which finds the venv by the path that it is called by.
fn is_python_of_venv(file: &Path) -> bool {
    let target = file.canonicalize().unwrap_or_default();
    let name = target.file_name().unwrap_or_default().as_encoded_bytes();
    let is_python = [b"python".as_slice(), b"pypy"].iter().any(|start| {
        let version = name.strip_prefix(*start);
        version.is_some_and(|version| version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'))
    });
    is_python && file.ancestors().skip(1).take(2).any(|folder| folder.join("pyvenv.cfg").exists())
}

/// Returns the first executable file of this name on `path`, or `None` if there is none. LIB_BIN_DIR is skipped, and so
/// are files that lead through it. The links and wrappers of other data dirs are followed: if their data dir removes
/// them, the program stays.
pub(crate) fn find(name: &str, path: &OsStr, lib_bin_dir: &Path) -> Option<PathBuf> {
    let folders = std::env::split_paths(path).filter(|folder| !folder.as_os_str().is_empty());
    let path = std::env::join_paths(folders).ok()?;
    let excluded = lib_bin_dir.canonicalize().unwrap_or_else(|_| lib_bin_dir.to_owned());
    let is_elsewhere = |file: &Path| parent(file).canonicalize().is_ok_and(|folder| folder != excluded);
    let mut found = which::which_in_all(name, Some(path), "/").ok()?;
    found.find_map(|file| {
        let is_found = is_elsewhere(&file) && !wrapper::leads_through(&file, lib_bin_dir);
        let program = if is_found { wrapper::program(&file, lib_dir::is_marked_link)? } else { return None };
        executable::is_program(&program).then_some(program)
    })
}

#[cfg(test)]
mod tests;
