//! Background hooks and runs whose rigup or waiter exits before them.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::event::{DAEMON, context_with};
use crate::test_context::{TestContext, signal, wait_until};

impl TestContext {
    /// Returns the pid of the only waiter.
    fn waiter(&self) -> u32 {
        let waiters = self.live_processes().into_iter().filter(|(_, command)| command.contains(" waiter "));
        let pids: Vec<u32> = waiters.map(|(pid, _)| pid).collect();
        assert_eq!(pids.len(), 1);
        pids[0]
    }
}

fn kill_rigup(mut rigup: Child) {
    rigup.kill().unwrap();
    rigup.wait().unwrap();
}

/// Asserts that the run dir of a process has an exit and no pid.
fn assert_run_dir_is_complete(process: &Value) {
    let run_dir = Path::new(process["run_dir"].as_str().unwrap());
    assert!(run_dir.join("exit.json").exists());
    assert!(!run_dir.join("process.pid").exists());
}

#[test]
fn background_hooks_of_a_killed_rigup_are_terminated() {
    let context = context_with(&[
        ("1_d.daemon.bg.sh", DAEMON),
        ("2_f.finite.bg.sh", "echo up; exec sleep 600"),
        ("3_a.sh", "exec sleep 600"),
    ]);
    let child = context.start(&["run", "E"]);
    wait_until("all hooks run", || {
        context.count_live("sleep") == 3
            && context.hook_processes().iter().all(|hook| hook["pid"] != json!(null))
    });
    kill_rigup(child);
    wait_until("only the foreground hook runs", || context.live_processes().len() == 1);
    let hooks = context.hook_processes();
    let exits: Vec<_> = hooks.iter().map(|hook| (&hook["exit_reason"], &hook["exit_code"])).collect();
    assert_eq!(exits[..2], [(&json!("stopped"), &json!(0)), (&json!("stopped"), &json!(143))]);
    let output = "{\"type\":\"Hello\"}\n{\"type\":\"Bye\"}\n";
    assert_eq!(hooks[0]["stdout_tail"], output);
    let logs = context.run(&["process", "logs", "--stream", "stdout", hooks[0]["id"].as_str().unwrap()]);
    assert_eq!(logs.succeeds().stdout, output);
    assert_eq!(hooks[2]["status"], "running");
    context.run(&["process", "gc"]).succeeds();
    assert_eq!(context.live_processes(), []);
    let foreground = &context.hook_processes()[2];
    assert_eq!(foreground["exit_reason"], "lost");
    assert_run_dir_is_complete(foreground);
}

#[test]
fn gc_terminates_a_background_hook_without_a_rigup_and_a_waiter() {
    let context = context_with(&[("1_d.bg.sh", "echo up; exec sleep 600"), ("2_a.sh", "exec sleep 600")]);
    let child = context.start(&["run", "E"]);
    wait_until("both hooks run", || context.count_live("sleep") == 2);
    let waiter = context.waiter();
    signal(waiter, Signal::SIGSTOP);
    kill_rigup(child);
    signal(waiter, Signal::SIGKILL);
    wait_until("only the hooks run", || context.live_processes().len() == 2);
    context.run(&["process", "gc"]).succeeds();
    assert_eq!(context.live_processes(), []);
    for hook in context.hook_processes() {
        assert_eq!((&hook["exit_reason"], &hook["exit_code"]), (&json!("lost"), &json!(null)));
        assert_run_dir_is_complete(&hook);
    }
}

