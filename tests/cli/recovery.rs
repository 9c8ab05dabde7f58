//! What a rigup that was killed leaves behind, and how the next one finishes it.

use std::fs;

use crate::test_context::{TestContext, wait_until};

#[test]
fn a_hook_whose_rigup_was_killed_is_ended_and_recorded_as_lost_by_the_next_one() {
    let context = TestContext::new();
    context.fixture("hanging").fixture("good");
    let mut child = context.start(&["install", "x", "--binproviders", "hanging"]);
    let statuses = |context: &TestContext| -> Vec<String> {
        context
            .processes()
            .iter()
            .map(|process| format!("{} {}", process["status"], process["exit_reason"]))
            .collect()
    };
    wait_until("the hook and its children run, and are recorded", || {
        context.count("sleep") >= 2 && statuses(&context) == [r#""running" null"#; 2]
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!context.live_processes().is_empty());
    assert_eq!(statuses(&context), [r#""running" null"#; 2], "reading finishes nothing");

    context.run(&["install", "y", "--binproviders", "good"]).succeeds();
    assert_eq!(context.live_processes(), []);
    assert_eq!(statuses(&context)[..2], [r#""exited" "lost""#; 2]);
    assert_eq!(context.processes()[1]["exit_code"], serde_json::Value::Null);
}

#[test]
fn an_end_that_was_noted_but_not_stored_is_taken_from_the_run_dir() {
    let context = TestContext::new();
    context.fixture("failing").fixture("good");
    context.run(&["install", "x", "--binproviders", "failing"]).exits_with(1);
    context
        .store()
        .execute(
            "UPDATE process SET status = 'running', ended_at = NULL, exit_code = NULL, exit_reason = NULL, \
             stdout_tail = NULL, stderr_tail = NULL, stdout_bytes = NULL, stderr_bytes = NULL, max_rss = NULL, \
             user_ms = NULL, sys_ms = NULL WHERE process_type = 'hook'",
            [],
        )
        .unwrap();
    context.run(&["install", "y", "--binproviders", "good"]).succeeds();
    let hook = &context.hook_processes()[0];
    assert_eq!((hook["exit_reason"].as_str(), hook["exit_code"].as_i64()), (Some("exited"), Some(3)));
    assert_eq!(hook["stderr_tail"], "the disk is on fire\n");
}

#[test]
fn what_a_hook_leaves_in_its_group_is_ended_though_its_rigup_and_the_hook_are_gone() {
    let context = TestContext::new();
    context.fixture("good").provider(
        "p",
        "#!/bin/sh\nsleep 600 &\necho waiting >&2\nuntil [ -e \"$DATA_DIR/go\" ]; do :; done\n",
    );
    let mut child = context.start(&["install", "x", "--binproviders", "p"]);
    wait_until("the hook's child runs", || context.count("sleep") > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(context.path("data/go"), "").unwrap();
    wait_until("the hook is over", || context.live_processes().len() == 1);

    context.run(&["install", "y", "--binproviders", "good"]).succeeds();
    assert_eq!(context.live_processes(), []);
    let hook = &context.hook_processes()[0];
    assert_eq!((&hook["exit_reason"], &hook["stderr_tail"]), (&"lost".into(), &"waiting\n".into()));
}

#[test]
fn a_hook_that_was_started_and_not_noted_is_ended_by_the_next_rigup() {
    let context = TestContext::new();
    context.fixture("hanging").fixture("good");
    let mut child = context.start(&["install", "x", "--binproviders", "hanging"]);
    wait_until("the hook and its children run", || context.count("sleep") >= 2);
    child.kill().unwrap();
    child.wait().unwrap();
    context
        .store()
        .execute(
            "UPDATE process SET status = 'queued', pid = NULL, start_ticks = NULL, boot_id = NULL, \
             started_at = NULL WHERE process_type = 'hook'",
            [],
        )
        .unwrap();
    context.run(&["install", "y", "--binproviders", "good"]).succeeds();
    assert_eq!(context.live_processes(), []);
}
