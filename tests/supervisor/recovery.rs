//! Supervisors that are killed, that are started at once, or that get another manifest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use crate::test_context::{TestContext, signal, wait_until};

/// Returns the pid and the start time of the current execution of a daemon.
fn identity(context: &TestContext, name: &str) -> (Value, Value) {
    let id = context.daemon(name)["process_id"].as_str().unwrap().to_owned();
    let process = context.run(&["process", "show", &id]).succeeds().record();
    (process["pid"].clone(), process["start_ticks"].clone())
}

#[test]
fn promise_08_a_new_supervisor_restarts_nothing_and_knows_true_codes() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n\
         [daemons.b]\nshell = true\ncommand = 'until [ -e go ]; do sleep 0.01; done; exit 7'\nrestart = 'no'\n\
         [daemons.c]\nshell = true\ncommand = 'until [ -e go ]; do sleep 0.01; done; exit 8'\nrestart_delay = 600\n\
         restart_delay_max = 600\n",
    );
    context.run(&["up", "--wait"]).succeeds();
    let before = identity(&context, "a");
    context.kill_supervisor();
    assert_eq!(context.daemon("a")["status"], "running", "it is shown without a supervisor");
    context.write("here/go", "");
    wait_until("the daemons have ended", || context.count_live("sh -c until") == 0);
    wait_until("their exits are stored", || {
        ["b", "c"].iter().all(|name| context.executions(name)[0]["status"] == "exited")
    });
    context.run(&["up", "-d"]).succeeds();
    assert_eq!(identity(&context, "a"), before);
    context.run(&["wait", "b"]).exits_with(7);
    let (b, c) = (context.daemon("b"), context.daemon("c"));
    assert_eq!((&b["status"], &b["last_error"]), (&"failed".into(), &"exit 7".into()));
    assert_eq!((&c["status"], &c["exit_code"]), (&"backoff".into(), &8.into()));
    for name in ["a", "b", "c"] {
        assert_eq!(context.executions(name).len(), 1, "{name} was not started again");
    }
    // The new supervisor observes and stops what it has taken over.
    context.run(&["stop", "a"]).succeeds();
    assert_eq!(context.count_live("sleep"), 0);
    context.down();
}

#[test]
fn promise_09_what_a_killed_supervisor_left_blocks_no_start() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "--wait"]).succeeds();
    context.kill_supervisor();
    assert!(context.path("data/supervisor.sock").exists());
    for name in ["ps", "down"] {
        context.run(&[name]).succeeds();
    }
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    context.run(&["up", "-d"]).succeeds();
    context.await_status("a", "running");
    context.down();
    assert!(!context.path("data/supervisor.sock").exists());
}

#[test]
fn promise_09_a_foreign_file_in_place_of_the_socket_is_refused() {
    for args in [&["up"][..], &["up", "-d"], &["up", "--wait"]] {
        let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
        let socket = context.write("data/supervisor.sock", "mine");
        let began = Instant::now();
        let expected = format!("{} is not a socket; remove it", socket.display());
        context.run(args).exits_with(3).stderr_contains(&expected);
        assert!(began.elapsed() < Duration::from_secs(2), "{args:?}");
        assert_eq!(fs::read_to_string(&socket).unwrap(), "mine");
        wait_until("nothing runs", || context.live_processes().is_empty());
        assert!(context.executions("a").is_empty());
    }
}

#[test]
fn promise_09_a_live_socket_of_another_program_is_refused() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    let socket = context.write("data/supervisor.sock", "");
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let expected = format!("another program listens at {}; end it", socket.display());
    context.run(&["up"]).exits_with(3).stderr_contains(&expected);
    assert!(socket.exists() && context.live_processes().is_empty());
    drop(listener);
    context.run(&["up", "-d"]).succeeds();
    context.down();
}

#[test]
fn promise_20_only_the_owner_can_read_the_log_and_the_sockets() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = '\"$RIGUP\" hook ready; exec sleep 600'\nready = {notify = true}\n",
    );
    let log = context.write("data/supervisor.log", "");
    fs::remove_file(&log).unwrap();
    mkfifo(&log, Mode::S_IRWXU).unwrap();
    context.run(&["up", "-d"]).exits_with(3).stderr_contains("it is not a regular file; remove it");
    fs::remove_file(&log).unwrap();
    context.run(&["up", "-d", "--wait"]).succeeds();
    let id = context.daemon("a")["process_id"].as_str().unwrap().to_owned();
    let notify = context.path("data/processes").join(id).join("notify.sock");
    for path in [log, context.path("data/supervisor.sock"), notify] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    context.down();
}

