//! What follows when daemons end: restarts, giving up, and the end of everything.

use jiff::Timestamp;
use serde_json::Value;

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{TestContext, wait_until};

/// Returns the time of a field in milliseconds.
fn millis(record: &Value, field: &str) -> i64 {
    record[field].as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond()
}

#[test]
fn promise_03_the_delay_between_restarts_doubles() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'false'\nrestart_delay = '100ms'\n");
    context.run(&["up", "-d"]).succeeds();
    wait_until("it was restarted three times", || context.executions("a").len() >= 4);
    let executions = context.executions("a");
    for (pair, delay) in executions.windows(2).zip([100, 200, 400]) {
        let pause = millis(&pair[1], "created_at") - millis(&pair[0], "ended_at");
        // The exit is observed a little after it is recorded, and times are rounded.
        assert!((delay - 1..delay + 2000).contains(&pause), "{pause} ms instead of {delay}");
    }
    context.down();
}

#[test]
fn promise_03_the_first_restart_comes_after_a_second() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'false'\n");
    context.run(&["up", "-d"]).succeeds();
    let waiting = context.await_status("a", "backoff");
    let pause = millis(&waiting, "next_start_at") - millis(&context.executions("a")[0], "ended_at");
    assert!((999..3000).contains(&pause), "{pause} ms");
    assert_eq!(waiting["last_error"], "exit 1");
    context.down();
}

#[test]
fn promise_04_a_limit_gives_up_visibly_until_a_start_by_hand() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = '[ -e fixed ] && exec sleep 600'\n\
         restart_delay = '5ms'\nrestart_limit = '2/60s'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.run(&["wait", "a"]).exits_with(1);
    let failed = context.daemon("a");
    assert_eq!((&failed["status"], &failed["restarts"]), (&"failed".into(), &2.into()));
    let problem = failed["last_error"].as_str().unwrap();
    assert!(problem.contains("it was restarted 2 times within 60s"), "{problem}");
    assert_eq!(context.executions("a").len(), 3);
    context.write("here/fixed", "");
    context.run(&["start", "a"]).succeeds();
    let running = context.await_status("a", "running");
    assert_eq!((&running["restarts"], &running["last_error"]), (&0.into(), &"".into()));
    context.down();
}

#[test]
fn promise_05_up_fails_when_a_vital_daemon_fails() {
    let context = TestContext::with_manifest(
        "[daemons.vital]\nshell = true\ncommand = 'exit 3'\nexit_on_failure = true\n\
         [daemons.other]\ncommand = 'sleep 600'\n",
    );
    context.run(&["up"]).exits_with(1);
    assert_eq!(context.daemon("vital")["exit_code"], 3);
    assert_eq!(context.daemon("other")["status"], "stopped");
    assert_nothing_is_left(&context);
}

#[test]
fn promise_05_the_end_of_a_daemon_ends_up_if_it_is_declared_so() {
    let context = TestContext::with_manifest(
        "[daemons.main]\ncommand = 'true'\nexit_on_end = true\n[daemons.other]\ncommand = 'sleep 600'\n",
    );
    context.run(&["up"]).succeeds();
    assert_nothing_is_left(&context);
}

#[test]
fn promise_11_a_one_shot_that_ended_well_is_not_run_again() {
    let context = TestContext::with_manifest(
        "[daemons.migrate]\nshell = true\ncommand = 'echo run >>$RIGUP_DATA_DIR/runs'\n\
         [daemons.app]\ncommand = 'sleep 600'\n\
         depends_on = {migrate = {condition = 'service_completed_successfully'}}\n",
    );
    for _ in 0..2 {
        context.run(&["up", "--wait"]).succeeds();
        assert_eq!(context.daemon("migrate")["status"], "exited");
        assert_eq!(context.daemon("app")["status"], "running");
    }
    assert_eq!(context.lines("runs"), ["run"]);
    // A new supervisor that takes over from a killed one does not run it again, either.
    context.kill_supervisor();
    context.run(&["up", "--wait"]).succeeds();
    assert_eq!(context.lines("runs"), ["run"]);
    // After the end of all daemons, everything is started again.
    context.down();
    context.run(&["up", "--wait"]).succeeds();
    assert_eq!(context.lines("runs"), ["run", "run"]);
    context.down();
}

#[test]
fn promise_15_a_stop_in_backoff_is_remembered_after_a_crash() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'false'\nrestart_delay = 600\nrestart_delay_max = 600\n\
         [daemons.b]\ncommand = 'sleep 600'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.await_status("a", "backoff");
    context.run(&["stop", "a"]).succeeds();
    context.kill_supervisor();
    // Without a supervisor, too.
    context.run(&["stop", "b"]).succeeds();
    assert_eq!(context.count_live("sleep"), 0);
    context.run(&["up", "--wait"]).succeeds();
    for name in ["a", "b"] {
        let stopped = context.daemon(name);
        assert_eq!((&stopped["status"], &stopped["next_start_at"]), (&"stopped".into(), &Value::Null));
        assert_eq!(context.executions(name).len(), 1);
    }
    context.run(&["up", "--wait", "b"]).succeeds();
    assert_eq!(context.daemon("b")["status"], "running");
    assert_eq!(context.daemon("a")["status"], "stopped");
    context.down();
}

#[test]
fn promise_15_a_stop_before_the_first_start_is_remembered() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nready = {file = 'never', timeout = 600}\n\
         [daemons.b]\ncommand = 'sleep 601'\ndepends_on = ['a']\n[daemons.c]\ncommand = 'sleep 602'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.await_status("b", "waiting");
    context.run(&["stop", "b"]).succeeds();
    context.kill_supervisor();
    context.run(&["stop", "c"]).succeeds();
    // Its execution may be forgotten, which says nothing about the daemon.
    context.run(&["process", "gc", "--ttl", "0"]).succeeds();
    context.write("here/never", "");
    context.run(&["up", "-d"]).succeeds();
    context.await_status("a", "running");
    for name in ["b", "c"] {
        assert_eq!(context.daemon(name)["status"], "stopped", "{name}");
    }
    context.run(&["up", "--wait", "b"]).succeeds();
    context.down();
}
