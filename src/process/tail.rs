//! Reading the end of a log, and following a log that grows.

use std::io::{self, Read};
use std::path::Path;

use crate::jsonl::MAX_LINE;
use crate::model::ProcessExit;
use crate::process::log::{Log, Logs};

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
    let text = String::from_utf8_lossy(&end);
    // A line that was cut off is kept only if it is the only one.
    let whole = match text.split_once('\n') {
        Some((_, rest)) if start > 0 && !rest.is_empty() => rest,
        _ => &text,
    };
    Ok(last_lines(whole, lines).to_owned())
}

/// Adds the sizes and the last lines of both logs to an exit.
pub(super) fn add_to(exit: &mut ProcessExit, logs: &Logs) {
    [exit.stdout_bytes, exit.stderr_bytes] = logs.sizes();
    let tail = |log: &Log, size: u64| match size {
        0 => String::new(),
        _ => of(log, RECORD_LINES, RECORD_BYTES).unwrap_or_default(),
    };
    exit.stdout_tail = tail(&logs.stdout, exit.stdout_bytes);
    exit.stderr_tail = tail(&logs.stderr, exit.stderr_bytes);
}

/// Returns the offset of the last `count` lines of a log, if these are on average no longer than [`MAX_LINE`].
fn start_of_last_lines(log: &Log, count: usize) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let length = log.size();
    if count == 0 {
        return Ok(length);
    }
    let first = length.saturating_sub((MAX_LINE as u64).saturating_mul(count as u64));
    let (mut end, mut remaining) = (length, count);
    let mut block = Vec::new();
    while end > first {
        let start = end.saturating_sub(BLOCK).max(first);
        block.clear();
        log.read_from(start, end - start).read_to_end(&mut block)?;
        let after_newlines = memchr::memrchr_iter(b'\n', &block).map(|at| start + at as u64 + 1);
        // A newline at the end of the file does not begin a line.
        for line in after_newlines.filter(|line| *line < length) {
            remaining -= 1;
            if remaining == 0 {
                return Ok(line);
            }
        }
        end = start;
    }
    Ok(first)
}

/// A log that is read while it grows.
#[derive(Debug)]
pub(crate) struct LogFollower {
    log: Log,
    offset: u64,
}

impl LogFollower {
    /// Opens a log to read its last `lines` lines, or the whole log if there is no limit, and what is added later.
    pub(crate) fn open(path: &Path, lines: Option<usize>) -> io::Result<Self> {
        let log = Log::open(path)?;
        let offset = lines.map_or(Ok(0), |lines| start_of_last_lines(&log, lines))?;
        Ok(Self { log, offset })
    }

    /// Whether nothing is left to read for now.
    pub(crate) fn is_at_end(&self) -> bool {
        self.log.size() == self.offset
    }

    /// Calls `take` with the bytes that were added. Reads a log that was truncated from its beginning again.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.log.size() < self.offset {
            self.offset = 0;
        }
        let mut reader = self.log.read_from(self.offset, u64::MAX);
        let mut buffer = [0; 16 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.offset += count as u64;
                    take(&buffer[..count])?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns the last `count` lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> &str {
    if count == 0 {
        return "";
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    match body.rmatch_indices('\n').nth(count - 1) {
        Some((at, _)) => &text[at + 1..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_requested_number_of_last_lines() {
        let text = "one\ntwo\nthree\n";
        assert_eq!(last_lines(text, 0), "");
        assert_eq!(last_lines(text, 1), "three\n");
        assert_eq!(last_lines(text, 2), "two\nthree\n");
        assert_eq!(last_lines(text, 9), text);
        assert_eq!(last_lines("one\ntwo", 1), "two");
        assert_eq!(last_lines("", 3), "");
    }

    #[test]
    fn the_start_of_the_last_lines_is_found_across_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = "y".repeat(200_000);
        let text = format!("one\n{long}\n{long}\nlast");
        fs_err::write(&path, &text).unwrap();
        let from = |count| start_of_last_lines(&Log::open(&path).unwrap(), count).unwrap();
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
    }
}
