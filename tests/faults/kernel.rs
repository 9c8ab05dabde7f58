//! What the kernel lets a test do, decided in one place: a test that cannot inject its fault says so and is skipped.

use std::io::Write;
use std::process::{Command, Stdio};

/// Whether `unshare` makes these namespaces here. Where it does not, says that the calling test is skipped.
pub(crate) fn unshares(flags: &[&str]) -> bool {
    let tried = Command::new("unshare")
        .args(flags)
        .args(["sh", "-c", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let is_allowed = tried.as_ref().is_ok_and(std::process::ExitStatus::success);
    if !is_allowed {
        skipped(&format!("unshare {} does not work here: {tried:?}", flags.join(" ")));
    }
    is_allowed
}

/// Past the harness, which shows what a test prints only where that fails.
fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// Whether `strace` may tamper with system calls here. Where it may not, says that the calling test is skipped.
pub(crate) fn traces() -> bool {
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null", "-e", "inject=getppid:retval=7", "true"]).stderr(Stdio::null());
    let tried = command.status();
    let is_allowed = tried.as_ref().is_ok_and(std::process::ExitStatus::success);
    if !is_allowed {
        skipped(&format!("strace does not work here: {tried:?}"));
    }
    is_allowed
}

/// Whether this test may become another user. Where it may not, says that the calling test is skipped.
pub(crate) fn changes_users() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        skipped("only root may become a user of its own");
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
