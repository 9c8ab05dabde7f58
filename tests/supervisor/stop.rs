//! How daemons are stopped, and which processes are not.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::leftovers::assert_nothing_is_left;
use crate::pty::start_on_pty;
use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

/// A process that rigup did not start. It is killed when it is dropped.
struct ForeignProcess(Child);

impl ForeignProcess {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for ForeignProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn promise_01_a_stop_returns_when_the_tree_is_empty() {
    let context = TestContext::with_manifest(
        r#"
        [daemons.tree]
        shell = true
        command = '''
            trap 'exit 0' TERM
            sh -c 'trap "" TERM; exec sleep 601' &
            sh -c 'setsid sleep 602 & exec sleep 603' &
            sleep 600 &
            wait'''
        stop_grace_period = "200ms"
        "#,
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("the tree runs", || context.count_live("sleep 60") == 4);
    context.run(&["stop", "tree"]).succeeds();
    assert_eq!(context.count_live("sleep"), 0);
    let stopped = context.daemon("tree");
    assert_eq!((&stopped["status"], &stopped["wanted"]), (&"stopped".into(), &"stopped".into()));
    assert_eq!(stopped["exit_reason"], "stopped");
    context.down();
}

#[test]
fn promise_01_the_grace_period_kills_a_daemon_that_ignores_its_signal() {
    let context = TestContext::with_manifest(
        "[daemons.deaf]\nshell = true\ncommand = 'trap \"\" TERM INT; exec sleep 600'\n\
         stop_signal = 'INT'\nstop_grace_period = '100ms'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("the daemon runs", || context.count_live("sleep 600") == 1);
    context.run(&["stop", "deaf"]).succeeds();
    assert_eq!(context.count_live("sleep"), 0);
    assert_eq!(context.daemon("deaf")["exit_code"], 137);
    context.down();
}

#[test]
fn promise_02_a_process_of_the_same_name_is_never_signalled() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    let mut foreign = ForeignProcess::start();
    context.run(&["up", "--wait"]).succeeds();
    context.run(&["restart", "a"]).succeeds();
    wait_until("it was restarted", || context.executions("a").len() == 2);
    context.run(&["stop", "a"]).succeeds();
    context.down();
    assert!(foreign.is_alive());
}

#[test]
fn promise_02_a_process_with_a_reused_pid_is_never_signalled_or_adopted() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    let mut foreign = ForeignProcess::start();
    context.run(&["up", "--wait"]).succeeds();
    let id = context.daemon("a")["process_id"].as_str().unwrap().to_owned();
    for (pid, _) in context.live_processes() {
        signal(pid, Signal::SIGKILL);
    }
    wait_until("all are dead", || context.live_processes().is_empty());
    let reuse = "UPDATE process SET pid = ?1 WHERE id = ?2";
    let reused = context.store().execute(reuse, (foreign.0.id(), &id)).unwrap();
    assert_eq!(reused, 1);
    context.run(&["up", "--wait"]).succeeds();
    let started = context.daemon("a");
    assert_ne!(started["process_id"], *id);
    assert_eq!(context.executions("a")[0]["exit_reason"], "lost");
    context.down();
    assert!(foreign.is_alive());
}

/// Three daemons, each of which depends on the one before and writes when it is told to stop and when it ends.
const CHAIN: &str = r#"
    [daemons.db]
    shell = true
    command = 'trap "echo db >>$RIGUP_DATA_DIR/order; sleep 0.1; echo end >>$RIGUP_DATA_DIR/order; exit" TERM; sleep 600 & wait'
    [daemons.app]
    depends_on = ["db"]
    shell = true
    command = 'trap "echo app >>$RIGUP_DATA_DIR/order; sleep 0.1; echo end >>$RIGUP_DATA_DIR/order; exit" TERM; sleep 600 & wait'
    [daemons.web]
    depends_on = ["app"]
    shell = true
    command = 'trap "echo web >>$RIGUP_DATA_DIR/order; sleep 0.1; echo end >>$RIGUP_DATA_DIR/order; exit" TERM; sleep 600 & wait'
"#;

#[test]
fn promise_13_daemons_stop_in_reverse_order_with_and_without_supervisor() {
    for has_supervisor in [true, false] {
        let context = TestContext::with_manifest(CHAIN);
        context.run(&["up", "--wait"]).succeeds();
        wait_until("all have set their traps", || context.count_live("sleep 600") == 3);
        if !has_supervisor {
            context.kill_supervisor();
        }
        context.run(&["down"]).succeeds();
        assert_eq!(context.lines("order"), ["web", "end", "app", "end", "db", "end"]);
        wait_until("the supervisor or the waiters have exited", || context.live_processes().is_empty());
        assert_nothing_is_left(&context);
    }
}

#[test]
fn promise_13_daemons_stop_in_reverse_order_also_after_no_deps() {
    let context = TestContext::with_manifest(CHAIN);
    context.run(&["up", "--wait", "--no-deps", "web"]).succeeds();
    assert_eq!(context.daemon("db")["status"], "stopped");
    context.run(&["up", "--wait"]).succeeds();
    context.run(&["up", "--wait", "--no-deps", "web", "app"]).succeeds();
    wait_until("all have set their traps", || context.count_live("sleep 600") == 3);
    context.run(&["down"]).succeeds();
    assert_eq!(context.lines("order"), ["web", "end", "app", "end", "db", "end"]);
    assert_nothing_is_left(&context);
}

#[test]
fn promise_13_ctrl_c_stops_the_daemons_and_reaches_each_once() {
    let mut context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = '''\n\
         for signal in INT TERM HUP; do trap \"echo $signal >>$RIGUP_DATA_DIR/signals\" $signal; done\n\
         : >$RIGUP_DATA_DIR/up\nuntil [ -e $RIGUP_DATA_DIR/signals ]; do sleep 0.05; done\nsleep 0.2'''\n",
    );
    let (keyboard, mut rigup) = start_on_pty(&mut context, &[env!("CARGO_BIN_EXE_rigup"), "up"], 0);
    wait_until("the daemon runs", || context.path("data/up").exists());
    std::io::Write::write_all(&mut &keyboard, b"\x03").unwrap();
    wait_until("rigup has exited", || rigup.try_wait().unwrap().is_some());
    assert_eq!(context.lines("signals"), ["TERM"]);
    assert_nothing_is_left(&context);
}

