//! A clock that jumps. The tests do not set the machine's clock: they write times of a different clock into the store,
//! or preload a library that gives rigup a different time.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};

use serde_json::{Value, json};

use crate::in_parallel;
use crate::kernel;
use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Times far in the past and far in the future, as if the clock had been set since they were recorded.
const TIMES: [&str; 2] = ["2020-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"];

/// Creates a context with a hook that waits at the gate. `kind` is the part of the hook's name that makes it a
/// background hook, or empty.
fn context_with_gate(kind: &str) -> TestContext {
    let context = TestContext::new();
    context.gate();
    let hook = "#!/bin/sh\necho up\nread -r _ <\"$DATA_DIR/gate\"\n";
    context.script(&format!("here/plugins/p/on_E__1_a{kind}.sh"), hook);
    context
}

fn is_recorded_as_running(context: &TestContext) -> bool {
    context
        .processes()
        .iter()
        .any(|process| process["process_type"] != "cli" && process["status"] == "running")
}

#[test]
fn row_26_a_clock_that_jumps_changes_no_timeout_and_loses_no_record() {
    in_parallel(TIMES, |time| {
        for kind in ["", ".finite.bg"] {
            // A long timeout is not reached, whatever the clock says.
            let context = context_with_gate(kind);
            let child = context.start(&["run", "--timeout", "600", "E"]);
            wait_until("the hook runs", || is_recorded_as_running(&context));
            context
                .store()
                .execute("UPDATE process SET started_at = ?, created_at = ?", [time, time])
                .unwrap();
            for args in [&["process", "gc"][..], &["exec", "--", "true"], &["process", "tree"]] {
                context.run(args).succeeds();
            }
            assert!(is_recorded_as_running(&context), "{kind} {time}");
            fs::write(context.path("data/gate"), "\n").unwrap();
            CommandOutput::new(&["run"], &child.wait_with_output().unwrap()).succeeds();
            assert_nothing_is_left(&context);

            // A short timeout is reached, whatever the clock says.
            let context = context_with_gate(kind);
            let child = context.start(&["run", "--timeout", "2", "E"]);
            // On a busy machine, the hook may have exited already.
            let is_queued = |hook: &Value| hook["status"] == "queued";
            wait_until("the hook runs", || !context.hook_processes().iter().all(is_queued));
            context
                .store()
                .execute("UPDATE process SET started_at = ?, created_at = ?", [time, time])
                .unwrap();
            CommandOutput::new(&["run"], &child.wait_with_output().unwrap()).exits_with(1);
            assert_eq!(context.hook_processes()[0]["exit_reason"], "timeout");
            assert_nothing_is_left(&context);
        }

        let context = context_with_gate("");
        let gate = "read -r _ <\"$RIGUP_DATA_DIR/gate\"; exit 7";
        let id =
            context.run(&["start", "--slug", "s", "--", "sh", "-c", gate]).succeeds().record()["id"].clone();
        let id = id.as_str().unwrap();
        context.store().execute("UPDATE process SET started_at = ?, created_at = ?", [time, time]).unwrap();
        context.run(&["process", "gc"]).succeeds();
        assert_eq!(context.run(&["process", "show", id]).succeeds().record()["state"], "running", "{time}");
        fs::write(context.path("data/gate"), "\n").unwrap();
        context.run(&["process", "wait", id]).exits_with(7);
        wait_until("the waiter has exited", || context.live_processes().is_empty());
        assert_nothing_is_left(&context);
    });
}

/// Creates a context with a clock that can be set, and a hook that prints a record when it reads the first line from
/// the gate and exits when it reads the second.
fn context_with_clock(kind: &str) -> TestContext {
    let mut context = TestContext::new();
    context.shift_clock();
    context.gate();
    let hook = "#!/bin/sh\n: >\"$DATA_DIR/up\"\nexec <\"$DATA_DIR/gate\"\nread -r _\necho '{\"type\":\"Late\"}'\nread -r _\n";
    context.script(&format!("here/plugins/p/on_E__1_a{kind}.sh"), hook);
    context
}

#[test]
fn row_26_setting_the_clock_while_a_hook_runs_changes_no_timeout() {
    if !kernel::has("cc") {
        return;
    }
    in_parallel(["", ".finite.bg"], |kind| {
        for (seconds, is_later) in [("-200000000", false), ("200000000", true)] {
            // A long timeout is not reached, and rigup reads the record that the hook prints after the jump.
            let context = context_with_clock(kind);
            let mut child = context.start(&["run", "--timeout", "600", "E"]);
            wait_until("the hook runs", || context.path("data/up").exists());
            context.write("clock", seconds);
            context.run(&["exec", "--", "true"]).succeeds();
            let processes = context.processes();
            let created_at = |kind: &str| {
                processes.iter().find(|process| process["process_type"] == kind).unwrap()["created_at"]
                    .as_str()
            };
            assert_eq!(created_at("binary") > created_at("hook"), is_later, "the clock was set");
            let mut gate = File::options().write(true).open(context.path("data/gate")).unwrap();
            gate.write_all(b"\n").unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert!(line.contains("Late"), "{kind} {seconds}: {line}");
            gate.write_all(b"\n").unwrap();
            CommandOutput::new(&["run"], &child.wait_with_output().unwrap()).succeeds();
            assert_nothing_is_left(&context);

            // A short timeout is reached.
            let context = context_with_clock(kind);
            let mut child = context.start(&["run", "--timeout", "2", "E"]);
            wait_until("the hook runs", || context.path("data/up").exists());
            context.write("clock", seconds);
            wait_until("rigup has exited", || child.try_wait().unwrap().is_some());
            CommandOutput::new(&["run"], &child.wait_with_output().unwrap()).exits_with(1);
            assert_eq!(context.hook_processes()[0]["exit_reason"], "timeout");
            assert_nothing_is_left(&context);
        }
    });
}

#[test]
fn row_26_no_binary_waits_longer_than_the_longest_backoff() {
    let context = TestContext::new();
    context.fixture("failing");
    let request = json!({"type": "BinaryRequest", "name": "x", "binproviders": "failing"}).to_string();
    context.write("requests", request);
    let attempts = || -> Value {
        let mut command = context.command(&["apply"]);
        let result = command.stdin(fs::File::open(context.path("requests")).unwrap()).output().unwrap();
        CommandOutput::new(&["apply"], &result).exits_with(1);
        context.run(&["binary", "show", "x"]).succeeds().record()["attempt_count"].clone()
    };
    assert_eq!(attempts(), 1);
    assert_eq!(attempts(), 1, "it waits until retry_at");
    for (time, expected) in TIMES.into_iter().zip([2, 3]) {
        assert_eq!(context.store().execute("UPDATE binary SET retry_at = ?", [time]).unwrap(), 1);
        assert_eq!(attempts(), expected, "{time}");
        assert_eq!(attempts(), expected, "it waits until the new retry_at");
    }
    assert_nothing_is_left(&context);
}
