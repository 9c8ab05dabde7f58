//! Blanking environments, which may hold secrets, in the logs of hooks: some hooks print theirs in their Binary records.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::fs::regular_file;
use crate::jsonl::MAX_LINE;
use crate::process::log::Log;
use crate::protocol::environment::{self, MARK_LENGTH};

/// Overwrites the `env` of every Binary record in a log with an empty object and blanks. All other bytes stay the same,
/// and every line keeps its place. Does nothing if another file has taken the place of the log.
pub(super) fn blank_environments(log: &Log, path: &Path) -> io::Result<()> {
    if !may_have_environment(log)? {
        return Ok(());
    }
    let mut writable = None;
    let mut reader = BufReader::new(log.read_from(0, log.size()));
    let mut line = Vec::new();
    let mut is_new_line = true;
    let mut offset = 0;
    // A line over the limit is read in parts, and is not a record.
    while (&mut reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)? > 0 {
        let is_whole = is_new_line && (line.ends_with(b"\n") || line.len() <= MAX_LINE);
        for place in if is_whole { environment::find(&line) } else { Vec::new() } {
            if writable.is_none() {
                // The process appends to the descriptor of the log, and so would every write through it.
                let file = regular_file::open_with(OpenOptions::new().read(true).write(true), path)?;
                writable = Some(Log::new(file)).filter(|file| file.file_id().ok() == log.file_id().ok());
            }
            let Some(writable) = &writable else { return Ok(()) };
            let start = place.start as u64;
            environment::blank(&mut line[place.clone()]);
            writable.file().write_all_at(&line[place], offset + start)?;
        }
        is_new_line = line.ends_with(b"\n");
        offset += line.len() as u64;
        line.clear();
    }
    Ok(())
}

/// Returns whether there may be an environment anywhere in a log.
fn may_have_environment(log: &Log) -> io::Result<bool> {
    let mut reader = log.read_from(0, log.size());
    let mut buffer = vec![0; 64 << 10];
    let mut kept = 0;
    loop {
        let end = kept + reader.read(&mut buffer[kept..])?;
        if end == kept || environment::may_be_in(&buffer[..end]) {
            return Ok(end > kept);
        }
        // A mark may begin in one piece and end in the next.
        let start = end.saturating_sub(MARK_LENGTH - 1);
        buffer.copy_within(start..end, 0);
        kept = end - start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(log: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout.log");
        fs_err::write(&path, log).unwrap();
        blank_environments(&Log::open(&path).unwrap(), &path).unwrap();
        let blanked = fs_err::read(&path).unwrap();
        assert_eq!(blanked.len(), log.len());
        String::from_utf8_lossy(&blanked).into_owned()
    }

    #[test]
    fn only_the_environment_in_a_binary_record_is_blanked() {
        let before = b"log \xff\r\n\n{\"type\":\"Binary\", \"n\":1.0,\"env\":{\"TOKEN\":\"canary\"}, \"overrides\":{\"env\":{}}}\n{\"type\": \"Other\",\"env\":{\"A\":1}}\nend";
        let after = "log \u{fffd}\r\n\n{\"type\":\"Binary\", \"n\":1.0,\"env\":{                }, \"overrides\":{\"env\":{}}}\n{\"type\": \"Other\",\"env\":{\"A\":1}}\nend";
        assert_eq!(blanked(before), after);
        let two = b"\0{\"env\":\"a=b\",\"type\":\"Binary\"}{\"type\":\"Binary\",\"env\":{\"A\":\"}\"}}";
        assert_eq!(
            blanked(two),
            "\0{\"env\":{   },\"type\":\"Binary\"}{\"type\":\"Binary\",\"env\":{       }}"
        );
    }

    #[test]
    fn a_record_of_the_maximum_length_is_blanked() {
        let (start, end) = ("{\"type\":\"Binary\",\"x\":\"", "\",\"env\":{\"A\":\"canary\"}}");
        let record = format!("{start}{}{end}", "x".repeat(MAX_LINE - start.len() - end.len()));
        for line in [record.clone(), record + "\n"] {
            assert!(!blanked(line.as_bytes()).contains("canary"));
        }
    }

    #[test]
    fn a_record_is_found_after_any_amount_of_output() {
        for size in [0, (64 << 10) - 3, 64 << 10, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE] {
            let mut log = vec![b'.'; size];
            log.extend(b"\n{\"type\":\"Binary\",\"env\":{\"TOKEN\":\"canary\"}}\n");
            let blanked = blanked(&log);
            assert_eq!(&blanked[size..], "\n{\"type\":\"Binary\",\"env\":{                }}\n", "{size}");
        }
    }

    #[test]
    fn a_file_in_the_place_of_the_log_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout.log");
        let text = "{\"type\":\"Binary\",\"env\":{\"A\":\"b\"}}\n";
        fs_err::write(&path, text).unwrap();
        let log = Log::open(&path).unwrap();
        fs_err::remove_file(&path).unwrap();
        fs_err::write(&path, text).unwrap();
        blank_environments(&log, &path).unwrap();
        assert_eq!(fs_err::read_to_string(&path).unwrap(), text);
    }
}
