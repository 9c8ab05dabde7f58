//! Running a program to capture its output, such as its version.

use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::model::ProcessId;
use crate::process::drain::drain;
use crate::process::log::{Log, Logs};
use crate::process::memory::MemoryWatch;
use crate::process::signals::Interrupt;
use crate::process::spawn::{CommandSpec, SpawnError};
use crate::process::wait::WaitOutcome;
use crate::process::{subreaper, system, terminate, tree, wait};

/// The size of a stream, in bytes, at which the program is killed.
const OUTPUT_LIMIT: u64 = 64 << 20;
/// The number of bytes that are read from the beginning of each stream.
const READ_LIMIT: u64 = 64 << 10;

/// The result of running a program.
#[derive(Debug)]
pub(crate) enum Captured {
    /// It exited by itself.
    Exited(CapturedExit),
    /// It cannot be started.
    NotStarted(SpawnError),
    /// It was killed because of the deadline, an interrupt or the size of its output.
    Killed(WaitOutcome),
}

/// The exit and the output of a program.
#[derive(Debug)]
pub(crate) struct CapturedExit {
    /// Its exit code, 128+N for signal N.
    pub exit_code: Option<i32>,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
}

impl CapturedExit {
    /// Returns the last line of its standard error, or of its standard output without one, behind a colon; nothing if it has
    /// written neither.
    pub(crate) fn reason(&self) -> String {
        let last = |output: &String| Some(output.lines().rfind(|line| !line.trim().is_empty())?.to_owned());
        [&self.stderr, &self.stdout]
            .into_iter()
            .find_map(last)
            .map_or_else(String::new, |line| format!(": {line}"))
    }
}

/// Runs a program, and terminates everything that it leaves behind, in any process group. On Linux, its output is kept
/// in memory, so that a full disk cannot lose it.
pub(crate) fn run(command: CommandSpec, deadline: Instant, interrupt: &Interrupt) -> io::Result<Captured> {
    run_with_input(command, None, deadline, interrupt)
}

/// Like [`run`], but with a standard input; `None` for `/dev/null`.
pub(crate) fn run_with_input(
    mut command: CommandSpec,
    input: Option<&File>,
    deadline: Instant,
    interrupt: &Interrupt,
) -> io::Result<Captured> {
    let [stdout, stderr] = [system::unnamed_file()?, system::unnamed_file()?].map(Log::new);
    let logs = Logs { stdout, stderr };
    let id = ProcessId::generate();
    command.env.extend(tree::capture_marks(id));
    let child = match command.start(input, logs.stdout.file(), logs.stderr.file()) {
        Ok(child) => child,
        Err(error) if error.is_exhausted => return Err(io::Error::other(error)),
        Err(error) => return Ok(Captured::NotStarted(error)),
    };
    let memory = MemoryWatch::new(child.handle.entry.pid, id, None);
    let outcome = wait::wait(&child, Some(deadline), &logs, Some(OUTPUT_LIMIT), memory, interrupt, || None);
    if outcome != WaitOutcome::Exited {
        terminate::terminate_captured(id, &child.handle, Duration::ZERO);
        wait::reap(&child)?;
        subreaper::reap_orphans();
        return Ok(Captured::Killed(outcome));
    }
    let exit = wait::reap(&child)?;
    // An orphan that has exited is a member of its group until it is reaped.
    subreaper::reap_orphans();
    // The checks take a few system calls; reading the process table takes hundreds.
    if child.handle.has_group() || subreaper::has_orphans() {
        let is_cut_short = || interrupt.signal().is_some() || logs.largest() > OUTPUT_LIMIT;
        drain(&logs, Some(deadline), is_cut_short, || tree::find_captured(id, child.handle.entry));
        terminate::terminate_captured(id, &child.handle, terminate::LEFTOVER_GRACE);
        subreaper::reap_orphans();
    }
    let (stdout, stderr) = (read_start(&logs.stdout)?, read_start(&logs.stderr)?);
    Ok(Captured::Exited(CapturedExit { exit_code: exit.exit_code, stdout, stderr }))
}

/// Runs a program, and returns the beginning of its standard output, or `None` if it does not exit with 0 in time.
pub(crate) fn stdout(
    command: CommandSpec,
    deadline: Instant,
    interrupt: &Interrupt,
) -> io::Result<Option<String>> {
    match run(command, deadline, interrupt)? {
        Captured::Exited(exit) if exit.exit_code == Some(0) => Ok(Some(exit.stdout)),
        _ => Ok(None),
    }
}

fn read_start(log: &Log) -> io::Result<String> {
    let mut bytes = Vec::new();
    log.read_from(0, READ_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
