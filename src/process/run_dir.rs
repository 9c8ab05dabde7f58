//! The run dir of one execution, `<data dir>/processes/<process id>/`: its command, its output, its pid and its exit.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::clock;
use crate::fs::atomic::{self, TEMPORARY};
use crate::fs::dir::make_private_dir;
use crate::fs::lock::{self, FileLock};
use crate::model::{Identity, Process, ProcessExit, ProcessId, import};
use crate::process::redact;
use crate::process::spawn::CommandSpec;
use crate::process::tail;
use crate::shell;

/// The value that replaces a secret in records.
pub(crate) const MASKED: &str = "***";

/// The folder in the data dir that holds every run dir.
pub(super) const FOLDER: &str = "processes";

/// The file with the command's standard input.
const INPUT: &str = "stdin.jsonl";

/// The file that a waiter holds locked.
const LOCK: &str = "lock";

/// The file with the record of the process as it was queued.
const RECORD: &str = "process.json";

/// The file with the exit of the process.
const EXIT: &str = "exit.json";

/// The folder with the files of one execution; two executions never share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunDir(PathBuf);

/// Returns the path of a process's run dir.
pub(crate) fn path(data_dir: &Path, process_id: ProcessId) -> PathBuf {
    data_dir.join(FOLDER).join(process_id.to_string())
}

impl RunDir {
    /// Creates the run dir of a queued process: its record, `cmd.sh`, which runs the same command again with the
    /// variables that rigup added, and its standard input, if it has any. If a file cannot be written, the folder is
    /// removed again.
    pub(crate) fn create(
        path: PathBuf,
        process: &Process,
        command: &CommandSpec,
        input: Option<&[u8]>,
    ) -> io::Result<Self> {
        let run_dir = Self(path);
        let script = run_dir.script(process, command, input.is_some())?;
        make_private_dir(&run_dir.0)?;
        let write = || {
            input.map_or(Ok(()), |input| run_dir.write_file(INPUT, 0o600, input))?;
            run_dir.write_file(RECORD, 0o600, format!("{}\n", process.to_record()).as_bytes())?;
            run_dir.write_file("cmd.sh", 0o700, &script)
        };
        write().inspect_err(|_| run_dir.discard())?;
        Ok(run_dir)
    }

    fn script(&self, process: &Process, command: &CommandSpec, has_input: bool) -> io::Result<Vec<u8>> {
        let mut script = b"#!/bin/sh\n".to_vec();
        for (name, value) in &process.spec.env {
            let value = value.as_str().unwrap_or_default();
            if value == MASKED {
                script.extend([b"# ", name.as_bytes(), b" is a secret: set it yourself\n"].concat());
            } else {
                let value = shell::quote(value.as_bytes())?;
                script.extend([b"export ", name.as_bytes(), b"=", &value, b"\n"].concat());
            }
        }
        let cwd = shell::quote(command.cwd.as_os_str().as_bytes())?;
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
        Self(path.to_owned())
    }

    /// Removes the folder of a process that will have no record, as far as possible.
    pub(crate) fn discard(&self) {
        let _ = fs_err::remove_dir_all(&self.0);
    }

    /// Returns the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the record of the process as it was queued, or `None` if there is no valid one.
    pub(crate) fn read_process(&self) -> Option<Process> {
        let mut process = import::queued_process(&self.read_json(RECORD)?).ok()?;
        process.spec.run_dir = Some(self.0.clone());
        Some(process)
    }

    /// Returns the path of the command's standard input; there is no such file if it has none.
    pub(crate) fn input(&self) -> PathBuf {
        self.0.join(INPUT)
    }

    /// Returns the path of the log of standard output.
    pub(crate) fn stdout(&self) -> PathBuf {
        self.0.join("stdout.log")
    }

    /// Returns the path of the log of standard error.
    pub(crate) fn stderr(&self) -> PathBuf {
        self.0.join("stderr.log")
    }

    /// Opens both logs for the process to write to.
    pub(crate) fn open_logs(&self) -> io::Result<[File; 2]> {
        Ok([self.create_file("stdout.log", 0o600)?, self.create_file("stderr.log", 0o600)?])
    }

