//! The `ArchiveResult` records of hooks: the fields that rigup adds, the records of hooks that printed none, and
//! `index.jsonl`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::clock;
use crate::engine::output_files;
use crate::fs::regular_file;
use crate::hook::reporter::HookEvent;
use crate::jsonl;
use crate::model::process::SKIPPED;
use crate::model::{ExitReason, Process};
use crate::plugin::discovery::Hook;
use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::protocol::{ARCHIVE_RESULT, Record};
use crate::report::tables;

/// The file in the output dir that has all of them.
const INDEX: &str = "index.jsonl";

/// How long another rigup may take to write a line to the index.
const WRITE_TIME: Duration = Duration::from_millis(50);

/// The results of the hooks of one command.
pub(super) struct ArchiveResults<'a> {
    output_dir: &'a Path,
    /// The last `--snapshot-id` of the arguments, if any.
    snapshot_id: Option<String>,
    /// The `snapshot_id` of other records that have none.
    default_snapshot_id: String,
    interrupt: &'a Interrupt,
    /// The last result of each hook that has not exited, by the path of the hook.
    printed: HashMap<PathBuf, Map<String, Value>>,
    /// Whether a result was added to the index.
    has_added: bool,
    has_warned: bool,
}

impl<'a> ArchiveResults<'a> {
    /// Returns results without records.
    pub(super) fn new(
        output_dir: &'a Path,
        arguments: &[OsString],
        default_snapshot_id: String,
        interrupt: &'a Interrupt,
    ) -> Self {
        let value = |argument: &OsString| {
            let value = argument.as_bytes().strip_prefix(b"--snapshot-id=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let snapshot_id = arguments.iter().rev().find_map(value);
        let (printed, has_added, has_warned) = (HashMap::new(), false, false);
        Self { output_dir, snapshot_id, default_snapshot_id, interrupt, printed, has_added, has_warned }
    }

    /// Passes a notification about a hook on to `on_event`: a result with all its fields, and an exit after the result that
    /// it makes necessary. Adds the results to the index first.
    pub(super) fn pass_on(
        &mut self,
        hook: &Hook,
        event: HookEvent<'_>,
        on_event: &mut impl FnMut(&Hook, HookEvent<'_>),
    ) {
        match event {
            HookEvent::Record(record) if record.kind == ARCHIVE_RESULT => {
                let fields = self.complete(hook, record.fields);
                self.printed.insert(hook.path.clone(), fields.clone());
                self.add(hook, Record { fields, ..record }, on_event);
            }
            HookEvent::Succeeded(process) | HookEvent::Skipped(process) | HookEvent::Failed(process) => {
                let printed = self.printed.remove(&hook.path);
                if let Some(status) = self.status_at_exit(process, printed.is_some()) {
                    let error = (status == "failed").then(|| error_of(process));
                    self.add_made(hook, printed.unwrap_or_default(), status, error, on_event);
                }
                on_event(hook, event);
            }
            HookEvent::NotStarted(_, reason) => {
                self.add_made(hook, Map::new(), "skipped", Some(reason.to_owned()), on_event);
                on_event(hook, event);
            }
            _ => on_event(hook, event),
        }
    }

    /// Adds a result of a Snapshot hook with these fields, this status and error, and passes it on.
    fn add_made(
        &mut self,
        hook: &Hook,
        mut fields: Map<String, Value>,
        status: &str,
        error: Option<String>,
        on_event: &mut impl FnMut(&Hook, HookEvent<'_>),
    ) {
        if !hook.name.file_name.starts_with("on_Snapshot") {
            return;
        }
        fields.insert("type".to_owned(), ARCHIVE_RESULT.into());
        fields.insert("status".to_owned(), status.into());
        fields.extend(error.map(|error| ("error".to_owned(), error.into())));
        let fields = self.complete(hook, fields);
        self.add(hook, Record { line: 0, kind: ARCHIVE_RESULT.to_owned(), fields }, on_event);
    }

    /// Returns the status that the exit of a hook gives its result, or `None` if the one that it printed is right.
    fn status_at_exit(&self, process: &Process, has_printed: bool) -> Option<&'static str> {
        let exit = process.exit()?;
        if exit.reason == ExitReason::Stopped && self.interrupt.signal().is_some() {
            Some("cancelled")
        } else if process.has_failed() {
            Some("failed")
        } else if exit.exit_code == Some(SKIPPED) {
            Some("skipped")
        } else {
            (!has_printed).then_some("noresult")
        }
    }

    /// Sets the fields that rigup knows better than the hook, and an id if there is none.
    fn complete(&self, hook: &Hook, mut fields: Map<String, Value>) -> Map<String, Value> {
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        if !fields.get("id").is_some_and(is_text) {
            fields.insert("id".to_owned(), clock::new_id().to_string().into());
        }
        let has_snapshot = fields.get("snapshot_id").is_some_and(is_text);
        if let Some(id) = self.snapshot_id.as_ref().or((!has_snapshot).then_some(&self.default_snapshot_id)) {
            fields.insert("snapshot_id".to_owned(), id.as_str().into());
        }
        fields.insert("plugin".to_owned(), hook.plugin.as_str().into());
        fields.insert("hook_name".to_owned(), hook.name.without_extension().into());
        let files = output_files::list(&self.output_dir.join(hook.plugin.as_str()));
        fields.insert("output_files".to_owned(), files.into());
        fields
    }

    /// Adds a result to the index, and passes it on.
    fn add(&mut self, hook: &Hook, record: Record, on_event: &mut impl FnMut(&Hook, HookEvent<'_>)) {
        let path = self.output_dir.join(INDEX);
        let is_first = !std::mem::replace(&mut self.has_added, true);
        if let Err(error) = append(&path, &record.fields, is_first)
            && !std::mem::replace(&mut self.has_warned, true)
        {
            on_event(hook, HookEvent::Warning(format!("cannot add its result to the index: {error}")));
        }
        on_event(hook, HookEvent::Record(record));
    }
}

/// Returns why a hook failed: how it ended, unless it exited by itself and wrote to its stderr, and the end of its stderr.
fn error_of(process: &Process) -> String {
    let exited = process.exit().is_some_and(|exit| exit.reason == ExitReason::Exited);
    let stderr = process.exit().map_or("", |exit| exit.stderr_tail.trim());
    match (tables::process_state(process).text, stderr) {
        (state, "") => state,
        (_, stderr) if exited => stderr.to_owned(),
        (state, stderr) => format!("{state}: {stderr}"),
    }
}

/// Appends a record to a file, in one write. If this is the `first` one of this command, and the last line has no newline,
/// because a rigup was killed or the disk was full while it wrote that line, ends that line before.
fn append(path: &Path, record: &Map<String, Value>, is_first: bool) -> io::Result<()> {
    let mut file = regular_file::open_with(File::options().read(true).append(true).create(true), path)?;
    let mut line = jsonl::line(record);
    if is_first && has_open_line(&file)? {
        line.insert(0, b'\n');
    }
    file.write_all(&line)
}

/// Returns whether the last line of a file has no newline, and no other rigup is about to write one.
fn has_open_line(file: &File) -> io::Result<bool> {
    let size_of_open = || -> io::Result<Option<u64>> {
        let (size, mut last) = (file.metadata()?.len(), [b'\n']);
        if let Some(end) = size.checked_sub(1) {
            file.read_exact_at(&mut last, end)?;
        }
        Ok(Some(size).filter(|_| last != [b'\n']))
    };
    let Some(size) = size_of_open()? else { return Ok(false) };
    poll::pause(Instant::now() + WRITE_TIME);
    Ok(size_of_open()? == Some(size))
}
