//! The rotation of logs that a process appends to while it runs: the head of a log is copied to a part and then cut off, so
//! that the process needs neither a pipe nor a signal.

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
use crate::process::log_series::{RotationState, RotationStep, part_path, parts};
use crate::process::system;
use crate::process::tail::RECORD_BYTES;
use crate::process::wait::{MIN_TICK, next_check};

/// The longest pause between two looks at the sizes of logs.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How long the waiter may be busy with a log before it looks at its process again.
const BUDGET: Duration = Duration::from_millis(50);

/// The number of bytes that are copied and synced at once: a fraction of the budget.
const PIECE: u64 = 4 << 20;

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

    /// Ends the rotation after the exit of the process. Returns the warning about a rotation that failed or may have lost
    /// lines, or `None` if none did.
    pub(crate) fn end(self) -> Option<String> {
        self.streams.iter().for_each(RotatedLog::remove_incomplete_part);
        let has_truncated = self.streams.iter().any(|stream| stream.truncates && stream.state.start > 0);
        self.problem.or_else(|| has_truncated.then(|| TRUNCATED.to_owned()))
    }
}

/// A log that is rotated.
#[derive(Debug)]
pub(crate) struct RotatedLog {
    path: PathBuf,
    limits: LogLimits,
    state: RotationState,
    /// How much of the head of the log the incomplete part with the number 0 has, in bytes.
    copied: u64,
    /// Whether the file system cannot cut off the head of a file.
    truncates: bool,
}

/// The sizes of a log and its parts, in bytes.
#[derive(Debug, Clone, Copy)]
struct RotationSizes {
    /// The size of a part: a multiple of the block size of the file system.
    part: u64,
    /// The largest size of the log itself.
    log: u64,
    /// The largest size of the log with its parts.
    total: u64,
}

impl RotatedLog {
    /// Returns the rotation of the log at this path, which may have been rotated before.
    pub(crate) fn new(path: PathBuf, limits: LogLimits) -> Self {
        let state = RotationState::read(&path);
        Self { path, limits, state, copied: 0, truncates: false }
    }

    /// Drops what the files have no room for, and moves parts out of the log until it is no larger than its limit or the
    /// time for that is over. Returns how much the log may grow until the next call.
    pub(crate) fn rotate(&mut self, log: &Log) -> io::Result<u64> {
        let start = Instant::now();
        let sizes = self.sizes(log)?;
        let content = |state: RotationState| log.size().checked_sub(state.start - state.base);
        let room = |state| content(state).map(|content| sizes.log.checked_sub(content));
        if let Some(Some(room)) = room(self.state) {
            // If a copy was begun, the process has truncated its log since then.
            self.copied = 0;
            return Ok(room);
        }
        let file = regular_file::open_with(File::options().read(true).write(true), &self.path)?;
        if Log::new(file.try_clone()?).file_id()? != log.file_id()? {
            // The process has replaced its log by another file, which is not rigup's.
            return Ok(sizes.log);
        }
        match file.try_lock() {
            // A reader is at work, which takes no longer than a moment.
            Err(TryLockError::WouldBlock) => return Ok(0),
            locked => locked?,
        }
        if content(self.state).is_none() {
            // The process has truncated its log.
            self.state = RotationState { base: self.state.start, ..self.state };
            self.copied = 0;
        }
        self.finish(&file)?;
        self.note_in(log);
        while let Some(content) = content(self.state).filter(|content| *content > sizes.log) {
            if !self.drop_excess(&file, content, sizes)? {
                self.copy_head(&file, sizes)?;
            }
            self.finish(&file)?;
            self.note_in(log);
            if start.elapsed() > BUDGET {
                break;
            }
        }
        Ok(room(self.state).map_or(sizes.log, Option::unwrap_or_default))
    }

    fn note_in(&self, log: &Log) {
        let parts = parts(&self.path, self.state).iter().map(|(_, size)| size).sum();
        log.note_rotation(self.state.start - self.state.base, parts);
    }

