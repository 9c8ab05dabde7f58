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
fn ps_shows_the_daemons_although_it_rebuilds_the_store() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d", "--wait"]).succeeds();
    let before = context.daemon("a");
    remove_store(&context);
    assert_eq!(context.daemon("a"), before);
    context.down();
}

#[test]
fn a_stop_is_tried_again_until_the_store_can_be_used() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d", "--wait"]).succeeds();
    let (store, aside) = (context.path("data/rigup.sqlite3"), context.path("data/aside"));
    fs::rename(&store, &aside).unwrap();
    fs::create_dir(&store).unwrap();
    let down = context.start(&["down"]);
    wait_until("the stop has failed", || {
        let log = fs::read_to_string(context.path("data/supervisor.log")).unwrap_or_default();
        log.contains("cannot stop a: ") && log.contains("; trying again until that works")
    });
    fs::remove_dir(&store).unwrap();
    fs::rename(&aside, &store).unwrap();
    assert!(down.wait_with_output().unwrap().status.success());
    assert_eq!(context.count_live("sleep 600"), 0);
    context.down();
}
