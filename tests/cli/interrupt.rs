//! Signals to rigup, and readers that close its stdout.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;

use crate::test_context::{TestContext, died_of, signal, wait_until};

fn start_hanging(context: &TestContext) -> Child {
    let child = context.start(&["install", "x", "y", "--binproviders", "hanging"]);
    wait_until("both hooks and their children run", || context.count_live("sleep") >= 4);
    child
}

#[test]
fn terminates_all_children_and_records_the_interrupt() {
    for (number, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let context = TestContext::new();
        context.fixture("hanging");
        let child = start_hanging(&context);
        signal(child.id(), number);
        let output = child.wait_with_output().unwrap();
        assert!(died_of(output.status, number), "{}", output.status);
        assert_eq!(context.live_processes(), []);
        let processes = context.processes();
        assert_eq!(processes.len(), 3);
        for process in &processes {
            assert_eq!(
                (process["status"].as_str(), process["exit_reason"].as_str()),
                (Some("exited"), Some("stopped"))
            );
        }
        assert_eq!(processes[0]["exit_code"], code);
        let queued = context.run(&["binary", "show", "x"]).succeeds().record();
        assert_eq!((queued["status"].as_str(), queued["attempt_count"].as_u64()), (Some("queued"), Some(0)));
    }
}

#[test]
fn a_rigup_that_waits_for_a_lock_can_be_interrupted() {
    let context = TestContext::new();
    let gate = context.gate();
    context.fixture("counting");
    let holder = context.start(&["install", "x", "--binproviders", "counting"]);
    wait_until("the hook runs", || context.path("data/started").exists());
    let waiting = context.start(&["install", "x", "--binproviders", "counting"]);
    wait_until("the second install is recorded", || context.processes().len() == 3);
    signal(waiting.id(), Signal::SIGINT);
    assert!(died_of(waiting.wait_with_output().unwrap().status, Signal::SIGINT));
    fs::write(gate, "\n").unwrap();
    assert_eq!(holder.wait_with_output().unwrap().status.code(), Some(0));
}

/// Starts an install, waits until it prints `message`, and interrupts it.
fn assert_waits_and_can_be_interrupted(context: &TestContext, message: &str) {
    let log = context.path("log");
    let args = ["install", "sh", "--binproviders", "env", "--force"];
    let mut rigup =
        context.command(&args).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    wait_until(message, || fs::read_to_string(&log).unwrap().contains(message));
    signal(rigup.id(), Signal::SIGINT);
    wait_until("rigup has exited", || rigup.try_wait().unwrap().is_some());
    assert!(died_of(rigup.wait().unwrap(), Signal::SIGINT), "{}", fs::read_to_string(&log).unwrap());
    assert_eq!(context.live_processes(), []);
}

#[test]
fn reports_a_wait_for_the_built_in_providers_and_can_be_interrupted() {
    let context = TestContext::new();
    let builtin = context.path("data/builtin");
    fs::create_dir_all(&builtin).unwrap();
    let held = fs::File::open(&builtin).unwrap();
    held.lock().unwrap();
    let message = "waiting for another rigup to unpack on_BinaryRequest__00_env";
    assert_waits_and_can_be_interrupted(&context, message);
    drop(held);
    context.run(&["install", "sh", "--binproviders", "env"]).succeeds();

    let version_folder = fs::read_dir(&builtin).unwrap().next().unwrap().unwrap().path();
    let hook = fs::read_dir(version_folder.join("env")).unwrap().map(|entry| entry.unwrap().path());
    let hook =
        hook.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "sh")).unwrap();
    fs::write(&hook, "").unwrap();
    let held = fs::File::open(hook.parent().unwrap()).unwrap();
    held.lock().unwrap();
    assert_waits_and_can_be_interrupted(&context, message);
    drop(held);
    context
        .run(&["install", "sh", "--binproviders", "env", "--force"])
        .succeeds()
        .stderr_contains("was changed, and rigup restored it");
}

#[test]
fn exits_without_a_panic_after_the_reader_closes_the_pipe() {
    let context = TestContext::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    for args in [&["hook", "list"][..], &["install", "no-such-tool", "--binproviders", "env"]] {
        let mut command = context.command(args);
        command.stdout(writer.try_clone().unwrap()).stderr(writer.try_clone().unwrap());
        assert!(matches!(command.status().unwrap().code(), Some(0 | 1)), "a panic exits with 101");
    }
}

#[test]
fn install_keeps_its_errors_and_exit_code_if_stdout_is_closed() {
    let context = TestContext::new();
    context.fixture("failing");
    let mut child = context.start(&["install", "x", "--binproviders", "failing"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: cannot install x: "));
}

#[test]
fn ignores_signals_that_its_parent_ignores_but_resets_them_for_hooks() {
    let mut context = TestContext::new();
    context.set("RIGUP_FILE", env!("CARGO_BIN_EXE_rigup"));
    context.provider("p", "#!/bin/sh\ngrep SigIgn /proc/self/status >\"$DATA_DIR/ignored\"\nuntil [ -e \"$DATA_DIR/go\" ]; do :; done\n\
        printf '{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}'\n");
    let child = context
        .command_for(
            Path::new("/bin/sh"),
            &["-c", "trap '' HUP INT USR1 XFSZ; exec \"$RIGUP_FILE\" install x --binproviders p"],
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the hook runs", || {
        fs::read(context.path("data/ignored")).is_ok_and(|bytes| bytes.ends_with(b"\n"))
    });
    signal(child.id(), Signal::SIGHUP);
    signal(child.id(), Signal::SIGINT);
    fs::write(context.path("data/go"), "").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    let ignored = fs::read_to_string(context.path("data/ignored")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGXFSZ] {
        assert_eq!(ignored >> (number as u32 - 1) & 1, 0, "{number} is ignored");
    }
}

#[test]
fn an_interrupted_version_probe_prints_no_record() {
    let context = TestContext::new();
    let tool = context.script("tool", "#!/bin/sh\necho tool\nexec sleep 600\n");
    let child = context.start(&[
        "hook",
        "binary",
        "--name=tool",
        "--provider=p",
        "--abspath",
        tool.to_str().unwrap(),
    ]);
    wait_until("the version probe runs", || context.count_live("sleep 600") > 0);
    signal(child.id(), Signal::SIGTERM);
    let output = child.wait_with_output().unwrap();
    assert!(died_of(output.status, Signal::SIGTERM));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(context.live_processes(), []);
}
