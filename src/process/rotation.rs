//! The rotation of logs that a process appends to while it runs: the head of a log is copied to a part and then cut off, so
//! that the process needs neither a pipe nor a signal.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;

use crate::fs::regular_file;
use crate::model::LogLimits;
use crate::process::log::{Log, Logs};
use crate::process::log_series::{RotationState, RotationStep, part_path};
use crate::process::system;
use crate::process::tail::RECORD_BYTES;
use crate::process::wait::{MIN_TICK, next_check};

/// The longest pause between two looks at the sizes of logs.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The pause after a rotation that failed, such as without space on the disk.
const RETRY: Duration = Duration::from_secs(1);

/// The warning about a file system that can cut off only the end of a file.
const TRUNCATED: &str = "the file system of its logs can only truncate them, so lines that it wrote during a rotation may be lost";

/// The rotation of both logs of a process.
#[derive(Debug)]
pub(crate) struct Rotation {
    streams: [RotatedLog; 2],
    pause: Duration,
    /// The time of the last look, and the number of bytes that were written until then.
    last: (Instant, u64),
    problem: Option<String>,
}

impl Rotation {
    /// Returns the rotation of the logs at these paths.
    pub(crate) fn new(limits: LogLimits, paths: [PathBuf; 2]) -> Self {
        let streams = paths.map(|path| RotatedLog::new(path, limits));
        Self { streams, pause: MIN_TICK, last: (Instant::now(), 0), problem: None }
    }

    /// Rotates the logs that exceed their limit. Returns the pause until the next call, which is the shorter the faster
    /// they grow.
    pub(crate) fn tick(&mut self, logs: &Logs) -> Duration {
        let (mut room, mut written) = (u64::MAX, 0);
        for (stream, log) in self.streams.iter_mut().zip([&logs.stdout, &logs.stderr]) {
            match stream.rotate(log) {
                Ok(left) => room = room.min(left),
                Err(error) => {
                    self.problem = Some(format!("cannot rotate {}: {error}", stream.path.display()));
                    return RETRY;
                }
            }
            written += stream.state.base + log.size();
        }
        let now = Instant::now();
        // It slows down step by step, because output that pauses may go on as fast as before.
        let longest = (2 * self.pause).min(MAX_PAUSE);
        self.pause = next_check(room, written.saturating_sub(self.last.1), now - self.last.0, longest);
        self.last = (now, written);
        self.pause
    }

    /// Returns the warning about a rotation that failed or may have lost lines, or `None` if none did.
    pub(crate) fn into_warning(self) -> Option<String> {
        let has_truncated = self.streams.iter().any(|stream| stream.truncates && !stream.parts.is_empty());
        self.problem.or_else(|| has_truncated.then(|| TRUNCATED.to_owned()))
    }
}

/// A log that is rotated.
#[derive(Debug)]
pub(crate) struct RotatedLog {
    path: PathBuf,
    limits: LogLimits,
    state: RotationState,
    /// The sizes of the parts, oldest first.
    parts: VecDeque<u64>,
    /// Whether the file system cannot cut off the head of a file.
    truncates: bool,
}

impl RotatedLog {
    /// Returns the rotation of the log at this path, which may have been rotated before.
    pub(crate) fn new(path: PathBuf, limits: LogLimits) -> Self {
        let state = RotationState::read(&path);
        Self { path, limits, state, parts: VecDeque::new(), truncates: false }
    }

    /// Moves parts out of the log until it is no larger than its limit. Returns how much it may grow until the next
    /// rotation.
    pub(crate) fn rotate(&mut self, log: &Log) -> io::Result<u64> {
        let block = RECORD_BYTES.max(log.file().metadata()?.blksize());
        // What the record of an exit shows stays in the log.
        let chunk = (self.limits.max_size.saturating_sub(RECORD_BYTES) / block * block).max(block);
        let limit = chunk + RECORD_BYTES;
        let content = |state: RotationState| log.size().checked_sub(state.start - state.base);
        let room = |state| content(state).map(|content| limit.checked_sub(content));
        if let Some(Some(room)) = room(self.state) {
            return Ok(room);
        }
        let file = regular_file::open_with(File::options().read(true).write(true), &self.path)?;
        if Log::new(file.try_clone()?).file_id()? != log.file_id()? {
            // The process has replaced its log by another file, which is not rigup's.
            return Ok(limit);
        }
        match file.try_lock() {
            // A reader is at work, which takes no longer than a moment.
            Err(TryLockError::WouldBlock) => return Ok(0),
            locked => locked?,
        }
        if content(self.state).is_none() {
            // The process has truncated its log.
            self.state = RotationState { base: self.state.start, ..self.state };
        }
        self.finish(&file)?;
        while room(self.state) == Some(None) {
            self.copy_head(&file, chunk)?;
            self.finish(&file)?;
            log.note_rotation(self.state.start - self.state.base, self.parts.iter().sum());
        }
        Ok(room(self.state).flatten().unwrap_or(limit))
    }

    /// Copies the head of the log to a part with the number 0.
    fn copy_head(&mut self, mut file: &File, mut length: u64) -> io::Result<()> {
        let path = part_path(&self.path, 0);
        let mut options = fs::OpenOptions::new();
        let part = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        self.truncates = system::punch_hole(part.file(), length)
            .is_err_and(|error| error.kind() == io::ErrorKind::Unsupported);
        if self.truncates {
            length = u64::MAX;
        }
        file.seek(SeekFrom::Start(self.state.start - self.state.base))?;
        let copied = io::copy(&mut file.take(length), &mut part.file())?;
        if !self.truncates && copied < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        part.sync_data()?;
        self.parts.push_back(copied);
        while self.parts.len() > self.kept_parts() as usize {
            self.parts.pop_front();
        }
        self.advance(RotationState {
            start: self.state.start + copied,
            step: RotationStep::Copied,
            ..self.state
        })
    }

    /// Does the steps that are left of a rotation.
    fn finish(&mut self, file: &File) -> io::Result<()> {
        let RotationState { base, start, step } = self.state;
        let done = RotationState { base: start, start, step: RotationStep::Done };
        if step == RotationStep::Copied {
            self.number_parts()?;
            if self.truncates {
                file.set_len(0)?;
                self.state = done;
                return done.write(&self.path);
            }
            system::punch_hole(file, start - base)?;
            self.advance(RotationState { step: RotationStep::Punched, ..self.state })?;
        }
        // If the file system cannot do this, the log stays sparse, and readers skip the hole.
        if self.state.step == RotationStep::Punched && system::remove_head(file, start - base).is_ok() {
            self.state = done;
            done.write(&self.path)?;
        }
        Ok(())
    }

    fn advance(&mut self, state: RotationState) -> io::Result<()> {
        state.write(&self.path)?;
        self.state = state;
        Ok(())
    }

    /// Gives the part with the number 0 the number 1, and each older one the next number. The oldest one is dropped.
    fn number_parts(&self) -> io::Result<()> {
        let path = |number| part_path(&self.path, number);
        if !exists(&path(0)) {
            return Ok(());
        }
        // The free number is that of the oldest one, or one that an interrupted rotation left.
        let free = (1..self.kept_parts()).find(|number| !exists(&path(*number))).unwrap_or(self.kept_parts());
        for number in (0..free).rev() {
            fs::rename(path(number), path(number + 1))?;
        }
        if free == 0 { fs::remove_file(path(0)) } else { Ok(()) }
    }

    /// Returns the number of files that are kept besides the log.
    fn kept_parts(&self) -> u32 {
        self.limits.max_files.saturating_sub(1)
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests;