#[test]
fn down_returns_when_the_supervisor_has_exited() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    for _ in 0..5 {
        context.run(&["up", "-d"]).succeeds();
        context.run(&["down"]).succeeds();
        assert!(context.supervisors().is_empty());
    }
    context.down();
}

#[test]
fn promise_10_eight_ups_at_once_start_one_supervisor_and_one_copy() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'sleep 601'\ndepends_on = ['a']\n",
    );
    context.run_concurrently(8, &["up", "-d"]);
    wait_until("one supervisor is left", || context.supervisors().len() == 1);
    context.await_status("b", "running");
    assert_eq!((context.count_live("sleep 600"), context.count_live("sleep 601")), (1, 1));
    assert_eq!((context.executions("a").len(), context.executions("b").len()), (1, 1));
    context.down();
}

#[test]
fn promise_14_another_manifest_touches_only_the_daemons_that_changed() {
    let manifest = |limit: &str, value: &str| {
        format!(
            "[daemons.a]\ncommand = 'sleep 600'\nrestart_limit = '{limit}'\n\
             [daemons.b]\ncommand = 'sleep 601'\nenv = {{X = '{value}'}}\n\
             [daemons.c]\ncommand = 'sleep 602'\ndepends_on = ['b']\n"
        )
    };
    let context = TestContext::with_manifest(&manifest("5/60s", "1"));
    context.run(&["up", "--wait"]).succeeds();
    let pids = || ["a", "b", "c"].map(|name| context.daemon(name)["pid"].clone());
    let [a, b, c] = pids();
    context.write("here/rigup.toml", manifest("6/60s", "1"));
    context.run(&["up", "--wait"]).succeeds();
    assert_eq!(pids(), [a.clone(), b.clone(), c.clone()]);
    context.write("here/rigup.toml", manifest("6/60s", "2"));
    context.run(&["up", "--wait"]).succeeds();
    let [now_a, now_b, now_c] = pids();
    assert_eq!((now_a, now_c), (a, c));
    assert_ne!(now_b, b);
    let environ = fs::read(format!("/proc/{now_b}/environ")).unwrap();
    assert!(environ.split(|byte| *byte == 0).any(|variable| variable == b"X=2"));
    // A killed supervisor makes no difference.
    context.kill_supervisor();
    context.write("here/rigup.toml", manifest("6/60s", "3"));
    let [a, b, c] = pids();
    context.run(&["up", "--wait"]).succeeds();
    let [now_a, now_b, now_c] = pids();
    assert_eq!((now_a, now_c), (a, c));
    assert_ne!(now_b, b);
    context.down();
}

#[test]
fn promise_14_orphans_are_named_and_stopped_only_on_request() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'sleep 601'\n",
    );
    context.run(&["up", "--wait"]).succeeds();
    context.write("here/rigup.toml", "[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "--wait"]).succeeds().stderr_contains("b is no longer declared");
    assert_eq!(context.daemon("b")["status"], "running");
    context.run(&["up", "--wait", "--remove-orphans"]).succeeds();
    wait_until("the orphan is stopped", || context.count_live("sleep 601") == 0);
    context.down();
}

