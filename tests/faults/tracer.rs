//! Traces rigup, and kills it or calls a function right before the Nth system call that changes something. The tracer
//! follows all threads of rigup but none of its children, so hooks keep running, as they do when the system kills
//! rigup.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::test_context::TestContext;

/// What a system call changes. A later command must be able to continue if rigup was killed right before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Renames a file.
    Rename,
    /// Creates a link.
    Link,
    /// Flushes a file to disk.
    Sync,
    /// Removes a file, link or folder.
    Remove,
    /// Starts a process or a thread.
    Start,
    /// Writes to the store.
    Store,
    /// Creates a folder.
    Folder,
    /// Opens a file, and creates it if it does not exist.
    File,
    /// Writes to another file in the data dir.
    Content,
}

/// How a traced rigup exited.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TracedExit {
    /// It was killed before this call.
    Killed(String),
    /// It exited on its own.
    Exited {
        /// The number of calls that were counted.
        calls: usize,
        /// The exit code.
        code: i32,
    },
}

/// Runs rigup, and kills it before the `nth` call (from 1) whose change `counts`.
pub(crate) fn kill_before(
    context: &TestContext,
    args: &[&str],
    nth: usize,
    counts: impl Fn(Change) -> bool,
) -> TracedExit {
    act_before(context, args, nth, counts, |rigup| kill(rigup, Signal::SIGKILL).unwrap())
}

/// Runs rigup, and calls `act` when rigup is about to make the `nth` call (from 1) whose change `counts`.
#[expect(clippy::zombie_processes, reason = "its tracer reaps it")]
pub(crate) fn act_before(
    context: &TestContext,
    args: &[&str],
    nth: usize,
    counts: impl Fn(Change) -> bool,
    act: impl FnOnce(Pid),
) -> TracedExit {
    let words =
        [&["-c", "read -r _; exec \"$0\" \"$@\" </dev/null", env!("CARGO_BIN_EXE_rigup")], args].concat();
    let output = || fs::File::create(context.path("output")).unwrap();
    let mut command = context.command_for(Path::new("/bin/sh"), &words);
    let mut child = command.stdin(Stdio::piped()).stdout(output()).stderr(output()).spawn().unwrap();
    let rigup = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(rigup, options).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();

    let data = context.path("data");
    let mut calls = 0;
    let mut act = Some(act);
    let mut reached_call = None;
    loop {
        // __WNOTHREAD, because other tests wait for their own children in other threads.
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap() {
            WaitStatus::PtraceSyscall(thread) => {
                if let Some((change, call)) = entered_call(rigup, thread, &data)
                    && counts(change)
                {
                    calls += 1;
                    if calls == nth
                        && let Some(act) = act.take()
                    {
                        act(rigup);
                        reached_call = Some(call);
                    }
                }
                resume(thread, None);
            }
            WaitStatus::PtraceEvent(thread, ..) => resume(thread, None),
            WaitStatus::Stopped(thread, signal) => resume(thread, Some(signal)),
            WaitStatus::Exited(pid, code) if pid == rigup => return TracedExit::Exited { calls, code },
            WaitStatus::Signaled(pid, ..) if pid == rigup => {
                return TracedExit::Killed(reached_call.expect("only `act` kills rigup"));
            }
            _ => {}
        }
    }
}

/// Lets a thread continue, unless it no longer exists after a KILL.
fn resume(thread: Pid, signal: Option<Signal>) {
    match ptrace::syscall(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Returns what the system call that a thread has just entered changes, with a description of the call, or `None` if it
/// changes nothing.
fn entered_call(rigup: Pid, thread: Pid, data: &Path) -> Option<(Change, String)> {
    const ENTRY: u8 = 1; // PTRACE_SYSCALL_INFO_ENTRY
    if ptrace::syscall_info(thread).ok()?.op != ENTRY {
        return None;
    }
    let text = fs::read_to_string(format!("/proc/{rigup}/task/{thread}/syscall")).ok()?;
    let mut words = text.split_whitespace();
    let number: libc::c_long = words.next()?.parse().ok()?;
    let arguments: Vec<u64> =
        words.filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect();
    let file = || fs::read_link(format!("/proc/{rigup}/fd/{}", arguments[0])).unwrap_or_default();
    let has = |index: usize, flag: libc::c_int| arguments[index] & u64::from(flag.unsigned_abs()) != 0;
    let change = match number {
        libc::SYS_rename | libc::SYS_renameat | libc::SYS_renameat2 => Change::Rename,
        libc::SYS_symlink | libc::SYS_symlinkat => Change::Link,
        libc::SYS_fsync | libc::SYS_fdatasync => Change::Sync,
        libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => Change::Remove,
        libc::SYS_mkdir | libc::SYS_mkdirat => Change::Folder,
        libc::SYS_openat if has(2, libc::O_CREAT) => Change::File,
        libc::SYS_clone | libc::SYS_clone3 => Change::Start,
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_ftruncate
            if file().to_string_lossy().contains(rigup::internal::FILE_NAME) =>
        {
            Change::Store
        }
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_ftruncate if file().starts_with(data) => {
            Change::Content
        }
        _ => return None,
    };
    Some((change, format!("{change:?} {} {}", file().display(), text.trim())))
}
