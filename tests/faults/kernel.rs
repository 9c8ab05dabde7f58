//! What the kernel lets a test do, decided in one place: a test that cannot inject its fault says so and is skipped.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::test_context::{CommandOutput, TestContext};

/// What makes rigup, started by `unshare`, the first process of pids of its own, as in a container.
pub(crate) const PIDS: &[&str] = &["--pid", "--fork", "--mount-proc", "--kill-child"];

/// Whether `unshare` makes these namespaces here. Where it does not, says that the calling test is skipped.
pub(crate) fn unshares(flags: &[&str]) -> bool {
    starts_others(&[&["unshare"], flags].concat())
}

/// Whether a command that starts another one is able to do so here. Where it is not, says that the calling test is skipped.
pub(crate) fn starts_others(words: &[&str]) -> bool {
    works(Command::new(words[0]).args(&words[1..]).args(["sh", "-c", "true"]))
}

/// Whether `strace` may tamper with system calls here. Where it may not, says that the calling test is skipped.
pub(crate) fn traces() -> bool {
    works(Command::new("strace").args(["-o", "/dev/null", "-e", "inject=getppid:retval=7", "true"]))
}

fn works(command: &mut Command) -> bool {
    let tried = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let works = tried.as_ref().is_ok_and(std::process::ExitStatus::success);
    if !works {
        skipped(&format!("{command:?} does not work here: {tried:?}"));
    }
    works
}

/// Whether this program is here. Where it is not, says that the calling test is skipped.
pub(crate) fn has(program: &str) -> bool {
    let is_here = which::which(program).is_ok();
    if !is_here {
        skipped(&format!("{program} is not on PATH"));
    }
    is_here
}

/// Whether the test may do all. Where it may not, says that it is skipped.
pub(crate) fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        skipped("only root may do this");
    }
    is_root
}

/// Whether a program that is open for writing cannot be started. Where it can, says that the calling test is skipped.
pub(crate) fn keeps_programs_from_writers() -> bool {
    let mut program = tempfile::NamedTempFile::new().unwrap();
    program.write_all(b"#!/bin/sh\n").unwrap();
    program.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let tried = Command::new(program.path()).status();
    let is_kept = tried.as_ref().is_err_and(|it| it.kind() == std::io::ErrorKind::ExecutableFileBusy);
    if !is_kept {
        skipped(&format!("programs can be started while they are written: {tried:?}"));
    }
    is_kept
}

/// Past the harness, which shows what a test prints only where that fails.
fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// Namespaces of a test's own: what is mounted there is nowhere else, and goes with them.
pub(crate) struct Namespaces {
    flags: Vec<&'static str>,
    /// Lives until its standard input is closed.
    holder: Child,
}

impl Namespaces {
    /// Makes them, if that is allowed here.
    pub(crate) fn new(flags: &[&'static str]) -> Option<Self> {
        if !unshares(flags) {
            return None;
        }
        let mut holder = Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", "echo && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        holder.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Some(Self { flags: flags.to_vec(), holder })
    }

    /// Runs a shell script there, which has to succeed.
    #[track_caller]
    pub(crate) fn sh(&self, context: &TestContext, script: &str) -> CommandOutput {
        self.command(context, &["sh", "-eu", "-c", script]).succeeds()
    }

    /// Runs rigup there.
    pub(crate) fn run(&self, context: &TestContext, args: &[&str]) -> CommandOutput {
        self.command(context, &[&[env!("CARGO_BIN_EXE_rigup")], args].concat())
    }

    /// What is at this path there.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(path.strip_prefix("/").unwrap())
    }

    fn command(&self, context: &TestContext, words: &[&str]) -> CommandOutput {
        let here = context.path("here");
        let pid = self.holder.id().to_string();
        let inside = ["--", "sh", "-c", "cd \"$0\" && exec \"$@\"", here.to_str().unwrap()];
        let args = [&["--target", &pid], &self.flags[..], &inside, words].concat();
        CommandOutput::new(&args, &context.command_for(Path::new("nsenter"), &args).output().unwrap())
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
