//! The end of a log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// So many lines of each log are kept in a record.
pub const RECORD_LINES: usize = 10;
/// So many bytes of each log are kept in a record.
pub const RECORD_BYTES: u64 = 4096;

/// The last `lines` lines of a file, of which at most the last `bytes` bytes are read; bad bytes are replaced.
pub fn read(path: &Path, lines: usize, bytes: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(bytes);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(bytes).read_to_end(&mut end)?;
    let text = String::from_utf8_lossy(&end);
    // A line that was cut in the middle is kept only where it is all there is.
    let whole = match text.split_once('\n') {
        Some((_, rest)) if start > 0 && !rest.is_empty() => rest,
        _ => &text,
    };
    Ok(last_lines(whole, lines).to_owned())
}

/// The last `count` lines of a text.
pub fn last_lines(text: &str, count: usize) -> &str {
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
    fn the_last_lines_are_exactly_as_many_as_asked_for() {
        let text = "one\ntwo\nthree\n";
        assert_eq!(last_lines(text, 0), "");
        assert_eq!(last_lines(text, 1), "three\n");
        assert_eq!(last_lines(text, 2), "two\nthree\n");
        assert_eq!(last_lines(text, 9), text);
        assert_eq!(last_lines("one\ntwo", 1), "two");
        assert_eq!(last_lines("", 3), "");
    }

    #[test]
    fn a_line_that_was_cut_is_left_out_and_bad_bytes_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs_err::write(&path, b"first line\nsecond\xff\n").unwrap();
        assert_eq!(read(&path, 10, 12).unwrap(), "second\u{fffd}\n");
        assert_eq!(read(&path, 10, 1000).unwrap(), "first line\nsecond\u{fffd}\n");
        fs_err::write(&path, "x".repeat(100)).unwrap();
        assert_eq!(read(&path, 10, 12).unwrap(), "x".repeat(12));
    }
}
