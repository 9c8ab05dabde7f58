//! The progress messages and the result that a run writes into its run dir.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use serde_json::{Map, Value, json};

use crate::clock;
use crate::fs::{atomic, regular_file};
use crate::jsonl::{self, Line};
use crate::process::log::Log;
use crate::settings::Environment;

/// The variable with the path of the run dir, for a run and everything that it starts.
pub(crate) const RUN_DIR_VARIABLE: &str = "RIGUP_RUN_DIR";

/// The file with the messages, and the one with those before them.
const MESSAGES: &str = "messages.jsonl";
const OLDER_MESSAGES: &str = "messages.1.jsonl";

/// The file with the result.
const RESULT: &str = "result.json";

/// The maximum number of messages that are shown. Older ones are left out.
pub(crate) const MESSAGES_SHOWN: usize = 1000;

/// The size in bytes at which a file with messages replaces the one with older messages. No more of a file is read.
const MAX_MESSAGES: u64 = 8 << 20;

/// The maximum number of bytes of a result with its time.
const MAX_RESULT: u64 = 64 << 20;

/// The maximum depth of a value in a message or a result. `serde_json` reads 127 levels, and the record of a process, its
/// list of messages and a message are three.
const MAX_DEPTH: usize = 124;

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
    /// Lists and objects are nested too deep to be read back.
    #[error("{0} levels of lists and objects are too many; nest at most {MAX_DEPTH}")]
    TooDeep(usize),
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
    message.values().try_for_each(check_depth)?;
    let line = format!("{}\n", Value::Object(message));
    if line.len() > jsonl::MAX_LINE {
        return Err(MessageError::TooLong(line.len(), jsonl::MAX_LINE as u64));
    }
    let mut file = open_for(line.len() as u64, run_dir)?;
    if file.write(line.as_bytes())? < line.len() {
        let reason = "the message was truncated: no space left";
        return Err(io::Error::new(io::ErrorKind::StorageFull, reason).into());
    }
    Ok(())
}

/// Opens the file with the messages for a message of this length. If it has no room for that, sets it aside before.
fn open_for(length: u64, run_dir: &Path) -> io::Result<File> {
    let path = run_dir.join(MESSAGES);
    let open = || {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        regular_file::open_with(&mut options, &path)
    };
    let file = open()?;
    // Only one process at a time sets the file aside. The others still write to it.
    if file.metadata()?.len() + length <= MAX_MESSAGES || file.try_lock().is_err() {
        return Ok(file);
    }
    let full = Log::new(file);
    // Another process may have set it aside since it was opened.
    if Log::open(&path).and_then(|current| current.file_id()).ok() == full.file_id().ok() {
        fs::rename(&path, run_dir.join(OLDER_MESSAGES))?;
    }
    open()
}

/// Writes the result, and replaces an earlier one.
pub(crate) fn set_result(run_dir: &Path, result: &Value) -> Result<(), MessageError> {
    check_depth(result)?;
    let result = format!("{}\n", json!({"time": clock::format(clock::now()), "result": result}));
    if result.len() as u64 > MAX_RESULT {
        return Err(MessageError::TooLong(result.len(), MAX_RESULT));
    }
    Ok(atomic::write(&run_dir.join(RESULT), result.as_bytes())?)
}

fn check_depth(value: &Value) -> Result<(), MessageError> {
    let depth = depth(value);
    if depth > MAX_DEPTH { Err(MessageError::TooDeep(depth)) } else { Ok(()) }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Returns the newest messages, oldest first. Lines that are not JSON objects are left out.
pub(crate) fn messages(run_dir: &Path) -> Vec<Value> {
    let open = |name| Log::open(&run_dir.join(name)).ok();
    let mut messages = VecDeque::new();
    // In this order, so that none is missed if a file is set aside meanwhile.
    let newer = open(MESSAGES);
    let mut older = open(OLDER_MESSAGES);
    let newer_id = newer.as_ref().and_then(|log| log.file_id().ok());
    older.take_if(|log| log.file_id().ok() == newer_id);
    for log in [older, newer].into_iter().flatten() {
        let newest = log.read_from(log.size().saturating_sub(MAX_MESSAGES), MAX_MESSAGES);
        // If a file cannot be read to its end, the messages before the error are returned.
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
    }
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
        fs::OpenOptions::new()
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
    fn the_newest_messages_are_kept_within_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let filler = "x".repeat(100_000);
        let post = |writer: u32, number: u32| {
            let extra = json!({"writer": writer, "number": number}).as_object().unwrap().clone();
            post(folder.path(), filler.as_str().into(), extra).unwrap();
        };
        std::thread::scope(|scope| {
            let post = &post;
            for writer in 0..4 {
                scope.spawn(move || (0..100).for_each(|number| post(writer, number)));
            }
        });
        let files =
            [MESSAGES, OLDER_MESSAGES].map(|name| fs::metadata(folder.path().join(name)).unwrap().len());
        // Processes that write at the same time may exceed the limit by a message each.
        assert!(files.iter().all(|size| *size <= MAX_MESSAGES + 400_000), "{files:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let messages = messages(folder.path());
        assert!(messages.len() >= 70, "{} messages are kept", messages.len());
        for writer in 0..4 {
            let own = messages.iter().filter(|message| message["writer"] == writer);
            assert!(own.is_sorted_by_key(|message| message["number"].as_u64()));
        }
    }

    #[test]
    fn the_last_result_counts() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(result(folder.path()), None);
        set_result(folder.path(), &json!([1])).unwrap();
        set_result(folder.path(), &json!({"ok": true})).unwrap();
        assert_eq!(result(folder.path()).unwrap()["result"], json!({"ok": true}));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_value_that_is_nested_too_deep_to_be_read_back_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let nested = |depth| (0..depth).fold(json!(1), |value, _| json!([value]));
        let deepest = nested(MAX_DEPTH);
        set_result(folder.path(), &deepest).unwrap();
        post(folder.path(), deepest.clone(), Map::new()).unwrap();
        let (result, messages) = (result(folder.path()).unwrap(), messages(folder.path()));
        assert_eq!((&result["result"], &messages[0]["text"]), (&deepest, &deepest));
        let shown = json!({"result": result, "messages": messages}).to_string();
        serde_json::from_str::<Value>(&shown).unwrap();
        let too_deep = nested(MAX_DEPTH + 1);
        let extra = Map::from_iter([("x".to_owned(), too_deep.clone())]);
        for refused in [set_result(folder.path(), &too_deep), post(folder.path(), "".into(), extra)] {
            let expected = "125 levels of lists and objects are too many; nest at most 124";
            assert_eq!(refused.unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn only_a_folder_that_rigup_created_is_a_run_dir() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let of = |path: &str| current(&Environment::from_iter([(RUN_DIR_VARIABLE, path)]));
        assert!(matches!(of(path), Err(MessageError::NotRunDir(_))));
        assert!(matches!(of(""), Err(MessageError::NotInRun)));
        fs::write(folder.path().join("cmd.sh"), "").unwrap();
        assert_eq!(of(path).unwrap(), folder.path());
    }
}