#[test]
fn promise_20_the_path_of_the_data_dir_may_be_long() {
    let mut context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    let data = context.path(&"d".repeat(200));
    context.set("RIGUP_DATA_DIR", &data);
    context.run(&["up", "--wait"]).succeeds();
    let mode = fs::metadata(data.join("supervisor.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    context.run(&["restart", "a"]).succeeds();
    wait_until("it was restarted", || context.executions("a").len() == 2);
    context.await_status("a", "running");
    context.down();
}

#[test]
fn promise_08_a_daemon_without_waiter_is_adopted_and_its_exit_is_lost() {
    for has_supervisor in [true, false] {
        let context =
            TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\nrestart_delay = '10ms'\n");
        context.run(&["up", "--wait"]).succeeds();
        let before = identity(&context, "a");
        if !has_supervisor {
            context.kill_supervisor();
        }
        let waiters = || context.live_processes().into_iter().filter(|(_, line)| line.contains(" waiter "));
        waiters().for_each(|(pid, _)| signal(pid, Signal::SIGKILL));
        wait_until("the waiter is dead", || waiters().count() == 0);
        context.run(&["up", "--wait"]).succeeds();
        assert_eq!(identity(&context, "a"), before);
        signal(u32::try_from(before.0.as_u64().unwrap()).unwrap(), Signal::SIGKILL);
        wait_until("it was restarted", || context.executions("a").len() == 2);
        assert_eq!(context.executions("a")[0]["exit_reason"], "lost");
        assert_eq!(context.await_status("a", "running")["restarts"], 1);
        context.down();
    }
}

#[test]
fn promise_09_a_start_while_everything_is_stopped_is_not_lost() {
    let (context, down) = TestContext::with_down_that_waits();
    let up = context.start(&["up", "-d"]);
    let socket = context.path("data/supervisor.sock").display().to_string();
    wait_until("the second client is connected", || {
        let sockets = fs::read_to_string("/proc/net/unix").unwrap();
        sockets.lines().filter(|line| line.ends_with(&socket)).count() == 3
    });
    context.write("here/go", "");
    assert!(down.wait_with_output().unwrap().status.success());
    assert!(up.wait_with_output().unwrap().status.success());
    context.await_status("a", "running");
    context.down();
}

#[test]
fn a_secret_is_not_stored_and_restarts_nothing() {
    let context =
        TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\nenv = { API_TOKEN = 'hush-hush' }\n");
    context.run(&["up", "-d", "--wait"]).succeeds();
    let pid = context.daemon("a")["pid"].clone();
    context.kill_supervisor();
    context.run(&["up", "-d", "--wait"]).succeeds();
    assert_eq!(context.daemon("a")["pid"], pid, "the same process");
    context.down();
    let spec: String = context.store().query_row("SELECT spec FROM daemon", [], |row| row.get(0)).unwrap();
    assert!(spec.contains("API_TOKEN") && !spec.contains("hush-hush"), "{spec}");
}

#[test]
fn promise_03_a_killed_supervisor_does_not_shorten_the_backoff() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'exit 7'\nrestart_delay = 300\nrestart_delay_max = 600\n",
    );
    context.run(&["up", "-d"]).succeeds();
    let before = context.await_status("a", "backoff");
    context.kill_supervisor();
    context.run(&["up", "-d"]).succeeds();
    let after = context.await_status("a", "backoff");
    assert_eq!((&after["last_error"], &after["exit_code"]), (&"exit 7".into(), &7.into()));
    let millis = |record: &Value| {
        let time = record["next_start_at"].as_str().unwrap();
        time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    };
    assert!((millis(&after) - millis(&before)).abs() < 1000, "{before} {after}");
    assert_eq!(context.executions("a").len(), 1);
    // Another command is tried at once.
    context.write("here/rigup.toml", "[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "--wait"]).succeeds();
    context.down();
}

#[test]
fn promise_04_restarts_before_a_kill_count_for_the_limit_and_the_delay() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = '[ -e go ] || exec sleep 600; exit 7'\n\
         restart_delay = '10ms'\nrestart_limit = '2/600s'\n",
    );
    context.run(&["up", "--wait"]).succeeds();
    let fail = |restarts: u32| {
        let pid = u32::try_from(context.daemon("a")["pid"].as_u64().unwrap()).unwrap();
        signal(pid, Signal::SIGKILL);
        wait_until("it was restarted", || context.daemon("a")["restarts"] == restarts);
        context.await_status("a", "running");
    };
    fail(1);
    context.kill_supervisor();
    context.run(&["up", "--wait"]).succeeds();
    assert_eq!(context.daemon("a")["restarts"], 1);
    fail(2);
    context.kill_supervisor();
    // It fails for the third time while no supervisor runs.
    context.write("here/go", "");
    let pid = u32::try_from(context.daemon("a")["pid"].as_u64().unwrap()).unwrap();
    signal(pid, Signal::SIGKILL);
    wait_until("its exit is stored", || context.executions("a")[2]["status"] == "exited");
    context.run(&["up", "-d"]).succeeds();
    let failed = context.await_status("a", "failed");
    let problem = failed["last_error"].as_str().unwrap();
    assert!(problem.ends_with("it was restarted 2 times within 600s"), "{problem}");
    assert_eq!(context.executions("a").len(), 3);
    context.down();
}

