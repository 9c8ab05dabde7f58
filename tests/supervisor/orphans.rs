//! Daemons that are no longer declared.

use std::fs;

use nix::sys::signal::Signal;

use crate::test_context::{TestContext, signal, wait_until};

impl TestContext {
    /// Returns the names of all daemons that are known.
    pub(crate) fn daemons(&self) -> Vec<String> {
        let records = self.run(&["ps", "-a"]).succeeds().records();
        let daemons = records.into_iter().filter(|record| record["type"] == "Daemon");
        daemons.map(|daemon| daemon["name"].as_str().unwrap().to_owned()).collect()
    }
}

const ALL: &str = "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'sleep 600'\n\
     [daemons.once]\ncommand = 'true'\n[daemons.bad]\ncommand = 'false'\nrestart = 'no'\n";

#[test]
fn a_daemon_that_is_not_declared_is_known_until_it_ends() {
    let context = TestContext::with_manifest(ALL);
    context.run(&["up", "-d"]).succeeds();
    context.await_status("once", "exited");
    context.await_status("bad", "failed");
    context.write("here/rigup.toml", "[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d"]).succeeds().stderr_contains("b is no longer declared, and still runs");
    wait_until("those at rest are not known", || context.daemons() == ["a", "b"]);
    assert_eq!((context.executions("once").len(), context.executions("bad").len()), (1, 1));
    context.run(&["stop", "b"]).succeeds();
    wait_until("the stopped one is not known", || context.daemons() == ["a"]);
    context.run(&["start", "b"]).exits_with(1).stderr_contains("no daemon is named b; `rigup ps -a`");
    assert_eq!(context.executions("b").len(), 1);
    context.write("here/rigup.toml", ALL);
    context.run(&["up", "-d"]).succeeds();
    context.await_status("bad", "failed");
    assert_eq!(context.daemons(), ["a", "b", "bad", "once"]);
    context.down();
}

#[test]
fn remove_orphans_stops_daemons_and_forgets_them() {
    let context = TestContext::with_manifest(ALL);
    context.run(&["up", "-d"]).succeeds();
    context.run(&["down"]).succeeds();
    assert_eq!(context.daemons(), ["a", "b", "bad", "once"]);
    context.run(&["up", "-d"]).succeeds();
    context.write("here/rigup.toml", "[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d", "--remove-orphans"]).succeeds();
    wait_until("only the declared one is known", || context.daemons() == ["a"]);
    assert_eq!(context.executions("b").last().unwrap()["exit_reason"], "stopped");
    context.down();
    // A supervisor that was not there when the manifest changed forgets them, too.
    context.write("here/rigup.toml", "[daemons.c]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d"]).succeeds();
    wait_until("only the declared one is known", || context.daemons() == ["c"]);
    context.down();
}

#[test]
fn a_daemon_that_waits_is_named_and_never_started_once_it_is_not_declared() {
    let declared = "[daemons.x]\ncommand = 'sleep 600'\nready = {file = 'go', timeout = 60}\n";
    let context = TestContext::with_manifest(&format!(
        "{declared}[daemons.y]\ncommand = 'sleep 601'\ndepends_on = ['x']\n\
         [daemons.z]\ncommand = 'false'\nrestart_delay = '2s'\n\
         [daemons.w]\ncommand = 'sleep 602'\nhooks = ['slow']\n\
         [daemons.v]\ncommand = 'sleep 603'\nready = {{file = 'never', timeout = 60}}\n"
    ));
    let script = "#!/bin/sh\necho >>\"$DATA_DIR/journal\"\nexec sleep 604\n";
    context.script("here/plugins/p/on_DaemonPreStart__50_slow.sh", script);
    context.run(&["up", "-d"]).succeeds();
    context.await_status("z", "backoff");
    context.await_status("v", "starting");
    wait_until("the hook runs", || context.lines("journal").len() == 1);
    context.write("here/rigup.toml", declared);
    let up = context.run(&["up", "-d"]).succeeds();
    let mut warnings: Vec<&str> = up.stderr.lines().collect();
    warnings.sort_unstable();
    let expected = [
        "warning: v is no longer declared, and still runs; stop it with --remove-orphans",
        "warning: w is no longer declared, and is not started",
        "warning: y is no longer declared, and is not started",
        "warning: z is no longer declared, and is not started again",
    ];
    assert_eq!(warnings, expected);
    fs::write(context.path("here/go"), "").unwrap();
    context.await_status("x", "running");
    wait_until("those that do not run are not known", || context.daemons() == ["v", "x"]);
    assert_eq!(["w", "y", "z"].map(|name| context.executions(name).len()), [0, 0, 1]);
    context.down();
}

#[test]
fn a_daemon_that_is_not_declared_is_not_started_again() {
    const ONE: &str = "[daemons.a]\ncommand = 'sleep 600'\n";
    let always = "[daemons.b]\ncommand = 'sleep 601'\nrestart = 'always'\nexit_on_end = true\n";
    let context = TestContext::with_manifest(&format!("{ONE}{always}"));
    context.run(&["up", "--wait"]).succeeds();
    let pid = context.daemon("b")["pid"].as_u64().unwrap();
    context.write("here/rigup.toml", ONE);
    context.run(&["up", "-d"]).succeeds().stderr_contains("b is no longer declared, and still runs");
    for command in ["start", "restart"] {
        let expected = "b is no longer declared; declare it, and run `rigup up -d`";
        context.run(&[command, "b"]).exits_with(1).stderr_contains(expected);
    }
    assert_eq!(context.daemon("b")["pid"], pid);
    signal(u32::try_from(pid).unwrap(), Signal::SIGKILL);
    wait_until("it is not known", || context.daemons() == ["a"]);
    assert_eq!((context.executions("b").len(), &context.daemon("a")["status"]), (1, &"running".into()));
    context.down();
}

#[test]
fn a_daemon_that_is_declared_again_while_it_is_stopped_is_started_again() {
    const ONE: &str = "[daemons.a]\ncommand = 'sleep 600'\n";
    let both = format!(
        "{ONE}[daemons.b]\nshell = true\n\
         command = 'trap \"until [ -e go ]; do sleep .01; done; exit\" TERM; sleep 601 & wait'\n"
    );
    let context = TestContext::with_manifest(&both);
    context.run(&["up", "--wait"]).succeeds();
    context.write("here/rigup.toml", ONE);
    let up = context.run(&["up", "-d", "--remove-orphans"]).succeeds();
    assert_eq!(up.stderr, "");
    context.await_status("b", "stopping");
    context.write("here/rigup.toml", &both);
    context.run(&["up", "-d"]).succeeds();
    fs::write(context.path("here/go"), "").unwrap();
    wait_until("it was started again", || context.executions("b").len() == 2);
    assert_eq!(context.await_status("b", "running")["wanted"], "started");
    context.down();
}
