//! How long `rigup up --wait` waits, and when it gives up.

use std::fs;
use std::time::{Duration, Instant};

use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Returns a daemon that fails with this code until it was started often enough.
fn fails_before_start(number: u32, code: u32) -> String {
    format!(
        "[daemons.a]\nshell = true\nrestart_delay = '5ms'\nrestart_delay_max = '5ms'\n\
         command = 'echo >>starts; [ $(wc -l <starts) -ge {number} ] || exit {code}; exec sleep 600'\n"
    )
}

#[test]
fn up_wait_fails_for_a_daemon_that_fails_right_after_its_start() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'false'\nrestart = 'no'\n");
    context.run(&["up", "--wait"]).exits_with(1).stderr_contains("error: a: failed: exit 1\n");
    context.down();
}

#[test]
fn up_wait_fails_after_three_failed_starts_and_names_the_error() {
    let context = TestContext::with_manifest(&fails_before_start(100_000, 3));
    let expected = "a: it failed 3 times before it was ready: exit 3\n";
    context.run(&["up", "--wait"]).exits_with(1).stderr_contains(expected);
    assert!(context.executions("a").len() >= 3);
    context.down();
}

#[test]
fn promise_12_up_wait_succeeds_if_the_third_start_does() {
    let context = TestContext::with_manifest(&fails_before_start(3, 3));
    context.run(&["up", "--wait"]).succeeds();
    let daemon = context.daemon("a");
    assert_eq!((&daemon["status"], &daemon["restarts"]), (&"running".into(), &2.into()));
    context.down();
}

#[test]
fn a_wait_timeout_alone_decides_how_long_a_daemon_may_fail() {
    let context = TestContext::with_manifest(&fails_before_start(8, 3));
    context.run(&["up", "--wait", "--wait-timeout", "60"]).succeeds();
    assert_eq!(context.daemon("a")["restarts"], 7);
    context.down();
}

#[test]
fn an_expired_wait_timeout_names_what_is_not_ready() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'false'\nrestart_delay = 600\nrestart_delay_max = 600\n\
         [daemons.b]\ncommand = 'sleep 600'\nready = {file = 'never'}\n[daemons.c]\ncommand = 'sleep 601'\n\
         [daemons.d]\nshell = true\ncommand = 'exit 4'\nrestart = 'no'\n",
    );
    let expected = "not ready within 1 s: a (backoff: exit 1), b (starting), d (failed: exit 4)";
    context.run(&["up", "--wait", "--wait-timeout", "1"]).exits_with(1).stderr_contains(expected);
    context.down();
}

#[test]
fn up_wait_names_every_daemon_that_has_failed_or_is_not_ready() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nready = {file = 'never', timeout = '2s'}\n\
         [daemons.b]\nshell = true\ncommand = 'exit 3'\nrestart = 'no'\n\
         [daemons.c]\ncommand = 'sleep 601'\ndepends_on = ['a']\n[daemons.d]\ncommand = 'sleep 602'\n\
         [daemons.e]\ncommand = 'sleep 603'\nready = {file = 'never', timeout = '2.1s'}\n",
    );
    let up = context.run(&["up", "--wait"]).exits_with(1);
    let errors: Vec<&str> = up.stderr.lines().collect();
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(errors[0].starts_with("error: a: it was not ready within 2 s ("), "{errors:?}");
    assert_eq!(errors[1], "error: b: failed: exit 3");
    assert_eq!(errors[2], "error: c: waiting");
    assert!(errors[3].starts_with("error: e: it was not ready within 2.1 s ("), "{errors:?}");
    context.down();
}

#[test]
fn a_program_that_does_not_exist_never_counts_as_ready() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'no-such-program'\nrestart = 'no'\n\
         [daemons.b]\ncommand = 'sleep 600'\ndepends_on = ['a']\n",
    );
    context.run(&["up", "--wait"]).exits_with(1).stderr_contains("a: failed: ");
    assert_eq!(context.daemon("b")["status"], "failed");
    assert!(context.executions("b").is_empty());
    context.down();
}

#[test]
fn up_wait_names_a_dependency_that_is_stopped() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'sleep 601'\ndepends_on = ['a']\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.run(&["stop", "a"]).succeeds();
    context.run(&["down"]).succeeds();
    context.run(&["up", "--wait"]).exits_with(1).stderr_contains("it waits for a, which is stopped");
    context.down();
}

#[test]
fn after_down_up_starts_only_the_named_daemons() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'sleep 601'\n",
    );
    context.run(&["up", "--wait"]).succeeds();
    context.run(&["down"]).succeeds();
    context.run(&["up", "--wait", "a"]).succeeds();
    assert_eq!(context.daemon("b")["status"], "stopped");
    context.run(&["up", "--wait"]).succeeds();
    assert_eq!(context.daemon("b")["status"], "running");
    context.down();
}

#[test]
fn a_check_that_hangs_does_not_extend_the_time_to_become_ready() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nready = {exec = 'sleep 601', timeout = '200ms'}\nrestart = 'no'\n",
    );
    let began = Instant::now();
    context.run(&["up", "--wait"]).exits_with(1);
    assert!(began.elapsed() < Duration::from_secs(10));
    context.down();
}

