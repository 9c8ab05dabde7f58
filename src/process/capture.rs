//! Running a program for its output, such as its version.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::model::id::ProcessId;
use crate::process::signals::Interrupt;
use crate::process::spawn::{CommandSpec, Spawn};
use crate::process::wait::WaitOutcome;
use crate::process::{subreaper, terminate, wait};

/// The size of a stream, in bytes, at which the program is killed.
const OUTPUT_LIMIT: u64 = 64 << 20;
/// The length of the beginning of each stream that is read, in bytes.
const READ_LIMIT: u64 = 64 << 10;

/// A program to run for its output.
#[derive(Debug)]
pub struct Capture<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub args: &'a [&'a str],
    /// Its whole environment.
    pub env: &'a [(OsString, OsString)],
    /// Its working directory.
    pub cwd: &'a Path,
}

/// The output of a program.
#[derive(Debug)]
pub struct Captured {
    /// Its exit code, 128+N for signal N.
    pub exit_code: i32,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
}

impl Capture<'_> {
    /// Runs the program, and kills everything that it started. Returns `None` if it cannot be started or does not exit
    /// before `deadline`.
    pub fn run(&self, deadline: Instant, interrupt: &Interrupt) -> io::Result<Option<Captured>> {
        let mut streams = [tempfile::tempfile()?, tempfile::tempfile()?];
        let command = CommandSpec {
            program: self.program.into(),
            args: self.args.iter().map(OsString::from).collect(),
            env: self.env.to_vec(),
            cwd: self.cwd.to_owned(),
        };
        let spawn = Spawn { command: &command, stdin: None, stdout: &streams[0], stderr: &streams[1] };
        let child = match spawn.start() {
            Ok(child) => child,
            Err(error) if error.is_exhausted => return Err(io::Error::other(error)),
            Err(_) => return Ok(None),
        };
        let outcome = wait::wait(&child, Some(deadline), &streams, Some(OUTPUT_LIMIT), interrupt, || ());
        if outcome != WaitOutcome::Exited {
            terminate::terminate_tree(ProcessId::generate(), &child.handle, Duration::ZERO, None);
            wait::reap(&child)?;
            return Ok(None);
        }
        let reaped = wait::reap(&child)?;
        // The process id in the environment is the caller's: only the process group belongs to this program alone.
        if !subreaper::has_no_children() {
            terminate::terminate_group(ProcessId::generate(), &child.handle);
        }
        let [stdout, stderr] = streams.each_mut().map(read_start);
        Ok(Some(Captured { exit_code: reaped.exit_code, stdout: stdout?, stderr: stderr? }))
    }
}

fn read_start(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(READ_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
