//! Signals to rigup and to its whole process group: what `exec` passes on, and what rigup and its caller die of.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rigup::internal::GRACE;

use crate::kernel;
use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, died_of, signal, wait_until};

/// A command that writes the number of each signal it receives to the file `received`, until it receives QUIT.
const RECORDER: &str = "import os, signal
path = os.environ['RIGUP_DATA_DIR'] + '/received'
log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in signal.valid_signals() - {4, 7, 8, 9, 11, 13, 17, 19, 20, 21, 22, 25}:
    signal.signal(number, lambda number, frame: os.write(log, b'%d\\n' % number))
os.write(log, b'ready\\n')
while b'\\n3\\n' not in open(path, 'rb').read():
    signal.pause()
raise SystemExit(4)
";

fn received(context: &TestContext) -> Vec<String> {
    let lines = fs::read_to_string(context.path("data/received")).unwrap_or_default();
    lines.lines().map(str::to_owned).collect()
}

/// Starts rigup as the leader of its own process group.
fn start_group(context: &TestContext, program: &str, args: &[&str]) -> Child {
    let mut command = context.command_for(Path::new(program), args);
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal_group(leader: &Child, signal: Signal) {
    killpg(Pid::from_raw(leader.id().cast_signed()), signal).unwrap();
}

fn start_recorder(context: &TestContext) -> Child {
    let script = context.write("recorder.py", RECORDER);
    let args = ["exec", "--", "python3", script.to_str().unwrap()];
    let rigup = start_group(context, env!("CARGO_BIN_EXE_rigup"), &args);
    wait_until("the command runs", || received(context) == ["ready"]);
    rigup
}

#[test]
fn row_40_exec_passes_every_signal_on_exactly_once() {
    for to_group in [false, true] {
        let context = TestContext::new();
        let rigup = start_recorder(&context);
        let signals = [
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGALRM,
            Signal::SIGTERM,
            Signal::SIGWINCH,
            Signal::SIGABRT,
            Signal::SIGTRAP,
            Signal::SIGSYS,
            Signal::SIGCONT,
            Signal::SIGTERM,
            Signal::SIGQUIT,
        ];
        let mut expected = vec!["ready".to_owned()];
        for number in signals {
            if to_group {
                signal_group(&rigup, number);
            } else {
                signal(rigup.id(), number);
            }
            expected.push((number as i32).to_string());
            wait_until("the command has received the signal", || received(&context).len() >= expected.len());
        }
        let output = CommandOutput::new(&["exec"], &rigup.wait_with_output().unwrap());
        assert_eq!(received(&context), expected);
        output.exits_with(4);
        assert_nothing_is_left(&context);
    }
}

/// Returns the pid of the oldest process that runs the executable itself.
fn pid_of_rigup(context: &TestContext) -> u32 {
    let is_rigup = |line: &str| line.starts_with(env!("CARGO_BIN_EXE_rigup"));
    let pids = context.live_processes().into_iter().filter(|(_, line)| is_rigup(line)).map(|(pid, _)| pid);
    pids.min().unwrap()
}

#[test]
fn row_40_exec_passes_signals_on_as_the_first_process_of_a_container() {
    if !kernel::unshares(kernel::PIDS) {
        return;
    }
    let context = TestContext::new();
    let script = context.write("recorder.py", RECORDER);
    let exec = [env!("CARGO_BIN_EXE_rigup"), "exec", "--", "python3", script.to_str().unwrap()];
    let unshare = start_group(&context, "unshare", &[kernel::PIDS, &exec].concat());
    wait_until("the command runs", || received(&context) == ["ready"]);
    let pid = pid_of_rigup(&context);
    for (number, expected) in [(Signal::SIGUSR1, "10"), (Signal::SIGALRM, "14"), (Signal::SIGQUIT, "3")] {
        signal(pid, number);
        wait_until("the command has received it", || received(&context).last().unwrap() == expected);
    }
    CommandOutput::new(&["exec"], &unshare.wait_with_output().unwrap()).exits_with(4);
    assert_nothing_is_left(&context);
}

#[test]
fn row_40_a_signal_that_reaches_rigup_twice_keeps_the_grace_period() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\ntrap 'sleep 0.3; : >\"$DATA_DIR/clean\"; exit 1' TERM\n: >\"$DATA_DIR/up\"\n\
        while :; do sleep 0.05; done\n";
    context.provider("p", hook);
    // A nested rigup is in the group that is signalled, and `timeout` signals its child and then its whole group.
    let install = ["install", "x", "--binproviders", "p"];
    let nested = [&["exec", "--", env!("CARGO_BIN_EXE_rigup")], &install[..]].concat();
    let timeout = [&["600", env!("CARGO_BIN_EXE_rigup")], &install[..]].concat();
    for (program, args) in [(env!("CARGO_BIN_EXE_rigup"), nested), ("timeout", timeout)] {
        let leader = start_group(&context, program, &args);
        wait_until("the hook runs", || context.path("data/up").exists());
        if program == "timeout" {
            signal(leader.id(), Signal::SIGTERM);
        } else {
            signal_group(&leader, Signal::SIGTERM);
        }
        leader.wait_with_output().unwrap();
        wait_until("all processes have exited", || context.live_processes().is_empty());
        assert!(context.path("data/clean").exists(), "{program}: the hook had time to clean up");
        for name in ["up", "clean"] {
            fs::remove_file(context.path("data").join(name)).unwrap();
        }
    }
    assert_nothing_is_left(&context);
}

