//! What `rigup up` finds after everything that supervised the daemons is gone: other processes were killed, too, or the
//! machine was restarted.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

/// Kills the supervisor, the waiters and the daemons, as the end of the machine or of a container does.
fn kill_everything(context: &TestContext) {
    // Each first: a waiter that lives records the exit of its daemon.
    for kind in [" supervise", " waiter "] {
        context.kill_live(|line| format!("{line} ").contains(kind));
    }
    context.kill_live(|_| true);
}

#[test]
fn ps_shows_no_daemon_as_running_that_died_unobserved() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "--wait"]).succeeds();
    kill_everything(&context);
    assert_eq!(context.run(&["ps"]).succeeds().stdout, "");
    let a = context.daemon("a");
    assert_eq!((&a["status"], &a["pid"], &a["exit_reason"]), (&"stopped".into(), &().into(), &"lost".into()));
    context.run(&["wait", "a"]).exits_with(1);
    context.down();
}

#[test]
fn the_first_up_after_a_reboot_starts_everything() {
    let manifest = "[daemons.a]\ncommand = 'sleep 600'\nrestart = 'no'\n\
        [daemons.b]\ncommand = 'true'\nrestart = 'no'\n\
        [daemons.c]\ncommand = 'sleep 601'\nrestart_delay = 600\nrestart_delay_max = 600\n\
        [daemons.d]\ncommand = 'sleep 602'\n";
    for is_reboot in [true, false] {
        let context = TestContext::with_manifest(manifest);
        context.run(&["up", "--wait"]).succeeds();
        context.run(&["stop", "d"]).succeeds();
        kill_everything(&context);
        if is_reboot {
            let sql = "UPDATE process SET boot_id = '00000000-0000-4000-8000-000000000000'";
            context.store().execute(sql, []).unwrap();
        }
        context.run(&["up", "-d"]).succeeds();
        if is_reboot {
            context.await_status("a", "running");
            wait_until("b runs again", || context.executions("b").len() == 2);
            context.await_status("b", "exited");
            context.await_status("c", "running");
        } else {
            // Of this boot, the lost executions are failures, and what has succeeded stays so.
            context.await_status("a", "failed");
            context.await_status("c", "backoff");
            assert_eq!(context.executions("b").len(), 1);
        }
        assert_eq!(context.daemon("d")["status"], "stopped", "a stop is remembered");
        context.down();
    }
}

/// A daemon that ends on TERM only once the file `go` exists.
const SLOW: &str = "[daemons.a]\nshell = true\nstop_grace_period = 30\n\
    command = 'trap \": >stop; until [ -e go ]; do sleep 0.05; done; exit\" TERM; : >up; sleep 600 & wait'\n";

#[test]
fn up_in_the_foreground_supervises_once_a_stop_by_another_command_is_over() {
    let context = TestContext::with_manifest(SLOW);
    context.run(&["up", "-d"]).succeeds();
    wait_until("it has set its trap", || context.path("here/up").exists());
    context.kill_supervisor();
    let down = context.start(&["down"]);
    wait_until("it is being stopped", || context.path("here/stop").exists());
    let up = context.start(&["up"]);
    let lock = || fs::read_to_string(context.path("data/supervisor.lock")).unwrap();
    assert_eq!(lock(), format!("{} stop\n", down.id()));
    context.write("here/go", "");
    assert!(down.wait_with_output().unwrap().status.success());
    context.await_status("a", "running");
    assert_eq!(lock(), format!("{}\n", up.id()));
    context.down();
    assert!(up.wait_with_output().unwrap().status.success());
}

#[test]
#[ignore = "takes eleven seconds"]
fn up_waits_for_a_down_that_takes_more_than_ten_seconds() {
    let check = |has_supervisor: bool| {
        let context = TestContext::with_manifest(SLOW);
        context.run(&["up", "-d"]).succeeds();
        wait_until("it has set its trap", || context.path("here/up").exists());
        if !has_supervisor {
            context.kill_supervisor();
        }
        let down = context.start(&["down"]);
        wait_until("it is being stopped", || context.path("here/stop").exists());
        let (began, mut up) = (Instant::now(), context.start(&["up", "-d"]));
        wait_until("more than ten seconds are over", || began.elapsed() > Duration::from_secs(11));
        assert_eq!(up.try_wait().unwrap(), None);
        context.write("here/go", "");
        assert!(down.wait_with_output().unwrap().status.success());
        assert!(up.wait_with_output().unwrap().status.success());
        context.await_status("a", "running");
        context.down();
    };
    std::thread::scope(|scope| {
        for has_supervisor in [true, false] {
            scope.spawn(move || check(has_supervisor));
        }
    });
}

#[test]
#[ignore = "takes ten seconds"]
fn every_command_names_a_supervisor_that_does_not_answer_within_10_s() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "--wait"]).succeeds();
    let [supervisor] = context.supervisors()[..] else { panic!("one supervisor runs") };
    signal(supervisor, Signal::SIGSTOP);
    let expected = format!(
        "process {supervisor} does not answer within 9 s; continue it with `kill -CONT {supervisor}`"
    );
    let commands: [&[&str]; 7] = [
        &["up"],
        &["up", "-d"],
        &["down"],
        &["start", "a"],
        &["stop", "a"],
        &["restart", "a"],
        &["wait", "a"],
    ];
    let began = Instant::now();
    let children = commands.map(|args| (args, context.start(args)));
    for (args, child) in children {
        let output = CommandOutput::new(args, &child.wait_with_output().unwrap());
        output.exits_with(3).stderr_contains(&expected);
    }
    assert!(began.elapsed() < Duration::from_secs(15));
    assert_eq!(context.daemon("a")["status"], "running", "`ps` needs no supervisor");
    signal(supervisor, Signal::SIGCONT);
    // A supervisor whose socket was removed does not answer, either.
    let socket = context.path("data/supervisor.sock");
    fs::remove_file(&socket).unwrap();
    let expected = format!(
        "process {supervisor} does not answer within 9 s, because {} was removed; end it with `kill -KILL",
        socket.display()
    );
    context.run(&["up", "-d"]).exits_with(3).stderr_contains(&expected);
    context.kill_supervisor();
    context.down();
}