#[test]
fn up_wait_of_a_name_waits_for_that_and_what_it_depends_on() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'false'\nrestart = 'no'\n[daemons.h]\ncommand = 'sleep 600'\n\
         [daemons.d]\ncommand = 'sleep 601'\ndepends_on = ['p']\n\
         [daemons.p]\ncommand = 'sleep 602'\nready = {file = 'never', timeout = 60}\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.await_status("a", "failed");
    context.await_status("p", "starting");
    context.run(&["up", "--wait", "h"]).succeeds();
    let up = context.run(&["up", "--wait", "--wait-timeout", "1", "d"]).exits_with(1);
    assert_eq!(up.stderr, "error: not ready within 1 s: d (waiting), p (starting)\n");
    context.down();
}

#[test]
fn up_of_a_name_does_not_start_others_that_have_failed() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'false'\nrestart = 'no'\n[daemons.h]\ncommand = 'sleep 600'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.await_status("a", "failed");
    context.run(&["up", "--wait", "h"]).succeeds();
    assert_eq!((context.daemon("a")["status"].clone(), context.executions("a").len()), ("failed".into(), 1));
    context.run(&["up", "-d"]).succeeds();
    wait_until("a was started again", || context.executions("a").len() == 2);
    context.await_status("a", "failed");
    context.down();
}

#[test]
fn failures_before_up_wait_do_not_count() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = '[ -e go ] || exit 3; exec sleep 600'\n\
         restart_delay = '500ms'\nrestart_delay_max = '500ms'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("it has failed three times", || context.executions("a").len() == 3);
    context.await_status("a", "backoff");
    fs::write(context.path("here/go"), "").unwrap();
    context.run(&["up", "--wait"]).succeeds();
    context.down();
}

#[test]
fn up_wait_fails_if_a_daemon_is_stopped_meanwhile() {
    let a = "[daemons.a]\nshell = true\nready = {file = 'never', timeout = 60}\n\
        command = 'trap \"until [ -e go ]; do sleep .01; done; exit\" TERM; sleep 600 & wait'\n";
    let both = format!("{a}[daemons.b]\ncommand = 'sleep 601'\ndepends_on = ['a']\n");
    for (manifest, stop, expected) in [
        (a, &["stop", "a"][..], "error: a: it was stopped\n"),
        (a, &["down"], "error: a: it was stopped\n"),
        (
            &both,
            &["stop", "a"],
            "error: a: it was stopped\n\
             error: b: it waits for a, which is stopped; start that with `rigup start a`\n",
        ),
        (&both, &["down"], "error: a: it was stopped\nerror: b: it was stopped\n"),
    ] {
        for args in [&["up", "--wait"][..], &["up", "--wait", "--wait-timeout", "60"]] {
            let context = TestContext::with_manifest(manifest);
            let up = context.start(args);
            wait_until("a starts", || context.daemons().first().is_some_and(|name| name == "a"));
            context.await_status("a", "starting");
            let stop = context.start(stop);
            let up = CommandOutput::new(args, &up.wait_with_output().unwrap()).exits_with(1);
            assert_eq!(up.stderr, expected);
            fs::write(context.path("here/go"), "").unwrap();
            CommandOutput::new(&["stop"], &stop.wait_with_output().unwrap()).succeeds();
            context.down();
        }
    }
}

#[test]
fn up_wait_fails_if_another_up_declares_a_daemon_no_more() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n\
         [daemons.b]\ncommand = 'sleep 601'\nready = {file = 'never', timeout = 60}\n",
    );
    let args = ["up", "--wait"];
    let up = context.start(&args);
    wait_until("both are known", || context.daemons() == ["a", "b"]);
    context.await_status("b", "starting");
    context.write("here/rigup.toml", "[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d"]).succeeds().stderr_contains("b is no longer declared, and still runs");
    let up = CommandOutput::new(&args, &up.wait_with_output().unwrap()).exits_with(1);
    up.stderr_contains("error: b: it is no longer declared\n");
    context.down();
}

#[test]
fn up_wait_names_the_logs_only_of_a_daemon_that_has_written_something() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'echo no disk; exit 3'\nrestart = 'no'\n\
         [daemons.b]\nshell = true\ncommand = 'exit 4'\nrestart = 'no'\n\
         [daemons.c]\ncommand = 'true'\nworking_dir = 'none'\nrestart = 'no'\n\
         [daemons.d]\nshell = true\ncommand = 'x=$(head -c 64000000 /dev/zero | tr \"\\0\" x); sleep 600'\n\
         memory_max = '8MiB'\nrestart = 'no'\nready = {file = 'never'}\n",
    );
    let up = context.run(&["up", "--wait"]).exits_with(1);
    let errors: Vec<&str> = up.stderr.lines().collect();
    assert_eq!(errors[..2], ["error: a: failed: exit 3; see `rigup logs a`", "error: b: failed: exit 4"]);
    assert!(errors[2].starts_with("error: c: failed: its working_dir "), "{errors:?}");
    assert!(errors[2].ends_with("/none is not a folder"), "{errors:?}");
    assert!(errors[3].starts_with("error: d: failed: ") && errors[3].contains("memory"), "{errors:?}");
    assert!(!errors[3].contains("rigup logs"), "{errors:?}");
    context.down();
}
