//! Durations on the command line, in variables and in records.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::test_context::{CommandOutput, TestContext, died_of, signal, wait_until};

/// Texts that are not durations.
const INVALID: [&str; 8] = ["-1", "nan", "inf", "", "1e3", "5 m", "36501d", "18446744073709551615"];

#[test]
fn every_option_refuses_what_is_not_a_duration_with_one_message() {
    let context = TestContext::new();
    let options: [&[&str]; 9] = [
        &["install", "--timeout"],
        &["apply", "--timeout"],
        &["run", "E", "--timeout"],
        &["run", "E", "--ready-timeout"],
        &["start", "--slug", "s", "--ttl"],
        &["start", "--slug", "s", "--max-runtime"],
        &["process", "wait", "ID", "--timeout"],
        &["process", "kill", "ID", "--grace"],
        &["process", "gc", "--ttl"],
    ];
    for args in options {
        let (option, command) = args.split_last().unwrap();
        let (command, rest) = command.split_first().unwrap();
        for text in INVALID {
            let option = format!("{option}={text}");
            let args = if *command == "run" {
                vec!["run", &option, "E"]
            } else {
                [&[*command], rest, &[&option]].concat()
            };
            context
                .run(&args)
                .exits_with(2)
                .stderr_contains("use a number of seconds such as 90 or 0.5, or a number with ms");
        }
    }
    assert!(!context.path("data").exists());
}

#[test]
fn the_longest_duration_is_accepted_everywhere() {
    let context = TestContext::new();
    let started =
        context.run(&["start", "--slug", "s", "--ttl", "36500d", "--max-runtime", "36500d", "--", "true"]);
    let id = started.succeeds().record()["id"].as_str().unwrap().to_owned();
    context.run(&["process", "wait", "--timeout", "36500d", &id]).succeeds();
    context.run(&["process", "gc", "--ttl", "36500d"]).succeeds();
    let long = context.run(&["start", "--slug", "s", "--", "sleep", "600"]).succeeds().record();
    context.run(&["process", "kill", "--grace", "36500d", long["id"].as_str().unwrap()]).succeeds();

    context.script("here/plugins/p/on_E__1_x.daemon.bg.sh", "#!/bin/sh\necho ready; exec sleep 600\n");
    context.run(&["run", "--ready-timeout", "36500d", "E"]).succeeds();
    let shown = context.run(&["process", "show", &id]).succeeds().record();
    assert_eq!(
        (&shown["ttl_seconds"], &shown["timeout"]),
        (&json!(3_153_600_000_u64), &json!(3_153_600_000_u64))
    );
    wait_until("the waiters have exited", || context.live_processes().is_empty());
}

#[test]
fn fractions_and_units_apply_and_are_recorded() {
    let mut context = TestContext::new();
    let args = ["start", "--slug", "s", "--ttl", "0", "--max-runtime", "200ms", "--", "sleep", "600"];
    let id = context.run(&args).succeeds().record()["id"].as_str().unwrap().to_owned();
    context.run(&["process", "wait", "--timeout", "0.01", &id]).exits_with(124);
    context.run(&["process", "wait", &id]).exits_with(143);
    let shown = context.run(&["process", "show", &id]).succeeds().record();
    let of = |key: &str| shown[key].clone();
    assert_eq!(
        [of("ttl_seconds"), of("max_runtime_seconds"), of("exit_reason")],
        [json!(0), json!(0.2), json!("timeout")]
    );
    let removed: Vec<Value> = context.run(&["process", "gc"]).succeeds().records();
    assert_eq!((&removed[0]["action"], &removed[0]["process_id"]), (&json!("removed"), &json!(id)));

    context.script("here/plugins/p/on_E__1_x.sh", "#!/bin/sh\nexec sleep 600\n");
    context.set("TIMEOUT", "100ms");
    context.run(&["run", "E"]).exits_with(1).stderr_contains(": timed out after 0.1 s (143)");
    for text in ["0", "0s", "-5", "soon", "inf"] {
        context.set("TIMEOUT", text);
        context
            .run(&["run", "E"])
            .exits_with(3)
            .stderr_contains("is not a timeout; set it to a duration greater than 0");
    }
    wait_until("the waiters have exited", || context.live_processes().is_empty());
}

