//! The lines that a daemon writes until it is ready, each of which is checked once.

use std::io::{BufRead, ErrorKind};
use std::path::{Path, PathBuf};

use regex::bytes::Regex;

use crate::model::ReadinessCheck;
use crate::process::tail::LogFollower;

/// The logs in which a line is awaited. They may be rotated meanwhile.
#[derive(Debug)]
pub(super) struct LogWatch {
    /// What the line matches; `None` for any line.
    pattern: Option<Regex>,
    logs: Vec<WatchedLog>,
}

#[derive(Debug)]
struct WatchedLog {
    path: PathBuf,
    /// The log, once it is open.
    follower: Option<LogFollower>,
    /// The beginning of a line that is not whole yet.
    rest: Vec<u8>,
}

impl LogWatch {
    /// Returns the logs that a check reads, or `None` if it reads none.
    pub(super) fn of(check: &ReadinessCheck, stdout: &Path, stderr: &Path) -> Option<Self> {
        let (pattern, paths) = match check {
            ReadinessCheck::Log(pattern) => {
                (Some(Regex::new(pattern).ok()?), vec![stdout.to_owned(), stderr.to_owned()])
            }
            ReadinessCheck::StdoutLine => (None, vec![stdout.to_owned()]),
            _ => return None,
        };
        let logs = paths.into_iter().map(|path| WatchedLog { path, follower: None, rest: Vec::new() });
        Some(Self { pattern, logs: logs.collect() })
    }

    /// Whether a whole line that was written since the last call matches.
    pub(super) fn have_line(&mut self) -> bool {
        let Self { pattern, logs } = self;
        let is_match = |line: &[u8]| pattern.as_ref().is_none_or(|pattern| pattern.is_match(line));
        logs.iter_mut().any(|log| log.has_line(is_match))
    }
}

impl WatchedLog {
    fn has_line(&mut self, is_match: impl Fn(&[u8]) -> bool) -> bool {
        let Self { path, follower, rest } = self;
        if follower.is_none() {
            *follower = LogFollower::open(path, None).ok();
        }
        let Some(follower) = follower else { return false };
        let mut has_line = false;
        let _ = follower.read(|mut bytes| {
            while bytes.read_until(b'\n', rest).is_ok_and(|count| count > 0) && rest.ends_with(b"\n") {
                has_line |= is_match(rest.trim_ascii_end());
                rest.clear();
            }
            // The rest of a large log is not needed any more.
            if has_line { Err(ErrorKind::Other.into()) } else { Ok(()) }
        });
        has_line
    }
}
