//! What a run says about itself while it runs: messages, and in the end a result.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::clock;
use crate::fs::atomic;
use crate::jsonl::{self, Line};
use crate::settings::Environment;

/// The variable that tells a run, and all that it starts, where its run dir is.
pub const RUN_DIR_VARIABLE: &str = "RIGUP_RUN_DIR";

/// So many of the newest messages are shown.
pub const MESSAGES_SHOWN: usize = 1000;

/// Why nothing can be noted.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// The caller is no detached run.
    #[error(
        "this is no detached run: {RUN_DIR_VARIABLE} is not set; start one with `rigup start --slug NAME -- CMD`"
    )]
    NoRun,
    /// The variable names something else.
    #[error("{RUN_DIR_VARIABLE}={} is no run dir of rigup", .0.display())]
    NoRunDir(PathBuf),
    /// A line that no reader would take.
    #[error("a message of {0} bytes is too long; write at most {max}, and put the rest into a file", max = jsonl::MAX_LINE)]
    TooLong(usize),
    /// The file cannot be written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The run dir of the run that this process is part of.
pub fn current(environment: &Environment) -> Result<PathBuf, NoteError> {
    let path = PathBuf::from(environment.get(RUN_DIR_VARIABLE).ok_or(NoteError::NoRun)?);
    if path.is_absolute() && path.join("cmd.sh").is_file() {
        Ok(path)
    } else {
        Err(NoteError::NoRunDir(path))
    }
}

/// Adds a message: one line in one write, so that those of several processes never mix.
pub fn post(run_dir: &Path, text: &str, extra: Map<String, Value>) -> Result<(), NoteError> {
    let mut message = Map::new();
    message.insert("time".to_owned(), clock::spell(clock::now()).into());
    message.insert("text".to_owned(), text.into());
    message.extend(extra);
    let message = Value::Object(message);
    let line = format!("{message}\n");
    if line.len() > jsonl::MAX_LINE {
        return Err(NoteError::TooLong(line.len()));
    }
    let mut file =
        OpenOptions::new().append(true).create(true).mode(0o600).open(run_dir.join("messages.jsonl"))?;
    let written = file.write(line.as_bytes())?;
    if written < line.len() {
        return Err(NoteError::Io(io::Error::new(
            io::ErrorKind::StorageFull,
            "the message was cut: no space left",
        )));
    }
    Ok(())
}

/// Sets the result, whole or not at all; a later one takes the place of an earlier one.
pub fn set_result(run_dir: &Path, result: &Value) -> Result<(), NoteError> {
    let result = json!({"time": clock::spell(clock::now()), "result": result});
    atomic::write(&run_dir.join("result.json"), format!("{result}\n").as_bytes())?;
    Ok(())
}

/// The newest messages, oldest first; lines that are none are left out.
pub fn messages(run_dir: &Path) -> Vec<Value> {
    let Ok(file) = File::open(run_dir.join("messages.jsonl")) else {
        return Vec::new();
    };
    let mut messages = std::collections::VecDeque::new();
    // A file that cannot be read to its end has the messages up to there.
    let _ = jsonl::for_each_line(BufReader::new(file), |_, line| {
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

/// The result and when it was set, if it was.
pub fn result(run_dir: &Path) -> Option<Value> {
    serde_json::from_slice(&fs_err::read(run_dir.join("result.json")).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_in_their_order_and_what_is_none_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        post(folder.path(), "one", Map::new()).unwrap();
        fs_err::OpenOptions::new()
            .append(true)
            .open(folder.path().join("messages.jsonl"))
            .unwrap()
            .write_all(b"noise\n[1]\n{\"cut\n")
            .unwrap();
        let extra = json!({"step": "2"}).as_object().unwrap().clone();
        post(folder.path(), "two\nlines", extra).unwrap();
        let texts: Vec<Value> = messages(folder.path()).iter().map(|it| it["text"].clone()).collect();
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
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_run_dir_is_only_believed_to_be_one_where_rigup_made_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let of = |path: &str| current(&Environment::from([(RUN_DIR_VARIABLE, path)]));
        assert!(matches!(of(path), Err(NoteError::NoRunDir(_))));
        assert!(matches!(of(""), Err(NoteError::NoRun)));
        fs_err::write(folder.path().join("cmd.sh"), "").unwrap();
        assert_eq!(of(path).unwrap(), folder.path());
    }
}