#[test]
fn promise_13_independent_daemons_stop_side_by_side() {
    // Each ends only if the other one has been told to stop, too.
    let daemon = |name: &str, other: &str| {
        format!(
            "[daemons.{name}]\nshell = true\nstop_grace_period = 20\ncommand = '''\n\
             trap ': >stop-{name}; until [ -e stop-{other} ]; do sleep 0.01; done; exit 0' TERM\n\
             sleep 600 & wait'''\n"
        )
    };
    let context = TestContext::with_manifest(&[daemon("a", "b"), daemon("b", "a")].concat());
    context.run(&["up", "-d"]).succeeds();
    wait_until("both have set their traps", || context.count_live("sleep 600") == 2);
    context.down();
    assert_eq!(context.daemon("a")["exit_code"], 0);
}

#[test]
fn promise_13_a_second_ctrl_c_kills_daemons_that_ignore_the_first() {
    let mut context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\nstop_grace_period = 20\n\
         command = 'trap \"echo TERM >>$RIGUP_DATA_DIR/signals\" TERM; while :; do sleep 0.05; done'\n\
         [daemons.b]\ncommand = 'sleep 600'\ndepends_on = ['a']\n",
    );
    let (keyboard, mut rigup) = start_on_pty(&mut context, &[env!("CARGO_BIN_EXE_rigup"), "up"], 0);
    wait_until("the daemons run", || context.count_live("sleep 600") == 1);
    let press_ctrl_c = || std::io::Write::write_all(&mut &keyboard, b"\x03").unwrap();
    press_ctrl_c();
    wait_until("the daemon has ignored it", || context.lines("signals") == ["TERM"]);
    let began = Instant::now();
    press_ctrl_c();
    wait_until("rigup has exited", || rigup.try_wait().unwrap().is_some());
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(context.executions("a")[0]["exit_code"], 137);
    assert_nothing_is_left(&context);
}

#[test]
fn promise_13_a_term_to_the_supervisor_stops_all_daemons() {
    let context = TestContext::with_manifest(CHAIN);
    context.run(&["up", "--wait"]).succeeds();
    wait_until("all have set their traps", || context.count_live("sleep 600") == 3);
    signal(context.supervisors()[0], Signal::SIGTERM);
    wait_until("all processes have exited", || context.live_processes().is_empty());
    assert_eq!(context.lines("order"), ["web", "end", "app", "end", "db", "end"]);
    assert_nothing_is_left(&context);
}