#[test]
fn reports_the_death_of_a_daemon_while_the_event_goes_on() {
    const WAIT: &str = "until [ -e \"$DATA_DIR/go\" ]; do sleep 0.05; done; echo up";
    let daemon = "echo up; until [ -e \"$DATA_DIR/die\" ]; do sleep 0.05; done; echo bad >&2; exit 4";
    for next in ["2_a.sh", "2_b.finite.bg.sh"] {
        let context = context_with(&[("1_d.bg.sh", daemon), (next, WAIT)]);
        let (stdout, stderr) = (context.path("stdout"), context.path("stderr"));
        let mut command = context.command(&["run", "E"]);
        command.stdout(fs::File::create(&stdout).unwrap()).stderr(fs::File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        wait_until("both hooks run", || context.hook_processes().len() == 2);
        fs::write(context.path("data/die"), "").unwrap();
        let printed = |path: &Path, text: &str| fs::read_to_string(path).unwrap().contains(text);
        wait_until("the death is reported", || {
            printed(&stdout, "\"exit_code\":4") && printed(&stderr, "error: p/on_E__1_d.bg.sh: exit 4: bad")
        });
        fs::write(context.path("data/go"), "").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert_eq!(context.live_processes(), []);
    }
}

#[test]
fn a_daemon_hook_that_exits_while_its_event_runs_is_a_warning_at_once() {
    let context = context_with(&[
        ("1_d.daemon.bg.sh", "echo up"),
        ("2_b.bg.sh", "echo up"),
        ("3_f.finite.bg.sh", "echo up"),
        ("4_a.sh", "until [ -e \"$DATA_DIR/go\" ]; do sleep 0.05; done"),
    ]);
    let stderr = context.path("stderr");
    let mut command = context.command(&["run", "E"]);
    command.stdout(Stdio::null()).stderr(fs::File::create(&stderr).unwrap());
    let mut child = command.spawn().unwrap();
    let printed = || fs::read_to_string(&stderr).unwrap();
    wait_until("the exit is reported", || printed().contains("warning: p/on_E__1_d.daemon.bg.sh: it exited"));
    assert_eq!(child.try_wait().unwrap(), None);
    fs::write(context.path("data/go"), "").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(printed().matches("warning: ").count(), 1, "{}", printed());
    for hook in context.hook_processes() {
        let expected = usize::from(hook["hook_name"] == "on_E__1_d.daemon.bg.sh");
        assert_eq!(hook["warnings"].as_array().unwrap().len(), expected, "{hook}");
    }
    assert_eq!(context.live_processes(), []);
}

/// Waits until rigup has reaped the waiters of all other hooks.
const WAIT_UNTIL_ALONE: &str =
    "until set -- $(cat /proc/$PPID/task/$PPID/children) && [ $# -eq 1 ]; do sleep 0.02; done";

#[test]
fn a_daemon_hook_that_exits_after_its_result_is_no_warning() {
    let result = |status: &str| format!("echo '{{\"type\":\"ArchiveResult\",\"status\":\"{status}\"}}'");
    let unfinished = format!("{}\n{}", result("started"), result("queued"));
    let cut = format!("printf %s \"$({})\"", result("skipped"));
    let context = context_with(&[
        ("1_done.daemon.bg.sh", &result("succeeded")),
        ("2_cut.daemon.bg.sh", &cut),
        ("3_failed.daemon.bg.sh", &result("failed")),
        ("4_started.daemon.bg.sh", &unfinished),
        ("5_silent.daemon.bg.sh", "echo '{\"type\":\"Other\",\"status\":\"succeeded\"}'"),
        ("6_wait.sh", WAIT_UNTIL_ALONE),
    ]);
    context.run(&["run", "E"]).succeeds();
    let warnings = |hook: &Value| hook["warnings"].as_array().unwrap().len();
    assert_eq!(context.hook_processes().iter().map(warnings).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 0]);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn a_terminated_daemon_sees_that_what_it_started_is_gone() {
    let daemon = r#"
        (sleep 600 & echo $! >orphan)
        trap 'kill "$(cat orphan)"; set --
            while kill -0 "$(cat orphan)" && [ $# -lt 100 ]; do sleep 0.02; set -- "$@" x; done
            echo "{\"type\":\"Bye\",\"is_gone\":$([ $# -lt 100 ] && echo true || echo false)}"; exit' TERM
        echo up
        while :; do sleep 0.05; done"#;
    let context = context_with(&[("1_d.daemon.bg.sh", daemon), ("2_a.sh", "true")]);
    let records = context.run(&["run", "E"]).succeeds().records();
    let bye = records.iter().find(|record| record["type"] == "Bye").unwrap();
    assert_eq!(bye["is_gone"], true);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn a_run_without_a_waiter_is_killed_or_lost_and_has_no_pid_file() {
    let context = TestContext::new();
    for (is_killed, state, reason) in [(true, "killed", "stopped"), (false, "died", "lost")] {
        let run = context.run(&["start", "--slug", "s", "--", "sleep", "600"]).succeeds().record();
        let (id, pid) = (run["id"].as_str().unwrap(), run["pid"].as_u64().unwrap());
        signal(context.waiter(), Signal::SIGKILL);
        wait_until("only the run is left", || context.live_processes().len() == 1);
        if is_killed {
            context.run(&["process", "kill", id]).succeeds();
        } else {
            signal(pid.try_into().unwrap(), Signal::SIGKILL);
            wait_until("the run has exited", || context.live_processes().is_empty());
            context.run(&["process", "wait", id]).exits_with(1);
        }
        assert_eq!(context.live_processes(), []);
        let run = context.run(&["process", "show", id]).succeeds().record();
        let exit = [&run["state"], &run["exit_reason"], &run["exit_code"]];
        assert_eq!(exit, [&json!(state), &json!(reason), &json!(null)]);
        assert_run_dir_is_complete(&run);
    }
}

#[test]
fn the_command_line_of_a_waiter_does_not_name_its_hook() {
    // Published hooks kill every other process whose command line contains the name of their own file.
    let context = context_with(&[("1_f.finite.bg.sh", "cat /proc/$PPID/cmdline >line")]);
    context.run(&["run", "--output-dir", "out", "E"]).succeeds();
    let line = fs::read_to_string(context.path("here/out/p/line")).unwrap();
    assert!(line.contains("\0waiter\0") && !line.contains("on_E__1_f"), "{line:?}");
}
