//! Traces rigup, and kills it or calls a function right before the Nth system call that changes something. The tracer
//! follows all threads of rigup but none of its children, so hooks keep running, as they do when the system kills
//! rigup. If it kills a waiter, it follows rigup and all of its waiters.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
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
pub(crate) fn act_before(
    context: &TestContext,
    args: &[&str],
    nth: usize,
    counts: impl Fn(Change) -> bool,
    act: impl FnOnce(Pid),
) -> TracedExit {
    let (mut calls, mut act, mut reached_call) = (0, Some(act), None);
    let code = trace(context, args, Traced::Command, |call| {
        let Some(change) = call.change().filter(|change| counts(*change)) else { return Reaction::Continue };
        calls += 1;
        if calls == nth
            && let Some(act) = act.take()
        {
            act(call.process);
            reached_call = Some(call.describe(change));
        }
        Reaction::Continue
    });
    match code {
        Some(code) => TracedExit::Exited { calls, code },
        None => TracedExit::Killed(reached_call.expect("only `act` kills rigup")),
    }
}

/// The process whose system calls are examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traced {
    /// The command.
    Command,
    /// The waiters that the command starts.
    Waiters,
}

/// What follows when a process enters a system call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// The process makes the call.
    Continue,
    /// The process is killed, and nothing is traced any more.
    Kill,
}

/// Runs rigup, and calls `on_call` when a process that is `traced` enters a system call. Returns the exit code of the
/// command, or `None` if it was killed.
#[expect(clippy::zombie_processes, reason = "its tracer reaps it")]
pub(crate) fn trace(
    context: &TestContext,
    args: &[&str],
    traced: Traced,
    mut on_call: impl FnMut(&TracedCall<'_>) -> Reaction,
) -> Option<i32> {
    let words =
        [&["-c", "read -r _; exec \"$0\" \"$@\" </dev/null", env!("CARGO_BIN_EXE_rigup")], args].concat();
    let output = || fs::File::create(context.path("output")).unwrap();
    let mut command = context.command_for(Path::new("/bin/sh"), &words);
    let mut child = command.stdin(Stdio::piped()).stdout(output()).stderr(output()).spawn().unwrap();
    let rigup = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let mut options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    if traced == Traced::Waiters {
        options |= Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
    }
    ptrace::seize(rigup, options).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();

    let data = context.path("data");
    let mut threads = BTreeSet::from([rigup]);
    let mut waiters = BTreeSet::new();
    let mut is_over = false;
    loop {
        // __WNOTHREAD, because other tests wait for their own children in other threads.
        let status = waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap();
        if let Some(thread) =
            status.pid().filter(|_| !matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)))
        {
            threads.insert(thread);
        }
        match status {
            WaitStatus::Exited(pid, code) if pid == rigup => return Some(code),
            WaitStatus::Signaled(pid, ..) if pid == rigup => return None,
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
                threads.remove(&pid);
            }
            WaitStatus::PtraceSyscall(thread) if !is_over => {
                let process = if traced == Traced::Command { rigup } else { process_of(thread) };
                let is_traced = traced == Traced::Command || waiters.contains(&process);
                let call = is_traced.then(|| TracedCall::entered(process, thread, &data)).flatten();
                if call.is_some_and(|call| on_call(&call) == Reaction::Kill) {
                    kill(process, Signal::SIGKILL).unwrap();
                    is_over = true;
                    // They go on without a tracer.
                    for other in threads.iter().filter(|other| process_of(**other) != process) {
                        let _ = ptrace::interrupt(*other);
                    }
                }
                resume(thread, None);
            }
            WaitStatus::PtraceEvent(thread, ..) if is_over => {
                let _ = ptrace::detach(thread, None);
            }
            WaitStatus::PtraceEvent(process, _, libc::PTRACE_EVENT_EXEC)
                if process != rigup && !is_waiter(process) =>
            {
                let _ = ptrace::detach(process, None);
                threads.remove(&process);
            }
            WaitStatus::PtraceEvent(process, _, libc::PTRACE_EVENT_EXEC) if process != rigup => {
                waiters.insert(process);
                resume(process, None);
            }
            WaitStatus::PtraceEvent(thread, ..) | WaitStatus::PtraceSyscall(thread) => resume(thread, None),
            WaitStatus::Stopped(thread, signal) => resume(thread, Some(signal)),
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

/// Returns the process that a thread belongs to.
fn process_of(thread: Pid) -> Pid {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let pid = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
    pid.map_or(thread, Pid::from_raw)
}

fn is_waiter(process: Pid) -> bool {
    let arguments = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    arguments.split(|byte| *byte == 0).nth(1) == Some(b"waiter")
}

/// A system call that a thread has just entered.
#[derive(Debug)]
pub(crate) struct TracedCall<'a> {
    pub process: Pid,
    pub number: libc::c_long,
    pub arguments: Vec<u64>,
    data: &'a Path,
}

impl<'a> TracedCall<'a> {
    /// Returns the call that a thread has just entered, or `None` if it returns from one.
    fn entered(process: Pid, thread: Pid, data: &'a Path) -> Option<Self> {
        const ENTRY: u8 = 1; // PTRACE_SYSCALL_INFO_ENTRY
        if ptrace::syscall_info(thread).ok()?.op != ENTRY {
            return None;
        }
        let text = fs::read_to_string(format!("/proc/{process}/task/{thread}/syscall")).ok()?;
        let mut words = text.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let arguments =
            words.filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect();
        Some(Self { process, number, arguments, data })
    }

    /// Returns the file of its first argument.
    pub(crate) fn file(&self) -> PathBuf {
        fs::read_link(format!("/proc/{}/fd/{}", self.process, self.arguments[0])).unwrap_or_default()
    }

    /// Returns what the call changes, or `None` if it changes nothing.
    pub(crate) fn change(&self) -> Option<Change> {
        let has =
            |index: usize, flag: libc::c_int| self.arguments[index] & u64::from(flag.unsigned_abs()) != 0;
        Some(match self.number {
            libc::SYS_rename | libc::SYS_renameat | libc::SYS_renameat2 => Change::Rename,
            libc::SYS_symlink | libc::SYS_symlinkat => Change::Link,
            libc::SYS_fsync | libc::SYS_fdatasync => Change::Sync,
            libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => Change::Remove,
            libc::SYS_mkdir | libc::SYS_mkdirat => Change::Folder,
            libc::SYS_openat if has(2, libc::O_CREAT) => Change::File,
            libc::SYS_clone | libc::SYS_clone3 => Change::Start,
            libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_ftruncate
                if self.file().to_string_lossy().contains(rigup::internal::FILE_NAME) =>
            {
                Change::Store
            }
            libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_ftruncate
                if self.file().starts_with(self.data) =>
            {
                Change::Content
            }
            _ => return None,
        })
    }

    /// Describes the call, which makes this change, if any.
    pub(crate) fn describe(&self, change: impl Debug) -> String {
        format!("{change:?} {} {} {:x?}", self.file().display(), self.number, self.arguments)
    }
}
