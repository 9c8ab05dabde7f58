//! The promises of `rigup up`: what it does when daemons, supervisors and other processes fail, and what commands see.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start rigup and read files themselves, and an error in them is a failed test"
)]

mod attributes;
mod builtin;
mod clients;
mod clock;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../faults/collected.rs"]
mod collected;
mod commands;
mod disk;
mod events;
mod first_process;
mod foreground;
mod graph;
mod health;
mod hooks;
#[expect(dead_code, reason = "shared with the tests in tests/faults, which use all of it")]
#[path = "../faults/kernel.rs"]
mod kernel;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod killed;
#[path = "../faults/leftovers.rs"]
mod leftovers;
mod logs;
mod notify;
mod orphans;
mod problems;
#[path = "../faults/pty.rs"]
mod pty;
mod readiness;
mod rebuilt_store;
mod recovery;
mod replicas;
mod restarts;
mod service_manager;
#[path = "../faults/shifted_clock.rs"]
mod shifted_clock;
mod stale;
mod startup;
mod stats;
mod stop;
mod stop_command;
mod takeover;
#[expect(dead_code, reason = "shared with the tests in tests/cli, which use all of it")]
#[path = "../cli/test_context.rs"]
mod test_context;
mod text;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[expect(dead_code, reason = "shared with the tests in tests/faults, which use all of it")]
#[path = "../faults/tracer.rs"]
mod tracer;

use std::fs;
use std::process::Child;

use nix::sys::signal::Signal;
use serde_json::Value;

use leftovers::assert_nothing_is_left;
use test_context::{TestContext, signal, wait_until};

impl TestContext {
    /// Creates a context whose `rigup.toml` declares daemons.
    fn with_manifest(manifest: &str) -> Self {
        let context = Self::new();
        context.write("here/rigup.toml", manifest);
        context
    }

    /// Creates a context in which `rigup down`, which is returned, waits until the file `go` lets the daemon a exit.
    fn with_down_that_waits() -> (Self, Child) {
        let context = Self::with_manifest(
            "[daemons.a]\nshell = true\n\
             command = 'trap \": >stop; until [ -e go ]; do sleep 0.01; done; exit\" TERM; sleep 600 & wait'\n",
        );
        context.run(&["up", "-d"]).succeeds();
        wait_until("it has set its trap", || context.count_live("sleep 600") == 1);
        let down = context.start(&["down"]);
        wait_until("it is being stopped", || context.path("here/stop").exists());
        (context, down)
    }

    /// Returns the record of a daemon.
    #[track_caller]
    fn daemon(&self, name: &str) -> Value {
        let daemons = self.run(&["ps", "-a"]).succeeds().records();
        daemons.into_iter().find(|daemon| daemon["name"] == name).expect("the daemon is known")
    }

    /// Waits until a daemon has this status, and returns its record.
    #[track_caller]
    fn await_status(&self, name: &str, status: &str) -> Value {
        wait_until(&format!("{name} is {status}"), || self.daemon(name)["status"] == status);
        self.daemon(name)
    }

    /// Returns the records of the executions of a daemon, oldest first.
    fn executions(&self, name: &str) -> Vec<Value> {
        let slug = format!("daemon:{name}");
        self.processes().into_iter().filter(|process| process["slug"] == *slug).collect()
    }

    /// Returns the pids of the supervisors in the background.
    fn supervisors(&self) -> Vec<u32> {
        let live = self.live_processes().into_iter();
        live.filter(|(_, line)| line.contains(" supervise --data-dir ")).map(|(pid, _)| pid).collect()
    }

    /// Kills the supervisor.
    fn kill_supervisor(&self) {
        let mut found = Vec::new();
        // For a moment, a process that the supervisor starts has its command line.
        wait_until("one supervisor runs", || {
            found = self.supervisors();
            found.len() == 1
        });
        let pid = found[0];
        signal(pid, Signal::SIGKILL);
        wait_until("the supervisor is dead", || self.supervisors().is_empty());
    }

    /// Returns the lines of a file in the data dir; none if it does not exist.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path("data").join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Stops all daemons and the supervisor, and asserts that nothing is left.
    #[track_caller]
    fn down(&self) {
        self.run(&["down"]).succeeds();
        wait_until("the supervisor has exited", || self.live_processes().is_empty());
        assert_nothing_is_left(self);
    }
}
