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
