//! Run dirs. The run dir of one execution, `<data dir>/processes/<process id>/`, contains its command, its output, its
//! pid and its exit.

use std::borrow::Cow;
use std::fs::{DirEntry, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err::os::unix::fs::OpenOptionsExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::clock;
use crate::fs::atomic::{self, TEMPORARY};
use crate::fs::dir::{self, make_private_dir};
use crate::fs::lock::{self, FileLock};
use crate::fs::regular_file;
use crate::fs::remove::{ignore_missing, open_unlinked_folder, remove_files_with_prefix, remove_tree_in};
use crate::jsonl;
use crate::model::secret::MASKED;
use crate::model::{
    Binary, ExitReason, Identity, Process, ProcessExit, ProcessId, ProcessType, Warnings, import,
};
use crate::process::log::{Log, Logs};
use crate::process::log_series::LogSeries;
use crate::process::redact;
use crate::process::spawn::CommandSpec;
use crate::process::{system, tail};
use crate::shell;
use crate::store::StoredPaths;

/// The folder in the data dir that holds every run dir.
pub(super) const FOLDER: &str = "processes";

/// The file with the command's standard input.
const INPUT: &str = "stdin.jsonl";

/// The file with the pid of the process while it runs.
const PID: &str = "process.pid";

/// The file that requests a stop of the process.
const STOP: &str = "stop";

/// The file that a waiter locks, and that contains the identity of the process.
const LOCK: &str = "lock";

/// The file with the record of the process as it was queued.
const RECORD: &str = "process.json";

/// The file with the exit of the process.
pub(super) const EXIT: &str = "exit.json";

/// The key in that file with the records of the binaries that the process installed.
const ACCEPTED: &str = "accepted";

/// The maximum number of bytes that are read of a file, which the process may have replaced.
const READ_LIMIT: u64 = 64 << 20;

/// The folder with the files of one execution, which no other execution shares.
#[derive(Debug, Clone)]
pub(crate) struct RunDir {
    path: PathBuf,
    /// The open folder, if the run dir is found by it.
    folder: Option<Arc<File>>,
}

/// Returns the path of a process's run dir.
pub(crate) fn path(data_dir: &Path, process_id: ProcessId) -> PathBuf {
    data_dir.join(FOLDER).join(process_id.to_string())
}

/// Returns the run dir of a process in this data dir, or `None` if it was removed or never existed.
pub(crate) fn of(data_dir: &Path, process: &Process) -> Option<RunDir> {
    process.spec.run_dir.as_ref().map(|_| RunDir::at(&path(data_dir, process.id)))
}

impl RunDir {
    /// Creates the run dir of a queued process. It contains the record, the standard input, if there is any, and
    /// `cmd.sh`, which runs the same command again with the variables that rigup added. Removes the folder if a file
    /// cannot be written.
    pub(crate) fn create(
        path: PathBuf,
        process: &Process,
        command: &CommandSpec,
        input: Option<&[u8]>,
    ) -> io::Result<Self> {
        let run_dir = Self { path, folder: None };
        let script = run_dir.script(process, command, input.is_some())?;
        make_private_dir(&run_dir.path)?;
        let write = || {
            // The record comes first: it shows that rigup made the folder.
            let mut record = process.to_record();
            // No other record of a process has it.
            record["data_dir_id"] = process.data_dir_id.as_str().into();
            run_dir.write_file(RECORD, 0o600, &jsonl::line(&record))?;
            input.map_or(Ok(()), |input| run_dir.write_file(INPUT, 0o600, input))?;
            run_dir.write_file("cmd.sh", 0o700, &script)
        };
        write().inspect_err(|_| run_dir.discard())?;
        Ok(run_dir)
    }

    fn script(&self, process: &Process, command: &CommandSpec, has_input: bool) -> io::Result<Vec<u8>> {
        let mut script = b"#!/bin/sh\n".to_vec();
        for (name, value) in process.spec.env.iter().filter(|(name, _)| shell::is_name(name)) {
            let value = value.as_str().unwrap_or_default();
            if value == MASKED {
                script.extend([b"# ", name.as_bytes(), b" is a secret: set it yourself\n"].concat());
            } else {
                let value = shell::quote(value.as_bytes())?;
                script.extend([b"export ", name.as_bytes(), b"=", &value, b"\n"].concat());
            }
        }
        let cwd = shell::quote(command.cwd.as_os_str().as_bytes())?;
        if process.spec.process_type == ProcessType::Hook {
            // An empty folder is removed at the end of the event.
            script.extend([b"mkdir -p ", &*cwd, b" && "].concat());
        }
        script.extend([b"cd ", &*cwd, b" && exec"].concat());
        for word in std::iter::once(&command.program).chain(&command.args) {
            script.extend([b" ", &*shell::quote(word.as_bytes())?].concat());
        }
        if has_input {
            script.extend([b" <", &*shell::quote(self.input().as_os_str().as_bytes())?].concat());
        }
        script.push(b'\n');
        Ok(script)
    }

    /// Returns the run dir at the path in a record.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), folder: None }
    }

    /// Opens the folder, by which the run dir is then found even if the data dir is moved.
    pub(crate) fn opened(self) -> io::Result<Self> {
        let folder = fs_err::File::open(&self.path)?.into_parts().0;
        Ok(Self { folder: Some(Arc::new(folder)), ..self })
    }

    /// Removes the run dir of a process that will not have a record. Ignores errors. Opens nothing unless it has to, because
    /// there may be no descriptor left.
    pub(crate) fn discard(&self) {
        for name in ["cmd.sh", INPUT, LOCK, PID, "stdout.log", "stderr.log", RECORD] {
            let _ = fs_err::remove_file(self.path().join(name));
        }
        let _ = fs_err::remove_dir(self.path()).or_else(|_| remove_folder(&self.path()));
    }

    /// Returns the folder.
    pub(crate) fn path(&self) -> Cow<'_, Path> {
        let moved = self.folder.as_ref().and_then(|folder| system::path(folder));
        moved.map_or(Cow::Borrowed(&*self.path), Cow::Owned)
    }

    /// Returns the record of the process as it was queued, or `None` if there is no valid one.
    pub(crate) fn read_process(&self) -> Option<Process> {
        let record = self.read_json(RECORD)?;
        let mut process = import::queued_process(&record).ok()?;
        process.spec.run_dir = Some(self.path.clone());
        let data_dir_id = record.get("data_dir_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Process { data_dir_id, ..process })
    }

    /// Returns whether rigup made this folder for the process: it has the record of the process or, if rigup was killed
    /// before it wrote the record or while it removed the folder, no content.
    pub(crate) fn is_of(&self, process_id: ProcessId) -> bool {
        if let Some(record) = self.read_json(RECORD) {
            return record.get("id").and_then(Value::as_str) == Some(&*process_id.to_string());
        }
        let is_empty = |file: io::Result<DirEntry>| {
            file.is_ok_and(|file| {
                file.file_name() == RECORD
                    && file.metadata().is_ok_and(|file| file.is_file() && file.len() == 0)
            })
        };
        std::fs::read_dir(self.path()).is_ok_and(|mut files| files.all(is_empty))
    }

    /// Returns whether the folder has a file for the record of its process, which may be damaged.
    pub(crate) fn has_record_file(&self) -> bool {
        self.path().join(RECORD).exists()
    }

    /// Returns the path of the file with the standard input, which exists only if the command has one.
    pub(crate) fn input(&self) -> PathBuf {
        self.path().join(INPUT)
    }

    /// Returns the standard input, or `None` if the command has none.
    pub(crate) fn read_input(&self) -> Option<Vec<u8>> {
        regular_file::read(&self.input(), READ_LIMIT).ok()
    }

    /// Returns the path of the log of standard output.
    pub(crate) fn stdout(&self) -> PathBuf {
        self.path().join("stdout.log")
    }

    /// Returns the path of the log of standard error.
    pub(crate) fn stderr(&self) -> PathBuf {
        self.path().join("stderr.log")
    }

    /// Opens both logs for the process to write to, and for rigup to read.
    pub(crate) fn open_logs(&self) -> io::Result<Logs> {
        let open = |name: &str| self.create_file(name, 0o600).map(|file| Log::new(file.into_parts().0));
        Ok(Logs { stdout: open("stdout.log")?, stderr: open("stderr.log")? })
    }

    /// Takes the lock that shows that a waiter supervises the process. It is held while any process has a copy of the
    /// descriptor open, so it can be passed to the waiter, and is released when the waiter exits.
    pub(crate) fn lock(&self) -> io::Result<FileLock> {
        let lock = FileLock::create(&self.path().join(LOCK))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Returns whether a waiter supervises the process, or `None` if it never had a waiter.
    pub(crate) fn is_locked(&self) -> io::Result<Option<bool>> {
        lock::is_locked(&self.path().join(LOCK))
    }

    /// Requests a stop, so that the rigup or waiter that supervises the process records its exit as stopped.
    pub(crate) fn request_stop(&self) -> io::Result<()> {
        atomic::write(&self.path().join(STOP), b"")
    }

    /// Returns whether a stop of the process was requested.
    pub(crate) fn is_stop_requested(&self) -> bool {
        self.path().join(STOP).symlink_metadata().is_ok_and(|file| file.is_file())
    }

    /// Returns why a process exited that its rigup did not terminate: `stopped` if a stop was requested.
    pub(crate) fn exit_reason(&self, exit: &ProcessExit) -> ExitReason {
        if self.is_stop_requested() { ExitReason::Stopped } else { exit.reason }
    }

    /// Writes the pid to `process.pid`.
    pub(crate) fn write_pid(&self, pid: u32) -> io::Result<()> {
        atomic::write(&self.path().join(PID), format!("{pid}\n").as_bytes())
    }

    /// Writes the pid to `process.pid`, and the identity of the process to the open file of the lock.
    pub(crate) fn write_identity(&self, mut lock: &File, identity: &Identity) -> io::Result<()> {
        let Identity { pid, start_ticks, boot_id } = identity;
        writeln!(lock, "{pid} {start_ticks} {boot_id}")?;
        self.write_pid(*pid)
    }

    /// Returns the identity of a process that has a waiter, or `None` if the process was not started.
    pub(crate) fn read_identity(&self) -> Option<Identity> {
        let text = String::from_utf8(regular_file::read(&self.path().join(LOCK), READ_LIMIT).ok()?).ok()?;
        let mut words = text.split_whitespace();
        Some(Identity {
            pid: words.next()?.parse().ok()?,
            start_ticks: words.next()?.parse().ok()?,
            boot_id: words.next()?.to_owned(),
        })
    }

    /// Writes the exit of a process, with its warnings, to `exit.json`.
    pub(crate) fn write_exit(&self, process: &Process) -> io::Result<()> {
        let Some(exit) = process.exit() else { return Ok(()) };
        atomic::write(&self.path().join(EXIT), &exit_line(process, exit, &process.warnings))
    }

    /// Removes `process.pid`, if it was written.
    pub(crate) fn remove_pid(&self) -> io::Result<()> {
        ignore_missing(fs_err::remove_file(self.path().join(PID)))
    }

    /// Adds the records of the binaries that were accepted from the output of the process to `exit.json`, so that a
    /// rebuilt store believes no other record. Their paths are in their stored form.
    pub(crate) fn write_accepted(&self, binaries: &[&Binary], paths: &StoredPaths) -> io::Result<()> {
        let record = |binary: &&Binary| {
            let mut record = binary.to_record(&[]);
            if let Some(stored) = binary.installed().and_then(|file| paths.to_stored(&file.abspath)) {
                record["abspath"] = stored.to_string_lossy().into();
            }
            record
        };
        self.replace_accepted(binaries.iter().map(record).collect())
    }

    fn replace_accepted(&self, records: Vec<Value>) -> io::Result<()> {
        let mut exit = self.read_json(EXIT).unwrap_or_default();
        exit.insert(ACCEPTED.to_owned(), records.into());
        atomic::write(&self.path().join(EXIT), &jsonl::line(&Value::Object(exit)))
    }

    /// Returns the binaries that were accepted. A record that is invalid is left out.
    pub(crate) fn read_accepted(&self, paths: &StoredPaths) -> Vec<Binary> {
        let binary = |record: &Value| {
            let mut binary = import::binary(record.as_object()?).ok()?;
            let installed = binary.installed.as_mut()?;
            installed.abspath = paths.to_path(&installed.abspath).unwrap_or(installed.abspath.clone());
            Some(binary)
        };
        self.read_from_exit::<Vec<Value>>(ACCEPTED).iter().filter_map(binary).collect()
    }

    /// Removes the records of a binary that was deleted from those that were accepted.
    pub(crate) fn remove_accepted(&self, deleted: &Binary) -> io::Result<()> {
        let mut records: Vec<Value> = self.read_from_exit(ACCEPTED);
        let count = records.len();
        let machine_id = deleted.machine_id.to_string();
        records.retain(|record| record["name"] != *deleted.name || record["machine_id"] != *machine_id);
        if records.len() == count { Ok(()) } else { self.replace_accepted(records) }
    }

    /// Returns a value in `exit.json`, or the empty one if there is no valid one.
    fn read_from_exit<T: DeserializeOwned + Default>(&self, key: &str) -> T {
        let value = self.read_json(EXIT).and_then(|mut exit| exit.remove(key));
        value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
    }

    /// Returns the warning about a process that removed its run dir, or `None` if the folder exists.
    pub(crate) fn removal_warning(&self) -> Option<String> {
        let path = self.path.display();
        (!self.path().exists())
            .then(|| format!("{path} was removed: the store has its exit, but its logs are lost"))
    }

    /// Returns the warnings in `exit.json`.
    pub(crate) fn read_warnings(&self) -> Warnings {
        self.read_from_exit("warnings")
    }

    /// Returns the exit in `exit.json` without the logs, or `None` if there is no valid one.
    pub(crate) fn read_exit(&self) -> io::Result<Option<ProcessExit>> {
        let Some(file) = regular_file::find(&self.path().join(EXIT))? else { return Ok(None) };
        let mut content = Vec::new();
        file.take(READ_LIMIT).read_to_end(&mut content)?;
        Ok(serde_json::from_slice(&content).ok().and_then(|exit| import::exit(&exit).ok()))
    }

    /// Returns the exit with the sizes and the last lines of both logs, for a process that another rigup started. Blanks
    /// the environments in the log of a hook first.
    pub(crate) fn add_logs(&self, mut exit: ProcessExit, process_type: ProcessType) -> ProcessExit {
        let open = || {
            io::Result::Ok(Logs { stdout: Log::open(&self.stdout())?, stderr: Log::open(&self.stderr())? })
        };
        if let Ok(logs) = open() {
            self.blank_environments(&logs, process_type);
            tail::add_to(&mut exit, &logs);
            for (size, path) in
                [(&mut exit.stdout_bytes, self.stdout()), (&mut exit.stderr_bytes, self.stderr())]
            {
                // Parts count, too, and a hole does not.
                let range = LogSeries::open(&path).and_then(|log| log.range());
                *size = range.map_or(*size, |(start, end)| end - start);
            }
        }
        exit
    }

    /// Blanks the environments in the log of a hook's standard output. The output of any other process is its own.
    pub(super) fn blank_environments(&self, logs: &Logs, process_type: ProcessType) {
        if process_type == ProcessType::Hook && logs.stdout.size() > 0 {
            // A log that cannot be written to is left as it is.
            let _ = redact::blank_environments(&logs.stdout, &self.stdout());
        }
    }

    /// Removes the temporary files that a killed process left behind, unless a link replaced the run dir.
    pub(crate) fn remove_temporary_files(&self) {
        // A file that cannot be removed does no harm.
        let _ = remove_files_with_prefix(&self.path(), TEMPORARY);
    }

    fn read_json(&self, name: &str) -> Option<Map<String, Value>> {
        serde_json::from_slice(&regular_file::read(&self.path().join(name), READ_LIMIT).ok()?).ok()
    }

    fn create_file(&self, name: &str, mode: u32) -> io::Result<fs_err::File> {
        let mut options = fs_err::OpenOptions::new();
        // Opening a pipe for writing alone would wait for a reader.
        options.read(true).append(true).create(true).mode(mode).open(self.path().join(name))
    }

    fn write_file(&self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.create_file(name, mode)?.write_all(content)
    }
}

/// Returns the content of `exit.json`.
pub(super) fn exit_line(process: &Process, exit: &ProcessExit, warnings: &Warnings) -> Vec<u8> {
    jsonl::line(&json!({
        "started_at": clock::format(process.running().map_or(exit.ended_at, |running| running.started_at)),
        "exit_code": exit.exit_code,
        "signal": exit.signal,
        "exit_reason": exit.reason.as_str(),
        "ended_at": clock::format(exit.ended_at),
        "max_rss": exit.usage.map(|usage| usage.max_rss),
        "user_ms": exit.usage.map(|usage| usage.user_ms),
        "sys_ms": exit.usage.map(|usage| usage.sys_ms),
        "warnings": warnings,
    }))
}

/// The prefix of the name of a run dir whose removal has begun; it belongs to no process any more.
const REMOVED: &str = ".gone-";

/// A run dir that was found in the folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FoundRunDir {
    /// The process whose id is its name.
    pub process_id: ProcessId,
    /// The folder.
    pub path: PathBuf,
    /// Whether its removal has begun but is not complete.
    pub is_partly_removed: bool,
}

