//! The supervisor, a waiter or the client is killed before any system call of a start, a restart, a stop, a reload and the
//! end. The next `rigup up` finds every daemon as it was, or restarts it by its policy.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use nix::libc;
use nix::sys::signal::Signal;

use crate::collected::assert_gc_leaves_nothing;
use crate::test_context::{TestContext, signal, wait_until};
use crate::tracer::{Reaction, Traced, TracedCall, trace};

/// If this environment variable is set, the ignored test kills before every system call that can be noticed.
const ALL_KILLS: &str = "RIGUP_TEST_ALL_KILLS";

/// What is done while a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Start,
    Restart,
    Stop,
    Reload,
    Down,
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// `rigup up` in the foreground.
    Supervisor,
    /// A waiter.
    Waiter,
    /// `rigup up -d`.
    Client,
}

/// One place at which a process is killed.
struct KillPoint {
    is_armed: AtomicBool,
    calls: AtomicUsize,
    nth: usize,
    /// The call before which it was killed.
    call: OnceLock<String>,
}

impl KillPoint {
    fn new(nth: usize) -> Self {
        let calls = AtomicUsize::new(0);
        Self { is_armed: AtomicBool::new(false), calls, nth, call: OnceLock::new() }
    }

    /// Kills before the nth call since the start of the operation.
    fn react(&self, context: &TestContext, call: &TracedCall<'_>) -> Reaction {
        if !self.is_armed.load(Ordering::SeqCst)
            || !is_noticeable(call, &context.path("data"))
            || self.calls.fetch_add(1, Ordering::SeqCst) + 1 != self.nth
        {
            return Reaction::Continue;
        }
        let _ = self.call.set(call.describe(call.change()));
        Reaction::Kill
    }

    fn is_reached(&self) -> bool {
        self.call.get().is_some()
    }
}

/// Whether another process could notice the call, now or after a kill. A kill before any other call is the same as one
/// before the next call that can be noticed.
fn is_noticeable(call: &TracedCall<'_>, data: &Path) -> bool {
    match call.number {
        libc::SYS_read
        | libc::SYS_pread64
        | libc::SYS_readv
        | libc::SYS_lseek
        | libc::SYS_stat
        | libc::SYS_lstat
        | libc::SYS_fstat
        | libc::SYS_newfstatat
        | libc::SYS_statx
        | libc::SYS_statfs
        | libc::SYS_fstatfs
        | libc::SYS_access
        | libc::SYS_faccessat
        | libc::SYS_faccessat2
        | libc::SYS_readlink
        | libc::SYS_readlinkat
        | libc::SYS_getdents64
        | libc::SYS_getcwd
        | libc::SYS_mmap
        | libc::SYS_munmap
        | libc::SYS_mremap
        | libc::SYS_mprotect
        | libc::SYS_madvise
        | libc::SYS_brk
        | libc::SYS_rt_sigaction
        | libc::SYS_rt_sigprocmask
        | libc::SYS_sigaltstack
        | libc::SYS_futex
        | libc::SYS_fcntl
        | libc::SYS_poll
        | libc::SYS_ppoll
        | libc::SYS_ioctl
        | libc::SYS_getpid
        | libc::SYS_getppid
        | libc::SYS_gettid
        | libc::SYS_getuid
        | libc::SYS_geteuid
        | libc::SYS_getgid
        | libc::SYS_getegid
        | libc::SYS_getgroups
        | libc::SYS_getrandom
        | libc::SYS_getsockopt
        | libc::SYS_getsockname
        | libc::SYS_getpeername
        | libc::SYS_clock_gettime
        | libc::SYS_clock_nanosleep
        | libc::SYS_sched_getaffinity
        | libc::SYS_sched_yield
        | libc::SYS_prlimit64
        | libc::SYS_uname
        | libc::SYS_sysinfo
        | libc::SYS_pipe2
        | libc::SYS_socket
        | libc::SYS_pidfd_open
        | libc::SYS_set_robust_list
        | libc::SYS_rseq
        | libc::SYS_arch_prctl
        | libc::SYS_restart_syscall => false,
        libc::SYS_openat => call.arguments[2] & u64::from(libc::O_CREAT.unsigned_abs()) != 0,
        // The last close releases a lock, and ends a pipe or a connection.
        libc::SYS_close => {
            let file = call.file();
            file.starts_with(data) || !file.is_absolute()
        }
        _ => true,
    }
}

/// Prints its message if a later check fails.
struct OnPanic<'a>(&'a dyn Fn() -> String);

impl Drop for OnPanic<'_> {
    #[expect(clippy::print_stdout, reason = "shown if the test fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", (self.0)());
        }
    }
}

