//! Reading the end of a log, and following a log that grows.

use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::jsonl::MAX_LINE;
use crate::model::ProcessExit;
use crate::process::log::{Log, Logs};
use crate::process::log_series::LogSeries;

/// The number of lines of each log that a record keeps: Node prints up to ten lines of a stack below an exception, and then
/// its properties.
pub(crate) const RECORD_LINES: usize = 20;
/// The number of bytes of each log that a record keeps.
pub(crate) const RECORD_BYTES: u64 = 4096;

/// Returns the last `lines` lines within the last `bytes` bytes of a log; invalid UTF-8 is replaced.
pub(crate) fn of(log: &Log, lines: usize, bytes: u64) -> io::Result<String> {
    let start = log.size().saturating_sub(bytes);
    let mut end = Vec::new();
    log.read_from(start, bytes).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(last_whole_lines(&end, start > 0, lines)).into_owned())
}

/// Returns the last `lines` lines within the last `bytes` bytes of a log with the parts that rotation moved out of it, and the
/// number of bytes before them. Reads no more than it returns.
pub(crate) fn of_series(path: &Path, lines: usize, bytes: u64) -> io::Result<(Vec<u8>, u64)> {
    let log = LogSeries::open(path)?;
    let (oldest, end) = log.range()?;
    let start = end.saturating_sub(bytes).max(oldest);
    let mut tail = vec![0; usize::try_from(end - start).unwrap_or_default()];
    let count = read_whole(&log, start, &mut tail)?;
    tail.truncate(count);
    let omitted = tail.len() - last_whole_lines(&tail, start > oldest, lines).len();
    tail.drain(..omitted);
    Ok((tail, start - oldest + omitted as u64))
}

/// Adds the sizes and the last lines of both logs to an exit.
pub(super) fn add_to(exit: &mut ProcessExit, logs: &Logs) {
    [exit.stdout_bytes, exit.stderr_bytes] = [logs.stdout.kept_bytes(), logs.stderr.kept_bytes()];
    let tail = |log: &Log, size: u64| match size {
        0 => String::new(),
        _ => of(log, RECORD_LINES, RECORD_BYTES).unwrap_or_default(),
    };
    exit.stdout_tail = tail(&logs.stdout, exit.stdout_bytes);
    exit.stderr_tail = tail(&logs.stderr, exit.stderr_bytes);
}

/// Returns the offset of the last `count` lines of a log, if these are on average no longer than [`MAX_LINE`], and the number
/// of lines from there on.
fn start_of_last_lines(log: &LogSeries, count: usize) -> io::Result<(u64, usize)> {
    const BLOCK: u64 = 64 << 10;
    let (oldest, length) = log.range()?;
    if count == 0 || length == oldest {
        return Ok((length, 0));
    }
    let first = length.saturating_sub((MAX_LINE as u64).saturating_mul(count as u64)).max(oldest);
    let (mut end, mut found) = (length, 1);
    let mut block = Vec::new();
    while end > first {
        let start = end.saturating_sub(BLOCK).max(first);
        block.resize(usize::try_from(end - start).unwrap_or_default(), 0);
        read_whole(log, start, &mut block)?;
        let after_newlines = memchr::memrchr_iter(b'\n', &block).map(|at| start + at as u64 + 1);
        // A newline at the end of the file does not begin a line.
        for line in after_newlines.filter(|line| *line < length) {
            if found == count {
                return Ok((line, found));
            }
            found += 1;
        }
        end = start;
    }
    Ok((first, found))
}

/// Reads from an offset until the buffer is full or the log ends, and returns the number of bytes.
fn read_whole(log: &LogSeries, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match log.read_at(offset + filled as u64, &mut buffer[filled..])? {
            (_, 0) => break,
            (_, count) => filled += count,
        }
    }
    Ok(filled)
}

/// The time between two reads of a log that is followed.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A log that is read while it grows and is rotated.
#[derive(Debug)]
pub(crate) struct LogFollower {
    log: LogSeries,
    offset: u64,
    /// The size and the time of the last change of the file when everything was read.
    seen: Option<(u64, SystemTime)>,
}

impl LogFollower {
    /// Opens a log to read its last `lines` lines, or the whole log if there is no limit, and what is added later.
    pub(crate) fn open(path: &Path, lines: Option<usize>) -> io::Result<Self> {
        Self::open_counted(path, lines).map(|(follower, _)| follower)
    }

    /// Opens a log as [`Self::open`] does, and returns the number of lines in it that are read, if that is limited.
    pub(crate) fn open_counted(path: &Path, lines: Option<usize>) -> io::Result<(Self, usize)> {
        let log = LogSeries::open(path)?;
        let (offset, count) = lines.map_or_else(
            || log.range().map(|(oldest, _)| (oldest, 0)),
            |lines| start_of_last_lines(&log, lines),
        )?;
        Ok((Self { log, offset, seen: None }, count))
    }