    fn sizes(&self, log: &Log) -> io::Result<RotationSizes> {
        let block = RECORD_BYTES.max(log.file().metadata()?.blksize());
        // What the record of an exit shows stays in the log.
        let part = (self.limits.max_size.saturating_sub(RECORD_BYTES) / block * block).max(block);
        let log = part + RECORD_BYTES;
        Ok(RotationSizes {
            part,
            log,
            total: log.saturating_add(part.saturating_mul(self.kept_parts().into())),
        })
    }

    /// Drops the oldest bytes that the files have no room for, so that a log that grows faster than it is copied stays
    /// bounded: the oldest parts, and then the head of the log. Returns whether the log itself has changed.
    fn drop_excess(&mut self, file: &File, content: u64, sizes: RotationSizes) -> io::Result<bool> {
        let parts = parts(&self.path, self.state);
        let kept: u64 = parts.iter().map(|(_, size)| size).sum();
        let mut excess = (content + kept).saturating_sub(sizes.total);
        for (path, size) in parts.iter().rev() {
            // Parts of a log that is truncated have any size, and may be larger than what has to go.
            if excess == 0 || self.truncates && *size > excess {
                return Ok(false);
            }
            fs::remove_file(path)?;
            excess = excess.saturating_sub(*size);
        }
        if excess == 0 {
            return Ok(false);
        }
        self.copied = 0;
        let start = self.state.start + excess.div_ceil(sizes.part) * sizes.part;
        self.advance(RotationState { start, step: RotationStep::Done, ..self.state })?;
        self.finish(file).map(|()| true)
    }

    /// Copies the next bytes of the head of the log to a part with the number 0.
    fn copy_head(&mut self, mut file: &File, sizes: RotationSizes) -> io::Result<()> {
        let path = part_path(&self.path, 0);
        let mut options = fs::OpenOptions::new();
        let part = options.write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        if part.metadata()?.len() != self.copied {
            // An interrupted rotation left it.
            part.set_len(0)?;
            self.copied = 0;
        }
        if self.copied == 0 {
            self.truncates = system::punch_hole(part.file(), sizes.part)
                .is_err_and(|error| error.kind() == io::ErrorKind::Unsupported);
        }
        let length = if self.truncates { sizes.total } else { PIECE.min(sizes.part - self.copied) };
        file.seek(SeekFrom::Start(self.state.start - self.state.base + self.copied))?;
        part.file().seek(SeekFrom::Start(self.copied))?;
        let count = io::copy(&mut file.take(length), &mut part.file())?;
        if !self.truncates && count < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        part.sync_data()?;
        self.copied += count;
        if self.truncates || self.copied == sizes.part {
            let start = self.state.start + std::mem::take(&mut self.copied);
            self.advance(RotationState { start, step: RotationStep::Copied, ..self.state })?;
        }
        Ok(())
    }

    /// Does the steps that are left of a rotation.
    fn finish(&mut self, file: &File) -> io::Result<()> {
        let RotationState { base, start, step } = self.state;
        if start == base {
            return Ok(());
        }
        let done = RotationState { base: start, start, step: RotationStep::Done };
        if step == RotationStep::Copied {
            self.number_parts()?;
            if self.truncates {
                file.set_len(0)?;
                return self.advance(done);
            }
        }
        if step != RotationStep::Punched {
            match system::punch_hole(file, start - base) {
                // What was dropped stays in the file until that is truncated.
                Err(error) if error.kind() == io::ErrorKind::Unsupported && step == RotationStep::Done => {
                    return Ok(());
                }
                punched => punched?,
            }
            self.advance(RotationState { step: RotationStep::Punched, ..self.state })?;
        }
        // If the file system cannot do this, the log stays sparse, and readers skip the hole.
        if system::remove_head(file, start - base).is_ok() {
            self.advance(done)?;
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

    /// Removes the part that was not copied to its end.
    fn remove_incomplete_part(&self) {
        if self.state.step != RotationStep::Copied {
            let _ = fs::remove_file(part_path(&self.path, 0));
        }
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
