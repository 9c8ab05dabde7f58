//! The warnings about hooks and runs, which stand in their records.

use std::fs;

use serde_json::Value;

use crate::event::context_with;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Returns the warnings in the record of a process, and asserts that those in its `exit.json` are the same.
fn warnings(context: &TestContext, id: &Value) -> Vec<String> {
    let process = context.run(&["process", "show", id.as_str().unwrap()]).succeeds().record();
    let exit = fs::read_to_string(format!("{}/exit.json", process["run_dir"].as_str().unwrap())).unwrap();
    let exit: Value = serde_json::from_str(&exit).unwrap();
    assert_eq!(process["warnings"], exit["warnings"]);
    serde_json::from_value(process["warnings"].clone()).unwrap()
}

/// Asserts that each warning begins with one of these texts, in this order, and that each was printed once.
#[track_caller]
fn assert_warnings(warnings: &[String], output: &CommandOutput, expected: &[&str]) {
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, expected) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(expected), "{warning}");
        assert_eq!(output.stderr.matches(warning).count(), 1, "{}", output.stderr);
    }
}

#[test]
fn every_warning_about_a_hook_of_an_event_stands_in_its_record() {
    let body = "printf '{\"type\":\"Cut %s\\n' $0; sleep 600 >/dev/null & exit 0";
    let background = "until [ -e \"$DATA_DIR/go\" ]; do sleep 0.05; done; ";
    let context = context_with(&[
        ("1_b.finite.bg.sh", &format!("{background}{body}")),
        ("2_a.sh", body),
        ("3_c.sh", "touch \"$DATA_DIR/go\"; i=0; while [ $i -lt 30 ]; do echo \"{$i\"; i=$((i+1)); done"),
    ]);
    let output = context.run(&["run", "E"]).succeeds();
    let records = output.records();
    let of = |name: &str| records.iter().find(|record| record["hook_name"] == name).unwrap();
    let found = |name: &str| {
        let found = warnings(&context, &of(name)["id"]);
        assert_eq!(serde_json::to_value(&found).unwrap(), of(name)["warnings"]);
        found
    };
    let (leftover, cut) =
        ("terminated a process that it left behind: sleep 600", "stdout line 1 is not JSON");
    assert_warnings(&found("on_E__2_a.sh"), &output, &[leftover, cut]);
    assert_warnings(&found("on_E__1_b.finite.bg.sh"), &output, &[leftover, cut]);
    let many = found("on_E__3_c.sh");
    assert_eq!((many.len(), many[20].as_str()), (21, "and 10 more"));
    fs::remove_file(context.path("data/rigup.sqlite3")).unwrap();
    context.run(&["process", "gc"]).succeeds();
    let rebuilt = context.hook_processes();
    assert!(
        rebuilt.iter().all(|hook| hook["warnings"] == of(hook["hook_name"].as_str().unwrap())["warnings"])
    );
}

#[test]
fn a_child_that_a_run_left_behind_is_named_in_its_record() {
    let context = TestContext::new();
    let run = context.run(&["start", "--slug", "s", "--", "sh", "-c", "nohup sleep 44 & exit 0"]).succeeds();
    let id = &run.record()["id"];
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    let warnings = warnings(&context, id);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("terminated a process that it left behind: "), "{warnings:?}");
}

#[test]
fn endless_warnings_of_a_provider_are_cut_and_counted() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\ni=0\nwhile [ $i -lt 100 ]; do echo \"{\\\"type\\\":\\\"Warning\\\",\\\"message\\\":\\\"$i is bad\\\"}\"; \
        i=$((i+1)); done\necho '{oops'\n";
    context.provider("p", hook);
    let output = context.run(&["install", "x", "--binproviders", "p"]).exits_with(1);
    assert_eq!(output.stderr.matches(" is bad").count(), 20, "{}", output.stderr);
    assert_eq!(output.stderr.matches("warning: p: and 80 more\n").count(), 1, "{}", output.stderr);
    let found = warnings(&context, &context.hook_processes()[0]["id"]);
    assert_eq!((found.len(), found[19].as_str(), found[20].as_str()), (21, "19 is bad", "and 81 more"));
}