#[test]
fn a_stop_by_hand_ends_with_down_only_for_a_daemon_with_always() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nrestart = 'always'\n\
         [daemons.b]\ncommand = 'sleep 601'\nrestart = 'unless-stopped'\n",
    );
    context.run(&["up", "--wait"]).succeeds();
    context.run(&["stop", "a", "b"]).succeeds();
    let statuses = || ["a", "b"].map(|name| context.daemon(name)["status"].clone());
    context.run(&["up", "--wait"]).succeeds();
    assert_eq!(statuses(), ["stopped", "stopped"], "the supervisor remembers it");
    context.kill_supervisor();
    context.run(&["up", "--wait"]).succeeds();
    assert_eq!(statuses(), ["stopped", "stopped"], "so does the one after a crash");
    context.down();
    context.run(&["up", "--wait"]).succeeds();
    assert_eq!(statuses(), ["running", "stopped"]);
    context.down();
}

#[test]
fn without_a_supervisor_no_dead_daemon_is_shown_as_stopping() {
    let (context, mut down) = TestContext::with_down_that_waits();
    context.await_status("a", "stopping");
    // Otherwise it would stop the daemon itself.
    down.kill().unwrap();
    down.wait().unwrap();
    context.kill_supervisor();
    assert_eq!(context.daemon("a")["status"], "stopping", "it still runs");
    context.write("here/go", "");
    wait_until("it has ended", || context.daemon("a")["pid"].is_null());
    assert_eq!(context.daemon("a")["status"], "stopped");
    context.down();
}

#[test]
fn promise_14_a_changed_dependency_restarts_the_dependents_that_want_it() {
    let manifest = |value: &str| {
        format!(
            "[daemons.db]\ncommand = 'sleep 600'\nenv = {{X = '{value}'}}\n\
             [daemons.web]\ncommand = 'sleep 601'\ndepends_on = {{db = {{restart = true}}}}\n\
             [daemons.app]\ncommand = 'sleep 602'\ndepends_on = ['db']\n"
        )
    };
    let context = TestContext::with_manifest(&manifest("1"));
    context.run(&["up", "--wait"]).succeeds();
    let pids = || ["db", "web", "app"].map(|name| context.daemon(name)["pid"].clone());
    let before = pids();
    context.run(&["restart", "db"]).succeeds();
    context.run(&["up", "--wait"]).succeeds();
    let restarted = pids();
    assert!(restarted[0] != before[0] && restarted[1] != before[1] && restarted[2] == before[2]);
    context.write("here/rigup.toml", manifest("2"));
    context.run(&["up", "--wait"]).succeeds();
    let changed = pids();
    assert!(changed[0] != restarted[0] && changed[1] != restarted[1] && changed[2] == before[2]);
    context.down();
}

#[test]
fn without_a_supervisor_ps_says_how_daemons_have_ended() {
    let end = |name: &str, code: i32, rest: &str| {
        format!(
            "[daemons.{name}]\nshell = true\ncommand = 'until [ -e go ]; do sleep 0.01; done; exit {code}'\n{rest}\n"
        )
    };
    let manifest = [end("done", 0, ""), end("again", 3, ""), end("bad", 3, "restart = 'no'")].concat();
    let context = TestContext::with_manifest(&manifest);
    context.run(&["up", "-d"]).succeeds();
    for name in ["done", "again", "bad"] {
        context.await_status(name, "running");
    }
    context.kill_supervisor();
    context.write("here/go", "");
    wait_until("all have ended", || context.count_live("sh -c until") == 0);
    for (name, status) in [("done", "exited"), ("again", "backoff"), ("bad", "failed")] {
        wait_until(&format!("{name} is {status}"), || context.daemon(name)["status"] == status);
    }
    context.down();
}
