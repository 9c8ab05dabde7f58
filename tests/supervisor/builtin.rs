//! The daemon with `builtin = "retry"`, which installs what has failed before.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::test_context::{TestContext, signal, wait_until};

const MANIFEST: &str = "[daemons.retry]\nbuiltin = 'retry'\n";

/// A hook that fails at first, waits while the file `hold` exists, and installs the binary if the file `online` exists.
const HOOK: &str = "#!/bin/sh\necho attempt >>\"$DATA_DIR/attempts\"\n\
    while [ -e \"$DATA_DIR/hold\" ]; do sleep 0.05; done\n\
    if [ ! -e \"$DATA_DIR/online\" ]; then echo 'no network' >&2; exit 1; fi\n\
    program=$LIB_DIR/p/tool\nmkdir -p \"${program%/*}\"\nprintf '#!/bin/sh\\necho 1.0\\n' >\"$program\"\n\
    chmod +x \"$program\"\n\
    printf '{\"type\":\"Binary\",\"name\":\"tool\",\"abspath\":\"%s\",\"version\":\"1.0\"}\\n' \"$program\"\n";

impl TestContext {
    /// Creates a context with the daemon and a provider.
    fn with_retry() -> Self {
        let context = Self::with_manifest(MANIFEST);
        context.provider("p", HOOK);
        context
    }

    /// Fails to install the binary.
    fn fail_to_install(&self) {
        self.run(&["install", "tool", "--binproviders", "p"]).exits_with(1);
    }

    /// Sets the stored retry time to a number of seconds from now.
    fn retry_in(&self, seconds: u32) {
        let sql =
            "UPDATE binary SET retry_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+' || ?1 || ' seconds')";
        self.store().execute(sql, [seconds]).unwrap();
    }

    /// Waits until the daemon has logged this text.
    fn await_log(&self, text: &str) {
        wait_until(text, || self.run(&["logs", "retry"]).succeeds().stdout.contains(text));
    }

    /// Returns the stored record of the binary.
    fn tool(&self) -> Value {
        self.run(&["binary", "show", "tool"]).succeeds().record()
    }

    /// Returns the records of the installs that the daemon has started.
    fn retries(&self) -> Vec<Value> {
        let is_retry = |process: &Value| process["cmd"].to_string().contains("\"install\",\"--due\"");
        self.processes().into_iter().filter(is_retry).collect()
    }
}

#[test]
fn retry_installs_at_its_retry_time_what_has_failed_before() {
    let context = TestContext::with_retry();
    context.run(&["up", "--wait"]).succeeds();
    context.fail_to_install();
    context.await_log("the next retry is that of tool at ");
    assert!(context.retries().is_empty(), "the retry time has not come");
    context.write("data/online", "");
    context.retry_in(2);
    wait_until("it is installed", || context.tool()["status"] == "installed");
    wait_until("the install has ended", || {
        context.retries().iter().all(|retry| !retry["exit_code"].is_null())
    });
    let is_retry = |(_, line): &(u32, String)| line.contains(" retry --data-dir ");
    wait_until("only the daemon itself is left", || {
        context.live_processes().into_iter().filter(is_retry).count() == 1
    });
    let retries = context.retries();
    assert_eq!((retries.len(), &retries[0]["exit_code"]), (1, &0.into()));
    let daemon = context.daemon("retry");
    assert_eq!((&daemon["status"], &daemon["restarts"]), (&"running".into(), &0.into()));
    assert_eq!(retries[0]["parent_id"], daemon["process_id"]);
    assert_eq!(context.executions("retry")[0]["process_type"], "orchestrator");
    assert!(context.run(&["logs", "retry"]).succeeds().stdout.contains("\"version\":\"1.0\""));
    assert_eq!(context.lines("attempts").len(), 2);
    context.down();
}