/// Returns whether rigup may remove run dirs: not if the folder that contains them is a link.
pub(crate) fn are_removable(data_dir: &Path) -> bool {
    !data_dir.join(FOLDER).is_symlink()
}

/// Lists every run dir, including partly removed ones. Files, links and folders with other names are left out.
pub(crate) fn list(data_dir: &Path) -> impl Iterator<Item = FoundRunDir> {
    let entries = std::fs::read_dir(data_dir.join(FOLDER)).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let id = name.strip_prefix(REMOVED);
        let (id, is_partly_removed) = (id.unwrap_or(&name), id.is_some());
        let process_id: ProcessId = id.parse().ok().filter(|parsed: &ProcessId| parsed.to_string() == id)?;
        Some(FoundRunDir { process_id, path: entry.path(), is_partly_removed })
    })
}

/// Renames a run dir before removing it, so that a run dir with its original name is always complete. Succeeds if the
/// run dir, or a part of it, was already removed. If the process replaced its run dir by a link or a file, removes only that.
pub(crate) fn remove(data_dir: &Path, process_id: ProcessId) -> io::Result<()> {
    ignore_missing(fs_err::rename(path(data_dir, process_id), removed_path(data_dir, process_id)))?;
    finish_removal(data_dir, process_id)
}

/// Removes what an interrupted [`remove`] left.
pub(crate) fn finish_removal(data_dir: &Path, process_id: ProcessId) -> io::Result<()> {
    ignore_missing(remove_folder(&removed_path(data_dir, process_id)))
}

fn removed_path(data_dir: &Path, process_id: ProcessId) -> PathBuf {
    data_dir.join(FOLDER).join(format!("{REMOVED}{process_id}"))
}

/// Removes a folder, or what replaced it, but follows no link. The record, which shows that rigup made the folder, is removed last.
fn remove_folder(folder: &Path) -> io::Result<()> {
    remove_tree_in(&open_unlinked_folder(dir::parent(folder))?, folder, Some(RECORD))
}

#[cfg(test)]
mod tests;
