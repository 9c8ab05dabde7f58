//! Waiters that are killed or take long.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{TestContext, signal, wait_until};

impl TestContext {
    /// Starts a run of a shell script, and returns its id.
    fn start_script(&self, script: &str) -> String {
        let start = self.run(&["start", "--slug", "s", "--", "sh", "-c", script]).succeeds();
        start.record()["id"].as_str().unwrap().to_owned()
    }

    /// Returns the pids of the waiters.
    fn waiters(&self) -> Vec<u32> {
        let live = self.live_processes().into_iter();
        live.filter(|(_, line)| line.contains(" waiter --data-dir ")).map(|(pid, _)| pid).collect()
    }
}

#[test]
fn row_06_a_kill_waits_for_a_waiter_that_kills_a_stray() {
    let context = TestContext::new();
    let stray = "setsid sh -c 'trap \"\" TERM; exec env -i PATH=\"$PATH\" sleep 599' & exec sleep 600";
    let id = context.start_script(stray);
    let is_stray =
        |pid: &str| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x00599\x00");
    let strays = || {
        let processes = fs::read_dir("/proc").unwrap();
        let names = processes.map(|process| process.unwrap().file_name().into_string().unwrap());
        names.filter(|pid| is_stray(pid)).count()
    };
    wait_until("the stray runs", || strays() == 1 && context.count_live("sleep 600") == 1);
    let killed = context.run(&["process", "kill", &id]).succeeds();
    assert_eq!((&killed.record()["exit_reason"], &*killed.stderr), (&json!("stopped"), ""));
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    assert_eq!(strays(), 0);
}

#[test]
fn row_04_gc_terminates_a_child_whose_rigup_and_waiter_were_killed() {
    let context = TestContext::new();
    let child = "sh -c 'trap \"\" TERM; : >\"$DATA_DIR/up\"; while :; do sleep 0.05; done'";
    let daemon = format!("#!/bin/sh\nsetsid {child} &\nuntil [ -e \"$DATA_DIR/up\" ]; do sleep 0.01; done\n");
    context.script("here/plugins/p/on_E__1_a.daemon.bg.sh", &format!("{daemon}echo ready\nexec sleep 600\n"));
    context.script("here/plugins/p/on_E__2_b.sh", "#!/bin/sh\nexec sleep 601\n");
    let mut event = context.start(&["run", "E"]);
    wait_until("both hooks run", || context.count_live("sleep 60") == 2);
    event.kill().unwrap();
    event.wait().unwrap();
    wait_until("the waiter has terminated the hook", || context.count_live("sleep 600") == 0);
    context.waiters().into_iter().for_each(|waiter| signal(waiter, Signal::SIGKILL));
    assert!(!context.live_processes().is_empty());
    context.run(&["process", "gc"]).succeeds();
    assert_nothing_is_left(&context);
}
