//! Health checks: what they report, what follows from it, and how they end.

use std::time::{Duration, Instant};

use crate::test_context::{TestContext, wait_until};

impl TestContext {
    /// Waits until a daemon has this health.
    #[track_caller]
    fn await_health(&self, name: &str, health: &str) {
        wait_until(&format!("{name} is {health}"), || self.daemon(name)["health"] == health);
    }
}

#[test]
fn health_follows_the_checks_and_is_kept_by_the_next_supervisor() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n\
         healthcheck = {test = 'echo checked >>checks; [ -e good ]', interval = '20ms', retries = 2}\n\
         [daemons.b]\ncommand = 'sleep 601'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    assert_eq!(context.daemon("b")["health"], "none");
    context.await_health("a", "unhealthy");
    let unhealthy = context.daemon("a");
    assert_eq!((&unhealthy["status"], &unhealthy["restarts"]), (&"running".into(), &0.into()));
    let problem = unhealthy["last_error"].as_str().unwrap();
    assert!(problem.starts_with("unhealthy: sh -c ") && problem.ends_with(" exits with 1"), "{problem}");
    let table = context.run(&["ps", "--format", "table"]).succeeds().stdout;
    assert!(table.lines().next().unwrap().contains("HEALTH"), "{table}");
    context.write("here/good", "");
    context.await_health("a", "healthy");
    let pid = context.daemon("a")["pid"].clone();
    context.kill_supervisor();
    assert_eq!(context.daemon("a")["health"], "healthy");
    std::fs::remove_file(context.path("here/good")).unwrap();
    context.run(&["up", "-d"]).succeeds();
    context.await_health("a", "unhealthy");
    assert_eq!(context.daemon("a")["pid"], pid);
    context.run(&["stop", "a"]).succeeds();
    assert_eq!(context.daemon("a")["health"], "none");
    context.down();
}

#[test]
fn an_unhealthy_daemon_is_restarted_if_it_says_so() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\non_unhealthy = 'restart'\nrestart_delay = '10ms'\n\
         healthcheck = {test = '[ -e good ]', interval = '20ms', retries = 1}\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("it was restarted", || context.executions("a").len() > 1);
    context.write("here/good", "");
    context.await_health("a", "healthy");
    let daemon = context.daemon("a");
    assert!(daemon["restarts"].as_u64().unwrap() > 0, "{daemon}");
    assert_eq!(context.executions("a")[0]["exit_reason"], "stopped");
    context.down();
}

#[test]
fn service_healthy_and_up_wait_wait_for_the_health_check() {
    let context = TestContext::with_manifest(
        "[daemons.db]\ncommand = 'sleep 600'\n\
         healthcheck = {test = ['CMD', 'test', '-e', 'good'], interval = '20ms', retries = 100000}\n\
         [daemons.web]\ncommand = 'sleep 601'\ndepends_on = {db = {condition = 'service_healthy'}}\n",
    );
    let up = context.start(&["up", "--wait"]);
    wait_until("db runs", || context.count_live("sleep 600") == 1);
    assert_eq!(context.await_status("web", "waiting")["health"], "none");
    context.write("here/good", "");
    assert!(up.wait_with_output().unwrap().status.success());
    assert_eq!(context.daemon("web")["status"], "running");
    context.down();
}

#[test]
fn up_wait_fails_for_an_unhealthy_daemon() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n\
         healthcheck = {test = 'echo no answer; exit 2', interval = '20ms', retries = 2}\n",
    );
    let expected = "a: unhealthy: sh -c 'echo no answer; exit 2' exits with 2: no answer\n";
    context.run(&["up", "--wait"]).exits_with(1).stderr_contains(expected);
    context.down();
}

#[test]
fn a_check_is_killed_at_its_timeout_and_at_the_end_of_its_daemon() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n\
         healthcheck = {test = 'sleep 601 & sleep 602; true', interval = '20ms', timeout = '200ms', retries = 1}\n\
         [daemons.b]\nshell = true\ncommand = 'until [ -e go ]; do sleep 0.01; done'\nrestart = 'no'\n\
         healthcheck = {test = 'sleep 603 & sleep 604; true', interval = '20ms', timeout = 600}\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.await_health("a", "unhealthy");
    let problem = context.daemon("a")["last_error"].clone();
    assert!(problem.as_str().unwrap().ends_with("takes longer than 0.2 s"), "{problem}");
    wait_until("the check of b runs", || context.count_live("sleep 604") > 0);
    context.write("here/go", "");
    wait_until("the check of b is killed", || {
        context.count_live("sleep 603") + context.count_live("sleep 604") == 0
    });
    let began = Instant::now();
    context.run(&["stop", "a"]).succeeds();
    wait_until("the check of a is killed", || context.count_live("sleep") == 0);
    assert!(began.elapsed() < Duration::from_secs(5));
    context.down();
}

#[test]
fn a_new_health_check_counts_without_a_restart() {
    let manifest = |healthcheck: &str| format!("[daemons.a]\ncommand = 'sleep 600'\n{healthcheck}\n");
    let context = TestContext::with_manifest(&manifest(""));
    context.run(&["up", "-d"]).succeeds();
    let before = context.await_status("a", "running");
    assert_eq!(before["health"], "none");
    for (test, health) in [("true", "healthy"), ("false", "unhealthy")] {
        let check = format!("healthcheck = {{test = '{test}', interval = '20ms', retries = 1}}");
        context.write("here/rigup.toml", manifest(&check));
        context.run(&["up", "-d"]).succeeds();
        context.await_health("a", health);
    }
    context.write("here/rigup.toml", manifest(""));
    context.run(&["up", "-d"]).succeeds();
    context.await_health("a", "none");
    assert_eq!(context.daemon("a")["pid"], before["pid"]);
    context.down();
}

#[test]
fn a_liveness_probe_of_process_compose_restarts_its_process() {
    let context = TestContext::new();
    context.write(
        "here/process-compose.yaml",
        "processes:\n  a:\n    command: exec sleep 600\n    availability: {restart: on_failure, backoff_seconds: 0}\n    \
         liveness_probe: {exec: {command: '[ -e good ]'}, period_seconds: 1, failure_threshold: 1}\n",
    );
    context.run(&["up", "-d", "-f", "process-compose.yaml"]).succeeds();
    wait_until("it was restarted", || context.executions("a").len() == 2);
    context.write("here/good", "");
    context.await_health("a", "healthy");
    context.down();
}
