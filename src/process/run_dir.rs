//! The folder that holds one process's `cmd.sh`, `stdout.log`, `stderr.log`, `process.pid` and `exit.json`.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::clock;
use crate::model::process::{Identity, ProcessExit, Usage};
use crate::process::redact::{self, ASIDE};
use crate::process::tail;
use crate::trust::make_private_dir;

/// What stands for a secret in records.
pub const MASKED: &str = "***";

/// The file that is a command's standard input.
const INPUT: &str = "stdin.jsonl";

/// A run dir: one per execution, never shared by two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// Makes the folder and writes `cmd.sh`, which runs the very same command again with what rigup added to the
    /// environment, and what the command is to read from standard input, where it is to read anything. All of it or nothing.
    pub fn create(
        path: PathBuf,
        cwd: &Path,
        program: &OsString,
        args: &[OsString],
        added: &Map<String, Value>,
        input: Option<&[u8]>,
    ) -> io::Result<Self> {
        let run_dir = Self(path);
        let mut script = b"#!/bin/sh\n".to_vec();
        for (name, value) in added {
            let value = value.as_str().unwrap_or_default();
            if value == MASKED {
                script.extend([b"# ", name.as_bytes(), b" is a secret: set it yourself\n"].concat());
            } else {
                let value = quoted(value.as_bytes())?;
                script.extend([b"export ", name.as_bytes(), b"=", &value, b"\n"].concat());
            }
        }
        script.extend_from_slice(b"cd ");
        script.extend(quoted(cwd.as_os_str().as_bytes())?);
        script.extend_from_slice(b" && exec");
        for word in std::iter::once(program).chain(args) {
            script.push(b' ');
            script.extend(quoted(word.as_bytes())?);
        }
        if input.is_some() {
            script.extend_from_slice(b" <");
            script.extend(quoted(run_dir.input().as_os_str().as_bytes())?);
        }
        script.push(b'\n');
        make_private_dir(&run_dir.0)?;
        let write = || {
            input.map_or(Ok(()), |input| run_dir.write_file(INPUT, 0o600, input))?;
            run_dir.write_file("cmd.sh", 0o700, &script)
        };
        write().inspect_err(|_| run_dir.forget())?;
        Ok(run_dir)
    }

    /// The run dir at a path that a record names.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Takes the folder away, as far as that works: that of a process that will have no record.
    pub fn forget(&self) {
        let _ = fs_err::remove_dir_all(&self.0);
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What the command reads from standard input; no file where that is nothing.
    pub fn input(&self) -> PathBuf {
        self.0.join(INPUT)
    }

    /// The log of standard output.
    pub fn stdout(&self) -> PathBuf {
        self.0.join("stdout.log")
    }

    /// The log of standard error.
    pub fn stderr(&self) -> PathBuf {
        self.0.join("stderr.log")
    }

    /// Opens both logs for the process to write to.
    pub fn open_logs(&self) -> io::Result<[File; 2]> {
        Ok([self.create_file("stdout.log", 0o600)?, self.create_file("stderr.log", 0o600)?])
    }

    /// Takes the lock that says: somebody sees this process out. It is held as long as one copy of the file is open,
    /// in whatever process, so that it can be handed on and never outlives its holder.
    pub fn hold(&self) -> io::Result<File> {
        let lock = self.create_file("lock", 0o600)?;
        lock.lock()?;
        Ok(lock)
    }

    /// Whether somebody sees the process out who is not its rigup; none where nobody was meant to.
    pub fn is_held(&self) -> Option<bool> {
        let lock = File::open(self.0.join("lock")).ok()?;
        Some(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Notes that somebody asked for the end, for whoever sees it.
    pub fn write_stop(&self) -> io::Result<()> {
        self.create_file("stop", 0o600).map(drop)
    }

    /// Whether somebody asked for the end.
    pub fn is_stop_asked(&self) -> bool {
        self.0.join("stop").exists()
    }

    /// Notes who the process is, for whoever finds the run dir without its rigup.
    pub fn write_pid(&self, identity: &Identity) -> io::Result<()> {
        let Identity { pid, start_ticks, boot_id } = identity;
        writeln!(self.create_file("process.pid", 0o600)?, "{pid} {start_ticks} {boot_id}")
    }

    /// Who the process is, where that is noted and it is not over.
    pub fn read_pid(&self) -> Option<Identity> {
        let text = fs_err::read_to_string(self.0.join("process.pid")).ok()?;
        let mut words = text.split_whitespace();
        Some(Identity {
            pid: words.next()?.parse().ok()?,
            start_ticks: words.next()?.parse().ok()?,
            boot_id: words.next()?.to_owned(),
        })
    }

    /// Notes the end, with what a person should know of it, and takes `process.pid` away.
    pub fn write_exit(
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
            "max_rss": exit.usage.map(|it| it.max_rss),
            "user_ms": exit.usage.map(|it| it.user_ms),
            "sys_ms": exit.usage.map(|it| it.sys_ms),
            "warnings": warnings,
        });
        write_aside(&self.0.join("exit.json"), exit.to_string().as_bytes())?;
        // A process that was over soon never had one.
        match fs_err::remove_file(self.0.join("process.pid")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What a person should know of the end that is noted.
    pub fn read_warnings(&self) -> Vec<String> {
        let warnings = self.exit().and_then(|mut exit| serde_json::from_value(exit["warnings"].take()).ok());
        warnings.unwrap_or_default()
    }

    fn exit(&self) -> Option<Value> {
        serde_json::from_slice(&fs_err::read(self.0.join("exit.json")).ok()?).ok()
    }

    /// The end that is noted, if one is.
    pub fn read_exit(&self) -> Option<ProcessExit> {
        let exit = self.exit()?;
        let number = |key: &str| exit.get(key).and_then(Value::as_i64).and_then(|it| i32::try_from(it).ok());
        let count = |key: &str| exit.get(key).and_then(Value::as_u64);
        let text = |key: &str| exit.get(key).and_then(Value::as_str);
        let usage = || {
            Some(Usage { max_rss: count("max_rss")?, user_ms: count("user_ms")?, sys_ms: count("sys_ms")? })
        };
        let exit = ProcessExit {
            exit_code: number("exit_code"),
            signal: number("signal"),
            reason: text("exit_reason")?.parse().ok()?,
            usage: usage(),
            ..ProcessExit::lost(text("ended_at")?.parse().ok()?)
        };
        Some(self.with_logs(exit))
    }

    /// The ending with the size and the end of both logs, out of which goes what they must not keep.
    pub fn with_logs(&self, mut exit: ProcessExit) -> ProcessExit {
        let size = |path: &Path| path.metadata().map_or(0, |it| it.len());
        let log = |path: &Path| match size(path) {
            0 => (String::new(), 0),
            bytes => (tail::read(path, tail::RECORD_LINES, tail::RECORD_BYTES).unwrap_or_default(), bytes),
        };
        let (stdout, stderr) = (self.stdout(), self.stderr());
        if size(&stdout) > 0 {
            // A log that cannot be written any more is kept as it is.
            let _ = redact::forget_environments(&stdout);
        }
        (exit.stdout_tail, exit.stdout_bytes) = log(&stdout);
        (exit.stderr_tail, exit.stderr_bytes) = log(&stderr);
        exit
    }

    /// Removes what was left half-written by somebody who is gone.
    pub fn tidy(&self) {
        for entry in fs_err::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_name().as_bytes().starts_with(ASIDE.as_bytes()) {
                // What cannot be removed is in nobody's way.
                let _ = fs_err::remove_file(entry.path());
            }
        }
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

/// Writes a file whole or not at all: beside its place, then renamed.
pub fn write_aside(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut aside = tempfile::Builder::new().prefix(ASIDE).tempfile_in(folder)?;
    aside.write_all(&[content, b"\n"].concat())?;
    aside.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn quoted(word: &[u8]) -> io::Result<Vec<u8>> {
    shlex::bytes::try_quote(word).map(std::borrow::Cow::into_owned).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_dir_whose_command_cannot_be_written_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let create = |program: &str| {
            RunDir::create(path.clone(), Path::new("/"), &program.into(), &[], &Map::new(), Some(b"input"))
        };
        create("no\0program").unwrap_err();
        assert!(!path.exists());
        fs_err::create_dir_all(path.join("cmd.sh")).unwrap();
        create("program").unwrap_err();
        assert!(!path.exists());
        create("program").unwrap();
        assert!(path.join("cmd.sh").exists());
    }

    #[test]
    fn cmd_sh_runs_the_very_same_words_again() {
        let folder = tempfile::tempdir().unwrap();
        let words: Vec<OsString> =
            ["%s\\n", "a b", "$HOME", "'\"`;*", "", "new\nline", "ü", "-x"].map(Into::into).into();
        let run_dir = RunDir::create(
            folder.path().join("run"),
            folder.path(),
            &"printf".into(),
            &words,
            &Map::new(),
            None,
        )
        .unwrap();
        let out = assert_cmd::Command::new("sh").arg(run_dir.path().join("cmd.sh")).output().unwrap();
        let expected: Vec<_> = words[1..].iter().map(|word| word.to_string_lossy()).collect();
        assert_eq!(String::from_utf8_lossy(&out.stdout), expected.join("\n") + "\n");
    }
}