#[test]
fn a_daemon_that_is_stopped_while_many_start_does_not_run() {
    let declare = |n| format!("[daemons.d{n}]\ncommand = \"sleep 600\"\n");
    let context = TestContext::with_manifest(&(10..50).map(declare).collect::<String>());
    context.run(&["up", "-d"]).succeeds();
    context.run(&["stop", "d10", "d49"]).succeeds();
    for name in ["d10", "d49"] {
        let stopped = context.daemon(name);
        assert_eq!((&stopped["status"], &stopped["wanted"]), (&"stopped".into(), &"stopped".into()));
        assert!(stopped["pid"].is_null(), "{stopped}");
    }
    wait_until("the others run", || context.count_live("sleep 600") == 38);
    assert_eq!(context.daemon("d49")["status"], "stopped");
    context.down();
}

#[test]
fn many_daemons_are_started_once_each_and_stopped_at_once() {
    let declare = |n| format!("[daemons.d{n}]\ncommand = \"sleep 600\"\n");
    let context = TestContext::with_manifest(&(10..50).map(declare).collect::<String>());
    context.run(&["up", "-d"]).succeeds();
    context.down();
    let processes = context.processes();
    let executions: Vec<_> = processes.iter().filter(|process| process["process_type"] == "worker").collect();
    assert!(executions.iter().all(|process| process["status"] == "exited"));
    let slugs: BTreeSet<&str> = executions.iter().filter_map(|process| process["slug"].as_str()).collect();
    assert_eq!(slugs.len(), executions.len());
}

#[test]
fn promise_01_what_a_daemon_leaves_behind_ends_with_it() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'setsid sleep 600 & sleep 0.05; exit 1'\nrestart_delay = '50ms'\n\
         restart_delay_max = '50ms'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("it was restarted", || context.executions("a").len() > 2);
    assert!(context.count_live("sleep 600") <= 1);
    context.down();
}

#[test]
fn promise_12_a_stop_returns_although_the_daemon_is_started_again() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\n\
         command = \"trap 'until [ -e go ]; do sleep 0.01; done; exit 0' TERM; echo up; while :; do sleep 0.01; done\"\n\
         ready = {stdout_line = true}\n",
    );
    context.run(&["up", "--wait"]).succeeds();
    let stop = context.start(&["stop", "a"]);
    context.await_status("a", "stopping");
    context.run(&["start", "a"]).succeeds();
    context.write("here/go", "");
    assert!(stop.wait_with_output().unwrap().status.success());
    context.await_status("a", "running");
    context.down();
}

#[test]
fn a_stop_is_tried_again_until_its_thread_can_be_created() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d", "--wait"]).succeeds();
    let supervisor = context.supervisors()[0];
    let status = fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    // Enough for everything but the stack of a thread.
    let limit = (size.unwrap().parse::<u64>().unwrap() << 10) + (1 << 20);
    let limit_memory = |limit: &str| {
        let args = ["--pid", &supervisor.to_string(), &format!("--as={limit}")];
        assert!(Command::new("prlimit").args(args).status().unwrap().success());
    };
    limit_memory(&format!("{limit}:"));
    let stop = context.start(&["stop", "a"]);
    let warned = || context.lines("supervisor.log").iter().any(|line| line.contains("cannot start a thread"));
    wait_until("the thread cannot be created", warned);
    assert_eq!(context.count_live("sleep 600"), 1);
    limit_memory("unlimited");
    assert!(stop.wait_with_output().unwrap().status.success());
    assert_eq!(context.count_live("sleep 600"), 0);
    context.down();
}

#[test]
fn a_daemon_is_shown_as_stopping_only_once_its_dependents_have_stopped() {
    let context = TestContext::with_manifest(
        "[daemons.web]\ncommand = 'sleep 600'\ndepends_on = ['db']\n[daemons.db]\ncommand = 'sleep 601'\n",
    );
    let up = context.start(&["up"]);
    wait_until("web runs", || context.count_live("sleep 600") == 1);
    context.await_status("web", "running");
    signal(up.id(), Signal::SIGINT);
    let output = CommandOutput::new(&["up"], &up.wait_with_output().unwrap());
    let shown: Vec<&str> = output.stderr.lines().filter(|line| line.contains(": stop")).collect();
    assert_eq!(shown, ["web: stopping", "web: stopped", "db: stopping", "db: stopped"]);
    assert_nothing_is_left(&context);
}
