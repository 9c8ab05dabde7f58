//! The progress messages and the result that a run writes into its run dir.

use std::fs::OpenOptions;
use std::io::{self, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::clock;
use crate::fs::{atomic, regular_file};
use crate::jsonl::{self, Line};
use crate::process::log::Log;
use crate::settings::Environment;

/// The variable with the path of the run dir, for a run and everything that it starts.
pub(crate) const RUN_DIR_VARIABLE: &str = "RIGUP_RUN_DIR";

/// The file with the messages.
const MESSAGES: &str = "messages.jsonl";

/// The file with the result.
const RESULT: &str = "result.json";

/// The maximum number of messages that are shown. Older ones are left out.
pub(crate) const MESSAGES_SHOWN: usize = 1000;

/// The maximum number of bytes of the messages that are read. Older ones are left out.
const MESSAGES_READ: u64 = 16 << 20;

/// The maximum number of bytes of a result with its time.
const MAX_RESULT: u64 = 64 << 20;

/// An error that prevents a message or a result from being written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    /// The caller is not part of a detached run.
    #[error(
        "not in a detached run: {RUN_DIR_VARIABLE} is not set; start a run with `rigup start --slug NAME -- CMD`"
    )]
    NotInRun,
    /// The variable does not name a run dir.
    #[error("{RUN_DIR_VARIABLE}={} is not a run dir of rigup", .0.display())]
    NotRunDir(PathBuf),
    /// The message or the result exceeds the maximum length.
    #[error("{0} bytes are too many; write at most {1} bytes, and the rest to a file")]
    TooLong(usize, u64),
    /// The file cannot be written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Returns the run dir of the run that this process is part of.
pub(crate) fn current(environment: &Environment) -> Result<PathBuf, MessageError> {
    let path = PathBuf::from(environment.get(RUN_DIR_VARIABLE).ok_or(MessageError::NotInRun)?);
    if path.is_absolute() && path.join("cmd.sh").is_file() {
        Ok(path)
    } else {
        Err(MessageError::NotRunDir(path))
    }
}

/// Appends a message as one line, in one write, so that the messages of several processes do not mix.
pub(crate) fn post(run_dir: &Path, text: Value, extra: Map<String, Value>) -> Result<(), MessageError> {
    let time = clock::format(clock::now());
    let mut message = Map::from_iter([("time".to_owned(), time.into()), ("text".to_owned(), text)]);
    message.extend(extra);
    let line = format!("{}\n", Value::Object(message));
    if line.len() > jsonl::MAX_LINE {
        return Err(MessageError::TooLong(line.len(), jsonl::MAX_LINE as u64));
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let mut file = regular_file::open_with(&mut options, &run_dir.join(MESSAGES))?;
    if file.write(line.as_bytes())? < line.len() {
        let reason = "the message was truncated: no space left";
        return Err(io::Error::new(io::ErrorKind::StorageFull, reason).into());
    }
    Ok(())
}

/// Writes the result, and replaces an earlier one.
pub(crate) fn set_result(run_dir: &Path, result: &Value) -> Result<(), MessageError> {
    let result = format!("{}\n", json!({"time": clock::format(clock::now()), "result": result}));
    if result.len() as u64 > MAX_RESULT {
        return Err(MessageError::TooLong(result.len(), MAX_RESULT));
    }
    Ok(atomic::write(&run_dir.join(RESULT), result.as_bytes())?)
}

/// Returns the newest messages, oldest first. Lines that are not JSON objects are left out.
pub(crate) fn messages(run_dir: &Path) -> Vec<Value> {
    let Ok(log) = Log::open(&run_dir.join(MESSAGES)) else { return Vec::new() };
    let newest = log.read_from(log.size().saturating_sub(MESSAGES_READ), MESSAGES_READ);
    let mut messages = std::collections::VecDeque::new();
    // If the file cannot be read to its end, the messages before the error are returned.
    let _ = jsonl::for_each_line(BufReader::new(newest), |_, line| {
        if let Line::Text(text) = line
            && let Ok(message @ Value::Object(_)) = serde_json::from_slice(text)
        {
            if messages.len() == MESSAGES_SHOWN {
                messages.pop_front();
            }
            messages.push_back(message);
        }
    });
    messages.into()
}

/// Returns the result with its time, or `None` if there is no valid one.
pub(crate) fn result(run_dir: &Path) -> Option<Value> {
    serde_json::from_slice(&regular_file::read(&run_dir.join(RESULT), MAX_RESULT).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_in_order_and_other_lines_left_out() {
        let folder = tempfile::tempdir().unwrap();
        post(folder.path(), "one".into(), Map::new()).unwrap();
        fs_err::OpenOptions::new()
            .append(true)
            .open(folder.path().join("messages.jsonl"))
            .unwrap()
            .write_all(b"noise\n[1]\n{\"cut\n")
            .unwrap();
        let extra = json!({"step": "2"}).as_object().unwrap().clone();
        post(folder.path(), "two\nlines".into(), extra).unwrap();
        let texts: Vec<Value> =
            messages(folder.path()).iter().map(|message| message["text"].clone()).collect();
        assert_eq!(texts, ["one", "two\nlines"]);
        assert_eq!(messages(folder.path())[1]["step"], "2");
    }

    #[test]
    fn the_last_result_counts() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(result(folder.path()), None);
        set_result(folder.path(), &json!([1])).unwrap();
        set_result(folder.path(), &json!({"ok": true})).unwrap();
        assert_eq!(result(folder.path()).unwrap()["result"], json!({"ok": true}));
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn only_a_folder_that_rigup_created_is_a_run_dir() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let of = |path: &str| current(&Environment::from_iter([(RUN_DIR_VARIABLE, path)]));
        assert!(matches!(of(path), Err(MessageError::NotRunDir(_))));
        assert!(matches!(of(""), Err(MessageError::NotInRun)));
        fs_err::write(folder.path().join("cmd.sh"), "").unwrap();
        assert_eq!(of(path).unwrap(), folder.path());
    }
}
