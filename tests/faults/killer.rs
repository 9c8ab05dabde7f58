//! Kills rigup right before the Nth of the calls that change something, or does something else to it there. Its threads
//! are followed, and none of its children: hooks go on as they do when the system kills rigup.

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

/// What a call does, for those that a later run has to cope with when they are the first that is not done any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A name gets another file.
    Rename,
    /// A link is made.
    Link,
    /// The disk is asked to have everything.
    Sync,
    /// A file, link or folder goes.
    Remove,
    /// A process or a thread is started.
    Start,
    /// Some bytes of the store are written.
    Store,
    /// A folder is made.
    Folder,
    /// A file is made, or opened to be made where it is not there.
    File,
    /// Some bytes of another file in the data dir are written.
    Content,
}

/// How a run ended that was to be killed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Before this call.
    KillOutcome(String),
    /// It had so many of these calls, and ended with this exit code.
    Unharmed {
        /// The calls.
        calls: usize,
        /// The code.
        code: i32,
    },
}

/// Runs rigup with these arguments, and kills it before the `nth` of the calls, counted from 1, that `counts` says.
pub(crate) fn kill_before(
    context: &TestContext,
    args: &[&str],
    nth: usize,
    counts: impl Fn(Change) -> bool,
) -> Fate {
    do_before(context, args, nth, counts, |rigup| kill(rigup, Signal::SIGKILL).unwrap())
}

/// Runs rigup with these arguments, and does something while it is about to do the `nth` of the calls that `counts` says.
#[expect(clippy::zombie_processes, reason = "its tracer reaps it")]
pub(crate) fn do_before(
    context: &TestContext,
    args: &[&str],
    nth: usize,
    counts: impl Fn(Change) -> bool,
    act: impl FnOnce(Pid),
) -> Fate {
    let words =
        [&["-c", "read -r _; exec \"$0\" \"$@\" </dev/null", env!("CARGO_BIN_EXE_rigup")], args].concat();
    let said = || fs::File::create(context.path("said")).unwrap();
    let mut command = context.command_for(Path::new("/bin/sh"), &words);
    let mut child = command.stdin(Stdio::piped()).stdout(said()).stderr(said()).spawn().unwrap();
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
    let mut reached = None;
    loop {
        // Other tests wait for children of their own, in other threads.
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap() {
            WaitStatus::PtraceSyscall(thread) => {
                if let Some((change, call)) = begun(rigup, thread, &data)
                    && counts(change)
                {
                    calls += 1;
                    if calls == nth
                        && let Some(act) = act.take()
                    {
                        act(rigup);
                        reached = Some(call);
                    }
                }
                go_on(thread, None);
            }
            WaitStatus::PtraceEvent(thread, ..) => go_on(thread, None),
            WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal)),
            WaitStatus::Exited(pid, code) if pid == rigup => return Fate::Unharmed { calls, code },
            WaitStatus::Signaled(pid, ..) if pid == rigup => {
                return Fate::KillOutcome(reached.expect("nobody else kills it"));
            }
            _ => {}
        }
    }
}

/// A thread may be gone by now: KILL asks nobody.
fn go_on(thread: Pid, signal: Option<Signal>) {
    match ptrace::syscall(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => panic!("{error}"),
    }
}

/// What the call changes that a thread has just begun, if anything, and the call in words.
fn begun(rigup: Pid, thread: Pid, data: &Path) -> Option<(Change, String)> {
    const ENTRY: u8 = 1; // PTRACE_SYSCALL_INFO_ENTRY
    if ptrace::syscall_info(thread).ok()?.op != ENTRY {
        return None;
    }
    let text = fs::read_to_string(format!("/proc/{rigup}/task/{thread}/syscall")).ok()?;
    let mut words = text.split_whitespace();
    let number: libc::c_long = words.next()?.parse().ok()?;
    let words: Vec<u64> =
        words.filter_map(|it| u64::from_str_radix(it.strip_prefix("0x")?, 16).ok()).collect();
    let file = || fs::read_link(format!("/proc/{rigup}/fd/{}", words[0])).unwrap_or_default();
    let has = |word: usize, flag: libc::c_int| words[word] & u64::from(flag.unsigned_abs()) != 0;
    let change = match number {
        libc::SYS_rename | libc::SYS_renameat | libc::SYS_renameat2 => Change::Rename,
        libc::SYS_symlink | libc::SYS_symlinkat => Change::Link,
        libc::SYS_fsync | libc::SYS_fdatasync => Change::Sync,
        libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => Change::Remove,
        libc::SYS_mkdir | libc::SYS_mkdirat => Change::Folder,
        libc::SYS_openat if has(2, libc::O_CREAT) => Change::File,
        libc::SYS_clone | libc::SYS_clone3 => Change::Start,
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_ftruncate
            if file().to_string_lossy().contains(rigup::store::FILE_NAME) =>
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