/// Three daemons that record each start, and whether another copy was alive. The last one waits for a file, and exits with 7.
fn manifest(value: u32) -> String {
    let daemon = |name: &str, rest: &str| {
        format!(
            "[daemons.{name}]\nshell = true\nrestart_delay = '10ms'\ncommand = 'exec 9>>{name}.lock; \
             flock -n 9 || echo {name} >>copies; echo $RIGUP_PROCESS_ID $VALUE >>{name}.starts; {rest}\n"
        )
    };
    [
        daemon("a", &format!("exec sleep 600'\nenv = {{VALUE = '{value}'}}")),
        daemon("b", "exec sleep 601'\ndepends_on = ['a']"),
        daemon("c", "until [ -e go ]; do sleep 0.05; done; exit 7'\nrestart = 'no'"),
    ]
    .concat()
}

/// Returns the ids of the executions of a daemon that have run, oldest first, each with its VALUE.
fn starts(context: &TestContext, name: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(context.path("here").join(format!("{name}.starts"))).unwrap_or_default();
    let words = |line: &str| {
        let (id, value) = line.split_once(' ').unwrap_or((line, ""));
        (id.to_owned(), value.to_owned())
    };
    text.lines().map(words).collect()
}

fn have_started(context: &TestContext, count: usize) -> bool {
    ["a", "b", "c"].iter().all(|name| starts(context, name).len() >= count)
}

/// Performs an operation while a process is traced, which is killed before the nth system call. Returns the number of calls
/// if there are fewer.
fn kill_during(operation: Operation, victim: Victim, nth: usize) -> Option<usize> {
    let context = TestContext::with_manifest(&manifest(1));
    let point = KillPoint::new(nth);
    let report = || format!("{operation:?}: {victim:?} was killed before call {nth}: {:?}", point.call.get());
    let _report = OnPanic(&report);
    match victim {
        Victim::Client => {
            if operation == Operation::Reload {
                context.run(&["up", "-d", "--wait"]).succeeds();
                context.write("here/rigup.toml", manifest(2));
            }
            point.is_armed.store(true, Ordering::SeqCst);
            trace(&context, &["up", "-d"], Traced::Command, |call| point.react(&context, call));
            point.is_armed.store(false, Ordering::SeqCst);
            check(&context, operation, victim, &point);
        }
        Victim::Supervisor | Victim::Waiter => {
            let traced = if victim == Victim::Waiter { Traced::Waiters } else { Traced::Command };
            point.is_armed.store(operation == Operation::Start, Ordering::SeqCst);
            std::thread::scope(|scope| {
                let kill_all = || {
                    context.live_processes().iter().for_each(|(pid, _)| signal(*pid, Signal::SIGKILL));
                    "everything was killed".to_owned()
                };
                let _end = OnPanic(&kill_all);
                let traced =
                    scope.spawn(|| trace(&context, &["up"], traced, |call| point.react(&context, call)));
                wait_until("the daemons run", || {
                    point.is_reached()
                        || have_started(&context, 1) && context.run(&["ps"]).records().len() == 3
                });
                if operation != Operation::Start {
                    point.is_armed.store(true, Ordering::SeqCst);
                    perform(&context, operation);
                    let is_restarted = || match &*starts(&context, "a") {
                        [_, (id, _)] => {
                            let a = context.daemon("a");
                            a["process_id"] == **id && a["status"] == "running"
                        }
                        _ => false,
                    };
                    wait_until("it is done", || {
                        let restarts = matches!(operation, Operation::Restart | Operation::Reload);
                        point.is_reached() || !restarts || is_restarted()
                    });
                }
                point.is_armed.store(false, Ordering::SeqCst);
                if victim == Victim::Supervisor && point.is_reached() {
                    wait_until("the supervisor is dead", || traced.is_finished());
                }
                check(&context, operation, victim, &point);
            });
        }
    }
    (!point.is_reached()).then_some(point.calls.into_inner())
}

/// Performs an operation, which fails if the supervisor is killed meanwhile.
fn perform(context: &TestContext, operation: Operation) {
    match operation {
        Operation::Start => {}
        Operation::Restart => drop(context.run(&["restart", "a"])),
        Operation::Stop => drop(context.run(&["stop", "b"])),
        Operation::Reload => {
            context.write("here/rigup.toml", manifest(2));
            context.run(&["up", "-d"]).succeeds();
        }
        Operation::Down => drop(context.run(&["down"]).succeeds()),
    }
}

