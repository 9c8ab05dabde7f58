//! Checks what the kernel and the machine allow. A test that cannot cause its fault prints the reason and is skipped.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::test_context::{CommandOutput, TestContext};

/// The options of `unshare` that make rigup the first process of a new pid namespace, as in a container.
pub(crate) const PIDS: &[&str] = &["--pid", "--fork", "--mount-proc", "--kill-child"];

/// Whether `unshare` can create these namespaces. If not, prints that the test is skipped.
pub(crate) fn unshares(flags: &[&str]) -> bool {
    can_run(&[&["unshare"], flags].concat())
}

/// Whether a command that runs another command works. If not, prints that the test is skipped.
pub(crate) fn can_run(words: &[&str]) -> bool {
    works(Command::new(words[0]).args(&words[1..]).args(["sh", "-c", "true"]))
}

/// Whether `strace` can delay system calls. If not, prints that the test is skipped.
pub(crate) fn has_strace() -> bool {
    works(Command::new("strace").args(["-o", "/dev/null", "-e", "inject=getppid:retval=7", "true"]))
}

fn works(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let works = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    if !works {
        print_skipped(&format!("{command:?} does not work: {status:?}"));
    }
    works
}

/// Whether this program is on PATH. If not, prints that the test is skipped.
pub(crate) fn has(program: &str) -> bool {
    let is_on_path = which::which(program).is_ok();
    if !is_on_path {
        print_skipped(&format!("{program} is not on PATH"));
    }
    is_on_path
}

/// Whether the test runs as root. If not, prints that the test is skipped.
pub(crate) fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        print_skipped("the test needs root");
    }
    is_root
}

/// Whether the kernel refuses to start a program that is open for writing. If not, prints that the test is skipped.
pub(crate) fn refuses_open_programs() -> bool {
    let mut program = tempfile::NamedTempFile::new().unwrap();
    program.write_all(b"#!/bin/sh\n").unwrap();
    program.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let status = Command::new(program.path()).status();
    let is_refused =
        status.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ExecutableFileBusy);
    if !is_refused {
        print_skipped(&format!("programs can be started while they are open for writing: {status:?}"));
    }
    is_refused
}

/// Writes to stderr directly, because the test harness shows captured output only for failed tests.
pub(crate) fn print_skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// The namespaces of a test. Mounts in them are invisible outside and disappear with them.
pub(crate) struct Namespaces {
    flags: Vec<&'static str>,
    /// A process that keeps the namespaces alive until its stdin is closed.
    holder: Child,
}

impl Namespaces {
    /// Creates the namespaces, or returns `None` if that is not allowed.
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

    /// Runs a shell script in the namespaces and asserts that it succeeds.
    #[track_caller]
    pub(crate) fn sh(&self, context: &TestContext, script: &str) -> CommandOutput {
        self.command(context, &["sh", "-eu", "-c", script]).succeeds()
    }

    /// Runs rigup in the namespaces.
    pub(crate) fn run(&self, context: &TestContext, args: &[&str]) -> CommandOutput {
        self.command(context, &[&[env!("CARGO_BIN_EXE_rigup")], args].concat())
    }

    /// Returns the path outside the namespaces of a path inside them.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(path.strip_prefix("/").unwrap())
    }

    fn command(&self, context: &TestContext, words: &[&str]) -> CommandOutput {
        let here = context.path("here");
        let pid = self.holder.id().to_string();
        let in_folder = ["--", "sh", "-c", "cd \"$0\" && exec \"$@\"", here.to_str().unwrap()];
        let args = [&["--target", &pid], &self.flags[..], &in_folder, words].concat();
        CommandOutput::new(&args, &context.command_for(Path::new("nsenter"), &args).output().unwrap())
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
