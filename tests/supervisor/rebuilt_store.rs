//! A supervisor whose store is rebuilt while it runs.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::test_context::{TestContext, signal, wait_until};

/// Removes the store.
fn remove_store(context: &TestContext) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(context.path(&format!("data/rigup.sqlite3{suffix}")));
    }
}

#[test]
fn a_supervisor_goes_on_with_a_store_that_was_rebuilt() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\nrestart_delay = '10ms'\n");
    context.run(&["up", "-d", "--wait"]).succeeds();
    let before = context.daemon("a");
    remove_store(&context);
    context.write("data/rigup.sqlite3", "this is not a database");
    context.run(&["exec", "--", "true"]).succeeds();
    assert_eq!(context.daemon("a"), before);
    signal(u32::try_from(before["pid"].as_u64().unwrap()).unwrap(), Signal::SIGKILL);
    wait_until("it was restarted", || context.daemon("a")["restarts"] == 1);
    context.await_status("a", "running");
    let executions = context.executions("a");
    let reasons: Vec<_> = executions.iter().map(|execution| execution["exit_reason"].as_str()).collect();
    assert_eq!(reasons, [Some("signalled"), None]);
    let is_supervisor =
        |process: &Value| process["process_type"] == "supervisord" && process["status"] == "running";
    assert_eq!(context.processes().iter().filter(|process| is_supervisor(process)).count(), 1);
    context.down();
}

#[test]
fn a_supervisor_stores_its_daemons_again_after_a_rebuild() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d", "--wait"]).succeeds();
    let before = context.daemon("a");
    remove_store(&context);
    context.run(&["ps"]).succeeds().stderr_contains("`rigup process gc` restores them");
    context.run(&["process", "gc"]).succeeds();
    assert_eq!(context.daemon("a"), before);
    context.down();
}

#[test]
fn down_ends_while_the_store_cannot_be_used() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d", "--wait"]).succeeds();
    let (store, aside) = (context.path("data/rigup.sqlite3"), context.path("data/aside"));
    fs::rename(&store, &aside).unwrap();
    fs::create_dir(&store).unwrap();
    context.run(&["down"]).succeeds();
    assert_eq!(context.count_live("sleep 600"), 0);
    fs::remove_dir(&store).unwrap();
    fs::rename(&aside, &store).unwrap();
    wait_until("the waiter has recorded the exit", || context.daemon("a")["exit_code"] == 143);
    context.down();
}

#[test]
fn a_signal_ends_a_supervisor_whose_data_dir_was_removed() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    let mut up = context.start(&["up"]);
    wait_until("the daemon runs", || context.count_live("sleep 600") == 1);
    context.await_status("a", "running");
    fs::remove_dir_all(context.path("data")).unwrap();
    signal(up.id(), Signal::SIGTERM);
    wait_until("the supervisor has exited", || up.try_wait().unwrap().is_some());
    wait_until("nothing runs", || context.live_processes().is_empty());
}