#[test]
fn row_41_every_signal_that_ends_rigup_terminates_its_hooks_first() {
    let dying = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGALRM, Signal::SIGIO, Signal::SIGPWR];
    let exiting = [Signal::SIGQUIT, Signal::SIGABRT, Signal::SIGSYS];
    crate::in_parallel(dying.into_iter().chain(exiting), |number| {
        let context = TestContext::new();
        context.provider("p", "#!/bin/sh\n: >\"$DATA_DIR/up\"\nexec sleep 600\n");
        let rigup = context.start(&["install", "x", "--binproviders", "p"]);
        wait_until("the hook runs", || context.path("data/up").exists());
        signal(rigup.id(), number);
        let output = CommandOutput::new(&["install"], &rigup.wait_with_output().unwrap());
        if exiting.contains(&number) {
            output.exits_with(128 + number as i32);
        } else {
            output.dies_of(number);
        }
        assert_eq!(context.live_processes(), []);
        assert!(context.processes().iter().all(|process| process["exit_reason"] == "stopped"));
        assert_nothing_is_left(&context);
    });
}

#[test]
fn row_41_the_first_process_of_a_container_exits_with_128_and_the_signal() {
    if !kernel::unshares(kernel::PIDS) {
        return;
    }
    // The last ones are PWR and RTMIN+3, which stop containers of LXC and systemd-nspawn.
    crate::in_parallel([15, 30, 37], |number| {
        let context = TestContext::new();
        context.provider("p", "#!/bin/sh\n: >\"$DATA_DIR/up\"\nexec sleep 600\n");
        let install = [env!("CARGO_BIN_EXE_rigup"), "install", "x", "--binproviders", "p"];
        let all = [kernel::PIDS, &install].concat();
        let mut unshare = context.command_for(Path::new("unshare"), &all);
        let unshare = unshare.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("the hook runs", || context.path("data/up").exists());
        let pid = pid_of_rigup(&context).to_string();
        assert!(Command::new("kill").args([&format!("-{number}"), &pid]).status().unwrap().success());
        let output = CommandOutput::new(&["install"], &unshare.wait_with_output().unwrap());
        output.exits_with(128 + number);
        assert_nothing_is_left(&context);
    });
}

#[test]
fn row_09_a_signal_to_the_group_stops_the_script_around_rigup() {
    let rigup = env!("CARGO_BIN_EXE_rigup");
    for command in ["install x --binproviders p", "exec -- sleep 600"] {
        let context = TestContext::new();
        context.provider("p", "#!/bin/sh\nexec sleep 600\n");
        let script =
            format!("while true; do {rigup} {command}; : >{}/next; done", context.path("").display());
        let shell = start_group(&context, "bash", &["-c", &script]);
        wait_until("the command runs", || context.count_live("sleep 600") == 1);
        let began = Instant::now();
        signal_group(&shell, Signal::SIGINT);
        let output = shell.wait_with_output().unwrap();
        assert!(died_of(output.status, Signal::SIGINT), "{command}: {}", output.status);
        assert!(!context.path("next").exists(), "the script has stopped");
        assert!(began.elapsed() < GRACE);
        assert_nothing_is_left(&context);
    }
}
