//! Removing environments, which may hold secrets, from logs: some hooks print them in their Binary records.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use memchr::memmem;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::fs::atomic;
use crate::jsonl::MAX_LINE;

/// The key that is removed.
const KEY: &str = "env";

/// Removes the `env` of every Binary record from a log. All other bytes stay the same; a log without an `env` is not
/// rewritten.
pub(crate) fn remove_environments(log: &Path) -> io::Result<()> {
    let mut redacted: Option<BufWriter<NamedTempFile>> = None;
    let mut reader = BufReader::new(File::open(log)?);
    let mut line = Vec::new();
    let mut is_new_line = true;
    let mut offset = 0;
    // A line over the limit is read in parts, and is not a record.
    while (&mut reader).take(MAX_LINE as u64).read_until(b'\n', &mut line)? > 0 {
        let is_whole = is_new_line && (line.ends_with(b"\n") || line.len() < MAX_LINE);
        let record = Some(&line).filter(|_| is_whole).and_then(|line| without_environment(line));
        if record.is_some() && redacted.is_none() {
            let mut file = atomic::create_private(log)?;
            io::copy(&mut File::open(log)?.take(offset), &mut file)?;
            redacted = Some(BufWriter::new(file));
        }
        if let Some(redacted) = &mut redacted {
            match record {
                Some(record) => writeln!(redacted, "{record}")?,
                None => redacted.write_all(&line)?,
            }
        }
        is_new_line = line.ends_with(b"\n");
        offset += line.len() as u64;
        line.clear();
    }
    if let Some(redacted) = redacted {
        redacted.into_inner().map_err(io::IntoInnerError::into_error)?.persist(log)?;
    }
    Ok(())
}

/// Returns the record without its environment, or `None` if the line is not a Binary record with an environment.
fn without_environment(line: &[u8]) -> Option<Value> {
    memmem::find(line, KEY.as_bytes())?;
    let mut record: Value = serde_json::from_slice(line.trim_ascii()).ok()?;
    let fields = record.as_object_mut()?;
    if fields.get("type")? != "Binary" {
        return None;
    }
    fields.shift_remove(KEY)?;
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(log: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout.log");
        fs_err::write(&path, log).unwrap();
        remove_environments(&path).unwrap();
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        fs_err::read(&path).unwrap()
    }

    #[test]
    fn only_the_environment_in_a_binary_record_is_removed() {
        let before = b"log \xff\r\n\n{\"type\":\"Binary\", \"name\":\"x\",\"env\":{\"TOKEN\":\"canary\"},\"abspath\":\"/x\"}\n{\"type\": \"Other\",\"env\":{}}\nend";
        let after = b"log \xff\r\n\n{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"/x\"}\n{\"type\": \"Other\",\"env\":{}}\nend";
        assert_eq!(redacted(before), after);
        let last = b"{\"type\":\"Binary\",\"env\":{\"TOKEN\":\"canary\"}}";
        assert_eq!(redacted(last), b"{\"type\":\"Binary\"}\n");
    }

    #[test]
    fn a_record_is_found_after_any_amount_of_output() {
        for size in [0, (64 << 10) - 3, 64 << 10, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE] {
            let mut log = vec![b'.'; size];
            log.push(b'\n');
            let clean = [&log[..], b"{\"type\":\"Binary\"}\n"].concat();
            log.extend(b"{\"type\":\"Binary\",\"env\":{\"TOKEN\":\"canary\"}}\n");
            assert_eq!(redacted(&log), clean, "{size}");
        }
    }
}
