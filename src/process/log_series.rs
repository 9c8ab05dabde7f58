//! The log of a stream together with the parts that rotation moved out of it: one stream of bytes, whose offsets count all
//! bytes that the process has ever written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fs::{atomic, regular_file};
use crate::process::log::Log;

/// The number of bytes that are enough to tell a hole from the text of a log.
const HOLE_SAMPLE: usize = 512;

/// The largest state of a rotation, in bytes.
const MAX_STATE: u64 = 1 << 10;

/// How far the rotation of a log has come. It is stored beside the log before and after each step, so that readers find every
/// byte once, even if the waiter is killed during a rotation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RotationState {
    /// The offset of the first byte of the file.
    pub base: u64,
    /// The offset of the first byte that is only in the file: everything before it is in a part, or was dropped. It may still
    /// be in the file.
    pub start: u64,
    pub step: RotationStep,
}

/// The last step of a rotation that was completed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RotationStep {
    /// The parts have their numbers.
    #[default]
    Done,
    /// The head of the file was copied to the part with the number 0.
    Copied,
    /// The head of the file is a hole, which may have been removed.
    Punched,
}

impl RotationState {
    /// Reads the state of a log; the default if it was never rotated.
    pub(super) fn read(log: &Path) -> Self {
        let bytes = regular_file::read(&state_path(log), MAX_STATE);
        bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(super) fn write(self, log: &Path) -> io::Result<()> {
        atomic::write(&state_path(log), &serde_json::to_vec(&self)?)
    }

    /// Returns the state as the file shows it, given its size: the process may have truncated it, and the hole at its
    /// beginning may be gone already.
    pub(super) fn observed(self, file: &File, size: u64) -> Self {
        let head = self.start - self.base;
        let is_gone = head > 0
            && (size < head || self.step == RotationStep::Punched && !begins_with_hole(file).unwrap_or(true));
        if is_gone { Self { base: self.start, ..self } } else { self }
    }
}

fn begins_with_hole(file: &File) -> io::Result<bool> {
    let mut sample = [0; HOLE_SAMPLE];
    let count = file.read_at(&mut sample, 0)?;
    Ok(sample[..count].iter().all(|byte| *byte == 0))
}

fn state_path(log: &Path) -> PathBuf {
    log.with_extension("rotation")
}

/// Returns the path of a part of a log: `stdout.1.log` is the newest one of `stdout.log`, and number 0 is not complete yet.
pub(super) fn part_path(log: &Path, number: u32) -> PathBuf {
    log.with_extension(format!("{number}.log"))
}

/// Returns the parts of a log with their sizes, newest first.
pub(super) fn parts(log: &Path, state: RotationState) -> Vec<(PathBuf, u64)> {
    if state.start == 0 {
        return Vec::new();
    }
    let first = u32::from(state.step != RotationStep::Copied);
    // A rotation that was interrupted leaves a gap, but never two.
    let mut has_gap = false;
    let mut parts = Vec::new();
    for number in first.. {
        let path = part_path(log, number);
        match path.symlink_metadata() {
            Ok(metadata) => parts.push((path, metadata.len())),
            Err(_) if has_gap => break,
            Err(_) => has_gap = number > 0,
        }
    }
    parts
}

/// A log with its parts, as another process reads it.
#[derive(Debug)]
pub(crate) struct LogSeries {
    log: Log,
    path: PathBuf,
}

/// The offsets in a series while no rotation can begin.
#[derive(Debug)]
struct Layout {
    state: RotationState,
    /// The offset after the last byte.
    end: u64,
}

impl LogSeries {
    /// Opens a log of a process that another rigup started.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { log: Log::open(path)?, path: path.to_owned() })
    }

    /// Returns the file of the log, whose metadata change with the series.
    pub(super) fn file(&self) -> &File {
        self.log.file()
    }

    /// Returns the offset of the first byte that is kept, and the offset after the last one.
    pub(crate) fn range(&self) -> io::Result<(u64, u64)> {
        self.while_stable(|layout| {
            let parts: u64 = parts(&self.path, layout.state).iter().map(|(_, size)| size).sum();
            Ok((layout.state.start.saturating_sub(parts), layout.end))
        })
    }

    /// Reads from an offset, or from the next byte that is kept. Starts again at the beginning of the file if the process has
    /// truncated it. Returns the offset that was read from, and the number of bytes; 0 at the end.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<(u64, usize)> {
        self.while_stable(|layout| {
            let Layout { state, end } = layout;
            if offset > *end {
                let count = self.file().read_at(buffer, state.start - state.base)?;
                return Ok((state.start, count));
            }
            if offset < state.start {
                let mut start = state.start;
                let mut next = None;
                for (path, size) in parts(&self.path, *state) {
                    start = start.saturating_sub(size);
                    let from = start.max(offset);
                    next = Some((path, from - start, from));
                    if start <= offset {
                        break;
                    }
                }
                if let Some((path, position, from)) = next {
                    let count = regular_file::open(&path)?.read_at(buffer, position)?;
                    return Ok((from, count));
                }
            }
            let from = offset.max(state.start);
            self.file().read_at(buffer, from - state.base).map(|count| (from, count))
        })
    }

    /// Calls `read` while the log cannot be rotated.
    fn while_stable<T>(&self, read: impl FnOnce(&Layout) -> io::Result<T>) -> io::Result<T> {
        let file = self.file();
        file.lock_shared()?;
        let result = file.metadata().and_then(|metadata| {
            let state = RotationState::read(&self.path).observed(file, metadata.len());
            read(&Layout { state, end: state.base + metadata.len() })
        });
        file.unlock()?;
        result
    }
}
