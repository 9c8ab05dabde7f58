//! A program run for what it says, such as its version.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::model::id::ProcessId;
use crate::process::signals::Interrupt;
use crate::process::spawn::Spawn;
use crate::process::wait::Cause;
use crate::process::{subreaper, terminate, wait};

/// A program that writes more to a stream is ended.
const LIMIT: u64 = 64 << 20;
/// So much of each stream is read.
const READ: u64 = 64 << 10;

/// What to run.
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

/// What it said.
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
    /// Runs it; none where it cannot be started or has no end by `deadline`. What it started is ended with it.
    pub fn run(&self, deadline: Instant, interrupt: &Interrupt) -> io::Result<Option<Captured>> {
        let mut streams = [tempfile::tempfile()?, tempfile::tempfile()?];
        let spawn = Spawn {
            program: self.program.into(),
            args: self.args.iter().map(OsString::from).collect(),
            env: self.env.to_vec(),
            cwd: self.cwd.to_owned(),
            stdin: None,
            stdout: &streams[0],
            stderr: &streams[1],
        };
        let child = match spawn.start() {
            Ok(child) => child,
            Err(error) if error.is_scarcity => return Err(io::Error::other(error)),
            Err(_) => return Ok(None),
        };
        let cause = wait::wait(&child, Some(deadline), &streams, Some(LIMIT), interrupt, || ());
        if cause != Cause::Ended {
            terminate::end_tree(ProcessId::generate(), &child.handle, Duration::ZERO, None);
            wait::reap(&child)?;
            return Ok(None);
        }
        let reaped = wait::reap(&child)?;
        // The id that the environment carries is the caller's: only the group is this program's own.
        if !subreaper::are_none() {
            terminate::end_group(ProcessId::generate(), &child.handle);
        }
        let [stdout, stderr] = streams.each_mut().map(read_start);
        Ok(Some(Captured { exit_code: reaped.exit_code, stdout: stdout?, stderr: stderr? }))
    }
}

fn read_start(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(READ).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