    /// Whether nothing is left to read for now.
    pub(crate) fn is_at_end(&self) -> bool {
        self.log.range().is_ok_and(|(_, end)| end == self.offset)
    }

    /// Calls `take` with the bytes that were added. Reads a log that was truncated from its beginning again.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let metadata = self.log.file().metadata()?;
        let now = (metadata.len(), metadata.modified()?);
        if self.seen == Some(now) {
            return Ok(());
        }
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.log.read_at(self.offset, &mut buffer) {
                Ok((_, 0)) => {
                    self.seen = Some(now);
                    return Ok(());
                }
                Ok((from, count)) => {
                    self.offset = from + count as u64;
                    take(&buffer[..count])?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns the last `count` lines of the end of a log. If its beginning is cut off, its first line is left out, unless it is
/// the only one.
fn last_whole_lines(end: &[u8], is_cut: bool, count: usize) -> &[u8] {
    let whole = match memchr::memchr(b'\n', end) {
        _ if !is_cut => end,
        Some(newline) if newline + 1 < end.len() => &end[newline + 1..],
        _ => {
            let is_continuation = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
            &end[end.iter().take(3).take_while(is_continuation).count()..]
        }
    };
    last_lines(whole, count)
}

/// Returns the last `count` lines of a text.
fn last_lines(text: &[u8], count: usize) -> &[u8] {
    let Some(before) = count.checked_sub(1) else { return &[] };
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    memchr::memrchr_iter(b'\n', body).nth(before).map_or(text, |newline| &text[newline + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_requested_number_of_last_lines() {
        let text = b"one\ntwo\nthree\n";
        assert_eq!(last_lines(text, 0), b"");
        assert_eq!(last_lines(text, 1), b"three\n");
        assert_eq!(last_lines(text, 2), b"two\nthree\n");
        assert_eq!(last_lines(text, 9), text);
        assert_eq!(last_lines(b"one\ntwo", 1), b"two");
        assert_eq!(last_lines(b"", 3), b"");
    }

    #[test]
    fn the_start_of_the_last_lines_is_found_across_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = "y".repeat(200_000);
        let text = format!("one\n{long}\n{long}\nlast");
        fs_err::write(&path, &text).unwrap();
        let from = |count| start_of_last_lines(&LogSeries::open(&path).unwrap(), count).unwrap().0;
        let bytes = text.len() as u64;
        assert_eq!([0, 1, 2, 3, 4, 9].map(from), [bytes, bytes - 4, bytes - 200_005, 4, 0, 0]);
        fs_err::write(&path, text + "\n").unwrap();
        assert_eq!(from(1), bytes - 4);
        fs_err::write(&path, "\n\n").unwrap();
        assert_eq!([1, 2, 3].map(from), [1, 0, 0]);
        fs_err::write(&path, "").unwrap();
        assert_eq!(from(1), 0);
    }

    #[test]
    fn a_log_that_grows_is_followed_and_a_truncated_one_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs_err::write(&path, "one\ntwo\n").unwrap();
        let mut follow = LogFollower::open(&path, Some(1)).unwrap();
        let mut read = || {
            let mut text = String::new();
            follow
                .read(|bytes| {
                    text.push_str(std::str::from_utf8(bytes).unwrap());
                    Ok(())
                })
                .unwrap();
            text
        };
        assert_eq!((read(), read()), ("two\n".to_owned(), String::new()));
        fs_err::write(&path, "one\ntwo\nthree").unwrap();
        assert_eq!(read(), "three");
        fs_err::write(&path, "new\n").unwrap();
        assert_eq!(read(), "new\n");
    }

    #[test]
    fn leaves_out_an_incomplete_line_and_replaces_invalid_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs_err::write(&path, b"first line\nsecond\xff\n").unwrap();
        let read = |bytes| of(&Log::open(&path).unwrap(), 10, bytes).unwrap();
        assert_eq!(read(12), "second\u{fffd}\n");
        assert_eq!(read(1000), "first line\nsecond\u{fffd}\n");
        fs_err::write(&path, "x".repeat(100)).unwrap();
        assert_eq!(read(12), "x".repeat(12));
        fs_err::write(&path, "größe").unwrap();
        assert_eq!(read(4), "ße", "a character that is cut off is left out");
    }

    #[test]
    fn the_end_of_a_log_comes_with_the_number_of_bytes_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let end = |lines, bytes| {
            let (tail, omitted) = of_series(&path, lines, bytes).unwrap();
            (String::from_utf8(tail).unwrap(), omitted)
        };
        fs_err::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(end(9, 99), ("one\ntwo\nthree\n".to_owned(), 0));
        assert_eq!(end(2, 99), ("two\nthree\n".to_owned(), 4));
        assert_eq!(end(9, 8), ("three\n".to_owned(), 8));
        fs_err::write(&path, "x".repeat(100)).unwrap();
        assert_eq!(end(9, 12), ("x".repeat(12), 88));
        fs_err::write(&path, "").unwrap();
        assert_eq!(end(9, 12), (String::new(), 0));
    }
}
