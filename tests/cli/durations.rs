//! Durations on the command line, in variables and in records.

use serde_json::{Value, json};

use crate::test_context::TestContext;

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
            context.run(&args).exits_with(2).stderr_contains(
                "not a duration; use a number of seconds such as 90 or 0.5, or a number with ms",
            );
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
    crate::test_context::wait_until("the waiters have exited", || context.live_processes().is_empty());
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
    crate::test_context::wait_until("the waiters have exited", || context.live_processes().is_empty());
}
