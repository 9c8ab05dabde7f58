//! The logs of a process. The rigup that starts the process opens them before, and then uses only these descriptors,
//! because the process may remove, replace and truncate the files in its run dir.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::fs::regular_file;

/// The log of one stream.
#[derive(Debug)]
pub(crate) struct Log(File);

impl Log {
    /// Returns the log in a file that is open for reading, and for a process that appends to it.
    pub(super) fn new(file: File) -> Self {
        Self(file)
    }

    /// Opens the log of a process that another rigup started. Refuses anything that is not a regular file, because a
    /// pipe has no end.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        regular_file::open(path).map(Self)
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }

    /// Returns the file, without the log around it.
    pub(super) fn into_file(self) -> File {
        self.0
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Returns the device and inode of the file, which no other file has.
    pub(super) fn file_id(&self) -> io::Result<(u64, u64)> {
        self.0.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// Cuts the log to this size if it is larger.
    pub(super) fn cut(&self, size: u64) {
        if self.size() > size {
            // If this fails, the log takes more space than it should, but no more of it is read.
            let _ = self.0.set_len(size);
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
        let count = if room == 0 { 0 } else { self.log.0.read_at(&mut buffer[..room], self.offset)? };
        self.offset += count as u64;
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
    /// Returns the size of each log.
    pub(super) fn sizes(&self) -> [u64; 2] {
        [self.stdout.size(), self.stderr.size()]
    }

    /// Returns the size of the larger log.
    pub(super) fn largest(&self) -> u64 {
        self.stdout.size().max(self.stderr.size())
    }

    /// Cuts both logs to this size.
    pub(super) fn cut(&self, size: u64) {
        self.stdout.cut(size);
        self.stderr.cut(size);
    }
}