#[test]
fn a_retry_that_fails_again_waits_for_the_next_retry_time() {
    let context = TestContext::with_retry();
    context.fail_to_install();
    context.retry_in(0);
    context.run(&["up", "--wait"]).succeeds();
    wait_until("it was tried again", || context.tool()["attempt_count"] == 2);
    wait_until("the install has ended", || {
        context.retries().iter().all(|retry| !retry["exit_code"].is_null())
    });
    assert_eq!(context.retries()[0]["exit_code"], 1);
    // Its own writes and those of others are no reason to try again.
    for _ in 0..3 {
        context.run(&["exec", "--", "true"]).succeeds();
    }
    context.await_log("the next retry is that of tool at ");
    assert_eq!((context.retries().len(), context.lines("attempts").len()), (1, 2));
    context.down();
}

#[test]
fn an_install_that_leaves_a_binary_due_is_not_repeated_at_once() {
    let context = TestContext::with_retry();
    context.fail_to_install();
    context.retry_in(0);
    let keep = "CREATE TRIGGER keep BEFORE UPDATE ON binary BEGIN SELECT RAISE(IGNORE); END";
    context.store().execute_batch(keep).unwrap();
    context.run(&["up", "--wait"]).succeeds();
    context.await_log("the install has left the retry time of tool as it was");
    for _ in 0..3 {
        context.run(&["exec", "--", "true"]).succeeds();
    }
    assert_eq!((context.retries().len(), context.lines("attempts").len()), (1, 2));
    context.down();
}

#[test]
fn retry_goes_on_with_a_store_that_was_rebuilt() {
    let context = TestContext::with_retry();
    context.run(&["up", "--wait"]).succeeds();
    let pid = context.daemon("retry")["pid"].clone();
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(context.path(&format!("data/rigup.sqlite3{suffix}"))).unwrap_or_default();
    }
    context.write("data/rigup.sqlite3", "this is not a database");
    context.fail_to_install();
    context.write("data/online", "");
    context.retry_in(1);
    wait_until("it is installed", || context.tool()["status"] == "installed");
    let live = context.live_processes();
    assert!(live.iter().any(|(live, _)| pid == *live), "it was not restarted");
    context.down();
}

#[test]
fn stop_ends_a_sleeping_retry_at_once() {
    let context = TestContext::with_retry();
    context.run(&["up", "--wait"]).succeeds();
    context.run(&["stop", "retry"]).succeeds();
    let daemon = context.daemon("retry");
    assert_eq!((&daemon["status"], &daemon["exit_code"]), (&"stopped".into(), &143.into()));
    context.down();
}

#[test]
fn a_signal_to_retry_alone_ends_the_install_that_it_runs() {
    for number in [Signal::SIGTERM, Signal::SIGKILL] {
        let context = TestContext::with_retry();
        context.fail_to_install();
        context.retry_in(0);
        context.write("data/hold", "");
        context.run(&["up", "--wait"]).succeeds();
        wait_until("the hook runs", || context.lines("attempts").len() == 2);
        let daemon = context.daemon("retry");
        signal(u32::try_from(daemon["pid"].as_u64().unwrap()).unwrap(), number);
        wait_until("the install has ended", || context.retries()[0]["exit_reason"] == "stopped");
        wait_until("the daemon is started again", || context.executions("retry").len() == 2);
        assert_eq!(context.retries()[0]["parent_id"], daemon["process_id"]);
        fs::remove_file(context.path("data/hold")).unwrap();
        context.down();
    }
}

#[test]
fn promise_17_a_clock_that_jumps_to_the_retry_time_brings_the_retry() {
    let mut context = TestContext::with_retry();
    context.shift_clock();
    context.run(&["up", "--wait"]).succeeds();
    context.fail_to_install();
    context.await_log("the next retry is that of tool at ");
    context.write("data/online", "");
    context.write("clock", "400");
    // Without a write to the store, the daemon looks at the clock within a minute.
    context.run(&["exec", "--", "true"]).succeeds();
    wait_until("it is installed", || context.tool()["status"] == "installed");
    context.down();
}
