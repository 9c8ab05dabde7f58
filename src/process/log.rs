//! The logs of a process. The rigup that starts the process opens them before, and then uses only these descriptors,
//! because the process may remove, replace and truncate the files in its run dir.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::fs::regular_file;

/// The beginning of a warning about a log that its process has truncated.
const TRUNCATED: &str = "it truncated its ";

/// Whether a warning about a process says that it has truncated a log.
pub(crate) fn is_about_truncation(warning: &str) -> bool {
    warning.starts_with(TRUNCATED)
}

/// The log of one stream.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    /// The size that the log is known to have had.
    known_size: Cell<u64>,
    /// Whether it became smaller than that.
    is_truncated: Cell<bool>,
    /// The size of the hole at its beginning, and the size of the parts that were moved out of it.
    rotated: Cell<(u64, u64)>,
}

impl Log {
    /// Returns the log in a file that is open for reading, and for a process that appends to it.
    pub(super) fn new(file: File) -> Self {
        Self { file, known_size: Cell::default(), is_truncated: Cell::default(), rotated: Cell::default() }
    }

    /// Opens the log of a process that another rigup started. Refuses anything that is not a regular file, because a
    /// pipe has no end.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        regular_file::open(path).map(Self::new)
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> u64 {
        let Ok(metadata) = self.file.metadata() else { return 0 };
        let size = metadata.len();
        if self.known_size.replace(size) > size {
            self.is_truncated.set(true);
        }
        size
    }

    /// Returns the number of bytes that are kept, with the parts that were moved out of the log.
    pub(super) fn kept_bytes(&self) -> u64 {
        let (hole, parts) = self.rotated.get();
        self.size().saturating_sub(hole) + parts
    }

    /// Notes that the log was rotated: the size of the hole at its beginning, and that of the parts that are kept.
    pub(super) fn note_rotation(&self, hole: u64, parts: u64) {
        self.rotated.set((hole, parts));
        self.known_size.set(0);
    }

    /// Returns the device and inode of the file, which no other file has.
    pub(super) fn file_id(&self) -> io::Result<(u64, u64)> {
        self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// Cuts the log to this size if it is larger.
    pub(super) fn cut(&self, size: u64) {
        if self.size() > size {
            // If this fails, the log takes more space than it should, but no more of it is read.
            let _ = self.file.set_len(size);
            self.known_size.set(size);
        }
    }

    /// Returns a reader of at most `limit` bytes from an offset.
    pub(crate) fn read_from(&self, offset: u64, limit: u64) -> LogReader<'_> {
        LogReader { log: self, offset, end: offset.saturating_add(limit) }
    }
}

/// A reader of a part of a log, which has a position of its own.
#[derive(Debug)]
pub(crate) struct LogReader<'a> {
    log: &'a Log,
    /// The position.
    pub offset: u64,
    end: u64,
}

impl Read for LogReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX).min(buffer.len());
        let count = if room == 0 { 0 } else { self.log.file.read_at(&mut buffer[..room], self.offset)? };
        self.offset += count as u64;
        let known_size = &self.log.known_size;
        known_size.set(known_size.get().max(self.offset));
        Ok(count)
    }
}

/// The logs of standard output and standard error.
#[derive(Debug)]
pub(crate) struct Logs {
    /// The log of standard output.
    pub stdout: Log,
    /// The log of standard error.
    pub stderr: Log,
}

impl Logs {
    /// Creates logs without names in a folder, for a process that has no run dir.
    pub(crate) fn temporary(folder: &Path) -> io::Result<Self> {
        let log = || tempfile::tempfile_in(folder).map(Log::new);
        Ok(Self { stdout: log()?, stderr: log()? })
    }

    /// Returns the size of each log.
    pub(super) fn sizes(&self) -> [u64; 2] {
        [self.stdout.size(), self.stderr.size()]
    }

    /// Returns the size of the larger log.
    pub(super) fn largest(&self) -> u64 {
        self.stdout.size().max(self.stderr.size())
    }

    /// Returns a warning for each log that the process has truncated, as far as its sizes were seen.
    pub(super) fn truncation_warnings(&self) -> impl Iterator<Item = String> {
        let logs = [(&self.stdout, "stdout", 1), (&self.stderr, "stderr", 2)];
        logs.into_iter().filter(|(log, ..)| log.is_truncated.get()).map(|(_, stream, number)| {
            format!(
                "{TRUNCATED}{stream}, so output may be lost; write to `>&{number}` or `>>/dev/{stream}` instead of \
                 `>/dev/{stream}`"
            )
        })
    }

    /// Cuts both logs to this size.
    pub(super) fn cut(&self, size: u64) {
        self.stdout.cut(size);
        self.stderr.cut(size);
    }
}