    /// Takes the lock that shows that a waiter supervises the process. It is held as long as a copy of the file is open in
    /// any process, so it can be passed on and never outlives its holder.
    pub(crate) fn lock(&self) -> io::Result<FileLock> {
        let lock = FileLock::create(&self.0.join(LOCK))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Whether a waiter supervises the process, or `None` if it never had a waiter.
    pub(crate) fn is_locked(&self) -> Option<bool> {
        lock::is_locked(&self.0.join(LOCK))
    }

    /// Notes that the process is to be stopped, for the rigup or waiter that supervises it.
    pub(crate) fn request_stop(&self) -> io::Result<()> {
        self.create_file("stop", 0o600).map(drop)
    }

    /// Whether the process was to be stopped.
    pub(crate) fn is_stop_requested(&self) -> bool {
        self.0.join("stop").exists()
    }

    /// Writes `process.pid`: the pid alone.
    pub(crate) fn write_pid(&self, pid: u32) -> io::Result<()> {
        writeln!(self.create_file("process.pid", 0o600)?, "{pid}")
    }

    /// Writes the identity of a process that a waiter waits for into the lock that the waiter holds.
    pub(crate) fn write_identity(&self, identity: &Identity) -> io::Result<()> {
        let Identity { pid, start_ticks, boot_id } = identity;
        writeln!(self.create_file(LOCK, 0o600)?, "{pid} {start_ticks} {boot_id}")
    }

    /// Returns the identity of the process that a waiter waits for, or `None` if it was not started.
    pub(crate) fn read_identity(&self) -> Option<Identity> {
        let text = fs_err::read_to_string(self.0.join(LOCK)).ok()?;
        let mut words = text.split_whitespace();
        Some(Identity {
            pid: words.next()?.parse().ok()?,
            start_ticks: words.next()?.parse().ok()?,
            boot_id: words.next()?.to_owned(),
        })
    }

    /// Writes the exit, with its warnings, to `exit.json`, and removes `process.pid`.
    pub(crate) fn write_exit(
        &self,
        started_at: Timestamp,
        exit: &ProcessExit,
        warnings: &[String],
    ) -> io::Result<()> {
        let exit = json!({
            "started_at": clock::spell(started_at),
            "exit_code": exit.exit_code,
            "signal": exit.signal,
            "exit_reason": exit.reason.as_str(),
            "ended_at": clock::spell(exit.ended_at),
            "max_rss": exit.usage.map(|usage| usage.max_rss),
            "user_ms": exit.usage.map(|usage| usage.user_ms),
            "sys_ms": exit.usage.map(|usage| usage.sys_ms),
            "warnings": warnings,
        });
        atomic::write(&self.0.join(EXIT), format!("{exit}\n").as_bytes())?;
        // A process that exited soon never had one.
        match fs_err::remove_file(self.0.join("process.pid")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the warnings in `exit.json`.
    pub(crate) fn read_warnings(&self) -> Vec<String> {
        let warnings = self.read_json(EXIT).and_then(|mut exit| exit.remove("warnings"));
        warnings.and_then(|warnings| serde_json::from_value(warnings).ok()).unwrap_or_default()
    }

    /// Returns the exit in `exit.json` without the logs, or `None` if there is no valid one.
    pub(crate) fn read_exit(&self) -> Option<ProcessExit> {
        import::exit(&self.read_json(EXIT)?).ok()
    }

    /// Returns the exit with the sizes and the last lines of both logs, after environments are removed from them.
    pub(crate) fn add_logs(&self, mut exit: ProcessExit) -> ProcessExit {
        let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        let log = |path: &Path| match size(path) {
            0 => (String::new(), 0),
            bytes => (tail::read(path, tail::RECORD_LINES, tail::RECORD_BYTES).unwrap_or_default(), bytes),
        };
        let (stdout, stderr) = (self.stdout(), self.stderr());
        if size(&stdout) > 0 {
            // A log that cannot be written is kept as it is.
            let _ = redact::remove_environments(&stdout);
        }
        (exit.stdout_tail, exit.stdout_bytes) = log(&stdout);
        (exit.stderr_tail, exit.stderr_bytes) = log(&stderr);
        exit
    }

    /// Removes the files that a killed process left half-written.
    pub(crate) fn remove_temporary_files(&self) {
        for entry in fs_err::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_name().as_bytes().starts_with(TEMPORARY.as_bytes()) {
                // A file that cannot be removed does no harm.
                let _ = fs_err::remove_file(entry.path());
            }
        }
    }

    fn read_json(&self, name: &str) -> Option<Map<String, Value>> {
        serde_json::from_slice(&fs_err::read(self.0.join(name)).ok()?).ok()
    }

    fn create_file(&self, name: &str, mode: u32) -> io::Result<File> {
        let open = OpenOptions::new().append(true).create(true).mode(mode).open(self.0.join(name));
        open.map_err(|error| self.named(name, &error))
    }

    fn write_file(&self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.create_file(name, mode)?.write_all(content).map_err(|error| self.named(name, &error))
    }

    fn named(&self, name: &str, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.0.join(name).display()))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::model::{MachineId, ProcessSpec, ProcessType};

    fn process(cwd: &Path) -> Process {
        let spec = ProcessSpec {
            plugin: "p".to_owned(),
            hook_name: "on_E__1_x.sh".to_owned(),
            ..ProcessSpec::new(ProcessType::Hook, vec!["x".to_owned()], cwd)
        };
        Process::queued(ProcessId::generate(), MachineId::generate(), spec, clock::now())
    }

    fn command(program: &str, args: &[OsString]) -> CommandSpec {
        CommandSpec { program: program.into(), args: args.to_vec(), env: Vec::new(), cwd: "/".into() }
    }

    #[test]
    fn a_run_dir_that_cannot_be_written_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let process = process(Path::new("/"));
        let create =
            |program: &str| RunDir::create(path.clone(), &process, &command(program, &[]), Some(b"input"));
        create("no\0program").unwrap_err();
        assert!(!path.exists());
        fs_err::create_dir_all(path.join("cmd.sh")).unwrap();
        create("program").unwrap_err();
        assert!(!path.exists());
        create("program").unwrap();
        assert!(path.join("cmd.sh").exists());
    }

    #[test]
    fn cmd_sh_runs_the_same_command_and_the_record_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let words: Vec<OsString> =
            ["%s\\n", "a b", "$HOME", "'\"`;*", "", "new\nline", "ü", "-x"].map(Into::into).into();
        let mut process = process(folder.path());
        let path = folder.path().join("run");
        let run_dir = RunDir::create(path.clone(), &process, &command("printf", &words), None).unwrap();
        let out = assert_cmd::Command::new("sh").arg(run_dir.path().join("cmd.sh")).output().unwrap();
        let expected: Vec<_> = words[1..].iter().map(|word| word.to_string_lossy()).collect();
        assert_eq!(String::from_utf8_lossy(&out.stdout), expected.join("\n") + "\n");
        process.spec.run_dir = Some(path);
        assert_eq!(run_dir.read_process(), Some(process));
    }
}
