//! `rigup process show`: one process.

use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::cli::command::{CommandResult, Context};
use crate::clock;
use crate::engine::ExitStatus;
use crate::process::log::Log;
use crate::process::messages;
use crate::process::{handle, run_dir, tail, tree, usage};
use crate::report::tables;
use crate::report::text::printable;

/// Runs `rigup process show`.
pub(crate) fn show(id: &str, context: &mut Context) -> CommandResult {
    let (store, process) = context.process(id)?;
    let output = &mut context.output;
    let mut record = process.to_record();
    let elapsed = tables::elapsed(&process, clock::now());
    record["elapsed_seconds"] = json!(elapsed.map(|elapsed| elapsed.as_secs()));
    if let Ok(Some(root)) = handle::find_running(&process) {
        record["live"] = json!(usage::usage(root.pid));
        let tree = tree::find(process.id, root).all();
        let pids: Vec<u32> = tree.iter().map(|entry| entry.pid).collect();
        record["live"]["pids"] = json!(pids);
    }
    let run_dir = run_dir::of(store.data_dir(), &process);
    let has_tails =
        process.exit().is_some_and(|exit| !(exit.stdout_tail.is_empty() && exit.stderr_tail.is_empty()));
    if let (Some(run_dir), false) = (&run_dir, has_tails) {
        let tail = |path: &Path| tail::of(&Log::open(path)?, tail::RECORD_LINES, tail::RECORD_BYTES);
        for (key, log) in [("stdout_tail", run_dir.stdout()), ("stderr_tail", run_dir.stderr())] {
            record[key] = tail(&log).unwrap_or_default().into();
        }
    }
    let mut messages = Vec::new();
    if let (Some(run_dir), Some(_)) = (&run_dir, &process.spec.run) {
        messages = messages::messages(&run_dir.path());
        record["result"] = messages::result(&run_dir.path()).map(|mut result| result["result"].take()).into();
    }
    if output.is_json() && process.spec.run.is_some() {
        record["messages"] = messages.clone().into();
    }
    output.record(&record);
    if !output.is_json() {
        for message in &messages {
            output.text(printable(&message_line(message)) + "\n");
        }
    }
    Ok(ExitStatus::Success)
}

/// Returns the time and the text of a message, and its fields as `rigup post` takes them.
fn message_line(message: &Value) -> String {
    let text = |key: &str| match message.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let mut words = vec![format!("{}  {}", text("time"), text("text"))];
    for (key, value) in message.as_object().into_iter().flatten() {
        let word = value.as_str().filter(|text| {
            !text.contains(char::is_whitespace) && serde_json::from_str::<IgnoredAny>(text).is_err()
        });
        if !matches!(key.as_str(), "time" | "text") {
            words.push(format!("{key}={}", word.map_or_else(|| value.to_string(), str::to_owned)));
        }
    }
    words.join(" ")
}
