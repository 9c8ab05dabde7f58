//! Daemons that are no longer declared.

use crate::test_context::{TestContext, wait_until};

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