#[test]
fn none_is_no_limit_for_a_wait_a_grace_period_and_a_ttl() {
    let context = TestContext::new();
    let ended = context.start_run(&["--slug", "s", "--ttl", "0"], "exit 3");
    context.run(&["process", "wait", "--timeout", "none", &ended]).exits_with(3);
    let run_dir = context.path(&format!("data/processes/{ended}"));
    context.run(&["process", "gc", "--ttl", "none"]).succeeds();
    assert!(run_dir.exists());
    context.run(&["process", "gc"]).succeeds();
    assert!(!run_dir.exists());
    let listed = context.run(&["process", "list", "--since", "none", "--slug", "s"]).succeeds();
    assert_eq!(listed.record()["id"], json!(ended));

    let script = "trap 'until [ -e \"$RIGUP_DATA_DIR/go\" ]; do sleep 0.02; done; exit 5' TERM\n\
        : >\"$RIGUP_DATA_DIR/up\"; while :; do sleep 0.02; done";
    let slow = context.start_run(&["--slug", "s"], script);
    wait_until("the trap is set", || context.path("data/up").exists());
    let args = ["process", "kill", "--grace", "none", &slow];
    let request = context.path(&format!("data/processes/{slow}/stop"));
    let mut waiting = context.start(&args);
    wait_until("the run is told to stop", || request.exists());
    signal(waiting.id(), Signal::SIGINT);
    assert!(died_of(waiting.wait().unwrap(), Signal::SIGINT), "Ctrl-C ends the wait");
    fs::remove_file(&request).unwrap();
    let waiting = context.start(&args);
    wait_until("the run is told to stop again", || request.exists());
    assert_eq!(context.show(&slow)["state"], "running");
    context.write("data/go", "");
    let killed = CommandOutput::new(&args, &waiting.wait_with_output().unwrap()).succeeds().record();
    assert_eq!((&killed["exit_code"], &killed["exit_reason"]), (&json!(5), &json!("stopped")));
    context.wait_for_waiters();
}

#[test]
fn without_a_ready_timeout_a_silent_daemon_is_awaited_until_it_exits() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_E__1_x.bg.sh", "#!/bin/sh\nsleep 0.3\nexit 3\n");
    context.script("here/plugins/p/on_E__2_y.sh", "#!/bin/sh\necho '{\"type\":\"Y\"}'\n");
    let output = context.run(&["run", "--ready-timeout", "none", "E"]).exits_with(1);
    assert!(!output.stderr.contains("did not print a line"), "{}", output.stderr);
    let order: Vec<Value> = output.records().iter().map(|record| record["exit_code"].clone()).collect();
    assert_eq!(order, [json!(3), Value::Null, json!(0)]);
    wait_until("the waiter has exited", || context.live_processes().is_empty());
}

#[test]
fn a_hook_without_a_time_limit_is_refused_with_the_reason() {
    let mut context = TestContext::new();
    let hook = context.script("here/plugins/p/on_E__1_x.sh", "#!/bin/sh\n");
    let reason = "a hook that hangs would block rigup";
    for command in [&["install"][..], &["apply"], &["run", "E"], &["hook", "test", hook.to_str().unwrap()]] {
        let args = [&command[..1], if command[0] == "hook" { &["test"] } else { &[] }].concat();
        let rest = &command[args.len()..];
        let args = [&*args, &["--timeout", "none"], rest].concat();
        context.run(&args).exits_with(2).stderr_contains(reason);
    }
    context.set("TIMEOUT", "none");
    context
        .run(&["run", "E"])
        .exits_with(3)
        .stderr_contains("TIMEOUT=none is not a timeout")
        .stderr_contains(reason);
}
