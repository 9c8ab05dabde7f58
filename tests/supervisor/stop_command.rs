//! Commands that stop daemons in place of a signal, and signals to the daemon alone.

use std::time::{Duration, Instant};

use crate::test_context::{TestContext, wait_until};

/// A daemon that ignores TERM, and ends when the file `end` appears in its folder.
const PATIENT: &str = "[daemons.a]\nshell = true\nworking_dir = 'work'\nenv = { SECRET_TOKEN = 'x y' }\n\
    command = 'trap \"echo TERM >>signals\" TERM; until [ -e end ]; do sleep 0.02; done; exit 5'\n";

/// A context with such a daemon and its stop command, in which it runs.
fn running(stop_command: &str) -> TestContext {
    let context = TestContext::with_manifest(&format!("{PATIENT}{stop_command}"));
    std::fs::create_dir(context.path("here/work")).unwrap();
    context.run(&["up", "--wait"]).succeeds();
    context
}

#[test]
fn a_stop_command_has_the_folder_and_the_environment_of_the_daemon() {
    for has_supervisor in [true, false] {
        let context = running("stop_command = ['sh', '-c', 'echo \"$SECRET_TOKEN\" >end']\n");
        if !has_supervisor {
            context.kill_supervisor();
        }
        context.run(&["stop", "a"]).succeeds();
        let end = std::fs::read_to_string(context.path("here/work/end")).unwrap();
        assert_eq!(end, "x y\n", "{has_supervisor}");
        let stopped = context.daemon("a");
        assert_eq!((&stopped["exit_code"], &stopped["exit_reason"]), (&5.into(), &"stopped".into()));
        assert!(!context.path("here/work/signals").exists(), "no signal was sent");
        context.down();
    }
}

#[test]
fn the_signal_follows_a_stop_command_that_fails() {
    for output in ["echo no route >&2; echo stopping", "echo no route"] {
        let context = running(&format!("stop_command = ['sh', '-c', '{output}; exit 9']\n"));
        let stopping = context.start(&["stop", "a"]);
        wait_until("the signal was sent", || context.path("here/work/signals").exists());
        context.write("here/work/end", "");
        assert!(stopping.wait_with_output().unwrap().status.success());
        let warning = "warning: a: stop_command exited with 9: no route";
        wait_until("the log has the warning", || {
            context.lines("supervisor.log").iter().any(|line| line.ends_with(warning))
        });
        context.down();
    }
}

#[test]
fn a_stop_command_that_fails_at_down_is_a_warning_on_the_terminal() {
    const WARNING: &str = "warning: a: stop_command exited with 9: no route";
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nstop_command = ['sh', '-c', 'echo no route >&2; exit 9']\n",
    );
    let up = context.start(&["up"]);
    wait_until("it runs", || context.count_live("sleep 600") == 1);
    context.run(&["down"]).succeeds();
    let output = up.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.contains(WARNING), "{shown}");
    for has_supervisor in [true, false] {
        context.run(&["up", "-d", "--wait"]).succeeds();
        if !has_supervisor {
            context.kill_supervisor();
        }
        context.run(&["down"]).succeeds().stderr_contains(WARNING);
    }
    context.down();
}

#[test]
fn the_grace_period_limits_a_stop_command_and_what_follows_it() {
    for command in ["sleep 600", "true"] {
        let context = running(&format!("stop_command = '{command}'\nstop_grace_period = '300ms'\n"));
        let began = Instant::now();
        context.run(&["stop", "a"]).succeeds();
        assert!(began.elapsed() < Duration::from_secs(4), "{command}");
        assert_eq!(context.daemon("a")["exit_code"], 137, "{command}");
        assert_eq!(context.count_live("sleep 600"), 0);
        context.down();
    }
}

#[test]
fn a_daemon_that_ends_takes_its_stop_command_with_it() {
    let context = running("stop_command = ['sh', '-c', ': >end; exec sleep 600']\nstop_grace_period = 60\n");
    let began = Instant::now();
    context.run(&["stop", "a"]).succeeds();
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(context.daemon("a")["exit_code"], 5);
    context.down();
}

#[test]
fn parent_only_signals_only_the_daemon_itself() {
    let context = TestContext::new();
    context.write(
        "here/process-compose.yaml",
        "processes:\n  a:\n    command: |\n      trap 'kill -USR1 $!; wait; exit 0' TERM\n      \
         sh -c 'trap \"echo TERM >>signals; exit\" TERM; trap \"echo USR1 >>signals; exit\" USR1; while :; do sleep 0.02; done' &\n      \
         wait\n    shutdown:\n      parent_only: true\n",
    );
    context.run(&["up", "-f", "process-compose.yaml", "--wait"]).succeeds();
    wait_until("the child runs", || context.count_live("sh -c trap") == 1);
    context.run(&["stop", "a"]).succeeds();
    assert_eq!(std::fs::read_to_string(context.path("here/signals")).unwrap(), "USR1\n");
    context.down();
}

#[test]
fn parent_only_kills_what_the_daemon_left_after_the_grace_period() {
    let daemon = |name: &str, seconds: u32, timeout: u32| {
        format!(
            "  {name}:\n    command: |\n      (trap '' TERM; sleep {seconds}1; sleep {seconds}2) &\n      \
             trap 'exit 0' TERM; while :; do sleep 0.02; done\n    \
             shutdown: {{parent_only: true, timeout_seconds: {timeout}}}\n"
        )
    };
    let context = TestContext::new();
    let manifest = format!("processes:\n{}{}", daemon("a", 60, 1), daemon("b", 70, 60));
    context.write("here/process-compose.yaml", manifest);
    context.run(&["up", "-f", "process-compose.yaml", "-d", "--wait"]).succeeds();
    for (args, left) in [(&["stop", "a"][..], "sleep 601"), (&["down", "-t", "1s"], "sleep 701")] {
        wait_until("its child runs", || context.count_live(left) == 1);
        let began = Instant::now();
        context.run(args).succeeds();
        let elapsed = began.elapsed();
        assert_eq!(context.count_live(left), 0);
        assert!((900..3000).contains(&elapsed.as_millis()), "{args:?}: {elapsed:?}");
    }
    context.down();
}