/// Checks what the next `rigup up` finds, and what is left after `rigup down`.
fn check(context: &TestContext, operation: Operation, victim: Victim, point: &KillPoint) {
    let before = ["a", "b", "c"].map(|name| starts(context, name).len());
    let is_stopped = operation == Operation::Stop && context.daemon("b")["wanted"] == "stopped";
    context.run(&["up", "-d"]).succeeds();
    context.write("here/go", "");
    context.await_status("a", "running");
    context.await_status("b", if is_stopped { "stopped" } else { "running" });
    context.await_status("c", "failed");
    if operation == Operation::Reload {
        wait_until("a runs as it is declared now", || {
            starts(context, "a").last().is_some_and(|(_, value)| value == "2")
        });
        context.await_status("a", "running");
    }
    let expected = usize::from(!is_stopped);
    let live = || (context.count_live("sleep 600"), context.count_live("sleep 601"));
    let began = Instant::now();
    wait_until("one copy of each runs", || {
        let is_late = began.elapsed() > Duration::from_secs(20);
        assert!(!is_late, "{:?}, {:?}", context.live_processes(), context.run(&["ps", "-a"]).records());
        live() == (1, expected)
    });
    let counts = ["a", "b", "c"].map(|name| starts(context, name).len());
    let may_restart = |name: &str| match operation {
        Operation::Start => false,
        Operation::Restart | Operation::Reload => name == "a",
        Operation::Stop => name == "b",
        Operation::Down => true,
    };
    for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
        let most = 1 + usize::from(may_restart(name)) + usize::from(victim == Victim::Waiter);
        // c has restart = "no", so it has failed without a start if its waiter was killed before that.
        let least = usize::from(name != "c" || victim != Victim::Waiter);
        assert!(
            (least..=most).contains(&counts[index]),
            "{name} was started {counts:?} times, {before:?} before up"
        );
    }
    context.run(&["down"]).succeeds();
    wait_until("everything has ended", || context.live_processes().is_empty());
    check_records(context, victim, point);
    assert_gc_leaves_nothing(context, &["--ttl", "0"]);
}

/// Checks that the true exit of each execution is stored whose waiter was not killed, and that the store is intact.
fn check_records(context: &TestContext, victim: Victim, point: &KillPoint) {
    assert!(!context.path("here/copies").exists(), "two copies of a daemon ran");
    let integrity: String =
        context.store().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    let mut unknown = 0;
    for name in ["a", "b", "c"] {
        let ran = starts(context, name);
        let has_run = |execution: &&Value| ran.iter().any(|(id, _)| execution["id"] == **id);
        let executions = context.executions(name);
        assert_eq!(
            executions.iter().filter(has_run).count(),
            ran.len(),
            "each execution of {name} has a record"
        );
        for execution in executions.iter().filter(has_run) {
            let expected: Value = if name == "c" { 7.into() } else { 143.into() };
            unknown += usize::from(execution["exit_code"].is_null());
            let is_stopped = name == "c" && execution["exit_reason"] == "stopped";
            assert!(
                execution["exit_code"] == expected || is_stopped || victim == Victim::Waiter,
                "the exit of {name}: {} {}, {:?}",
                execution["exit_code"],
                execution["exit_reason"],
                point.call.get()
            );
        }
    }
    assert!(unknown <= 1 || victim != Victim::Waiter, "one waiter was killed");
}

/// Kills a process before every `step`-th system call of an operation, from `first` on, each time in a new context.
#[expect(clippy::print_stdout, reason = "shown with --nocapture: the counts in docs/reliability.md")]
fn kill_before_each(operation: Operation, victim: Victim, first: usize, step: usize) {
    let mut kills = 0;
    let calls = loop {
        match kill_during(operation, victim, first + kills * step) {
            Some(calls) => break calls,
            None => kills += 1,
        }
    };
    println!("{operation:?}: {victim:?} was killed before {kills} of {calls} system calls");
}

/// Every operation during which each victim lives.
const ALL: [(Victim, &[Operation]); 3] = {
    use Operation::{Down, Reload, Restart, Start, Stop};
    [
        (Victim::Supervisor, &[Start, Restart, Stop, Reload, Down]),
        (Victim::Waiter, &[Start, Restart, Stop, Reload, Down]),
        (Victim::Client, &[Start, Reload]),
    ]
};

#[test]
fn promise_08_a_supervisor_killed_at_some_calls_loses_nothing() {
    for operation in [Operation::Start, Operation::Restart, Operation::Down] {
        kill_before_each(operation, Victim::Supervisor, 30, 150);
    }
}

#[test]
fn promise_08_a_waiter_or_client_killed_at_some_calls_loses_nothing() {
    kill_before_each(Operation::Start, Victim::Waiter, 20, 60);
    kill_before_each(Operation::Reload, Victim::Waiter, 10, 60);
    kill_before_each(Operation::Start, Victim::Client, 20, 150);
}

#[test]
#[ignore = "takes a minute; with RIGUP_TEST_ALL_KILLS, six minutes"]
fn promise_08_a_kill_at_any_call_loses_no_daemon_and_no_exit() {
    let step = if std::env::var_os(ALL_KILLS).is_some() { 1 } else { 40 };
    std::thread::scope(|scope| {
        for (victim, operations) in ALL {
            scope.spawn(move || {
                for operation in operations {
                    kill_before_each(*operation, victim, 1, step);
                }
            });
        }
    });
}
