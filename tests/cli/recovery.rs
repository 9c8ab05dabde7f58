//! The next command after rigup was killed terminates the hooks and completes their records.

use std::fs;

use crate::test_context::{TestContext, wait_until};

#[test]
fn terminates_a_hook_of_a_killed_rigup_and_records_it_as_lost() {
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
        context.count_live("sleep") >= 2 && statuses(&context) == [r#""running" null"#; 2]
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!context.live_processes().is_empty());
    assert_eq!(statuses(&context), [r#""running" null"#; 2], "listing changes no record");

    context.run(&["install", "y", "--binproviders", "good"]).succeeds();
    assert_eq!(context.live_processes(), []);
    assert_eq!(statuses(&context)[..2], [r#""exited" "lost""#; 2]);
    assert_eq!(context.processes()[1]["exit_code"], serde_json::Value::Null);
}

#[test]
fn reads_an_exit_that_is_not_in_the_store_from_the_run_dir() {
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
fn terminates_the_process_group_of_a_hook_that_exited() {
    let context = TestContext::new();
    context.fixture("good").provider(
        "p",
        "#!/bin/sh\nsleep 600 &\necho waiting >&2\nuntil [ -e \"$DATA_DIR/go\" ]; do :; done\n",
    );
    let mut child = context.start(&["install", "x", "--binproviders", "p"]);
    wait_until("the hook's child runs", || context.count_live("sleep") > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(context.path("data/go"), "").unwrap();
    wait_until("the hook has exited", || context.live_processes().len() == 1);

    context.run(&["install", "y", "--binproviders", "good"]).succeeds();
    assert_eq!(context.live_processes(), []);
    let hook = &context.hook_processes()[0];
    assert_eq!((&hook["exit_reason"], &hook["stderr_tail"]), (&"lost".into(), &"waiting\n".into()));
}

#[test]
fn terminates_a_hook_whose_start_is_not_in_the_store() {
    let context = TestContext::new();
    context.fixture("hanging").fixture("good");
    let mut child = context.start(&["install", "x", "--binproviders", "hanging"]);
    wait_until("the hook and its children run", || context.count_live("sleep") >= 2);
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
