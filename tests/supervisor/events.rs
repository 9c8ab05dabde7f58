//! `rigup events`: what happens to daemons, one line for each event.

use std::fs::{self, File};
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::test_context::{TestContext, signal, wait_until};

/// A running `rigup events --json`, which writes to a file.
struct FollowedEvents<'a> {
    context: &'a TestContext,
    command: Child,
}

impl<'a> FollowedEvents<'a> {
    /// Starts it, and waits until it prints the events of the daemon `marker`.
    fn start(context: &'a TestContext, args: &[&str]) -> Self {
        let output = File::create(context.path("events")).unwrap();
        let args = [&["events", "--json"], args].concat();
        let command = context.command(&args).stdout(output).stderr(Stdio::inherit()).spawn().unwrap();
        let followed = Self { context, command };
        wait_until("events are followed", || {
            context.run(&["restart", "marker"]).succeeds();
            !followed.records("marker").is_empty()
        });
        followed
    }

    /// Returns the events of a daemon so far.
    fn records(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.context.path("events")).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|record| record["name"] == name).collect()
    }

    /// Waits until a daemon has had this number of events, and returns their names.
    #[track_caller]
    fn await_events(&self, name: &str, count: usize) -> Vec<String> {
        wait_until(&format!("{name} had {count} events"), || self.records(name).len() >= count);
        self.records(name).iter().map(|record| record["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Asserts that it ends with success, because the supervisor does.
    fn end(mut self) {
        self.context.down();
        assert_eq!(self.command.wait().unwrap().code(), Some(0));
    }
}

const MANIFEST: &str = "
    [daemons.marker]
    command = 'sleep 600'
    [daemons.a]
    command = 'sleep 600'
    restart_delay = 0
    [daemons.b]
    shell = true
    command = 'exit 3'
    restart = 'no'
    autostart = false
";

#[test]
fn each_event_in_the_life_of_a_daemon_is_printed_in_order() {
    let context = TestContext::with_manifest(MANIFEST);
    context.run(&["up", "--wait"]).succeeds();
    let events = FollowedEvents::start(&context, &[]);
    let pid = context.daemon("a")["pid"].as_u64().unwrap();
    signal(pid.try_into().unwrap(), Signal::SIGKILL);
    let restart = ["DaemonExited", "DaemonPreStart", "DaemonRestarted", "DaemonReady"];
    assert_eq!(events.await_events("a", 4), restart);
    let records = events.records("a");
    assert_eq!((&records[0]["exit_code"], &records[0]["status"]), (&137.into(), &"backoff".into()));
    assert_eq!((&records[2]["restarts"], records[2]["pid"].as_u64() == Some(pid)), (&1.into(), false));
    for record in &records {
        let known = context.daemon("a");
        let known = known.as_object().unwrap().keys();
        assert!(known.clone().all(|key| record.get(key).is_some()) && record["at"].is_string(), "{record}");
    }
    // A restart by a command is one, too, but neither is a stop nor a start.
    context.run(&["restart", "a"]).succeeds();
    assert_eq!(events.await_events("a", 8)[4..], restart);
    context.run(&["stop", "a"]).succeeds();
    context.run(&["start", "a"]).succeeds();
    assert_eq!(events.await_events("a", 11)[8..], ["DaemonExited", "DaemonPreStart", "DaemonReady"]);
    context.run(&["start", "b"]).succeeds();
    let failure = ["DaemonPreStart", "DaemonReady", "DaemonExited", "DaemonFailed"];
    assert_eq!(events.await_events("b", 4), failure);
    assert_eq!(events.records("b")[3]["last_error"], "exit 3");
    events.end();
    // The end of all daemons is followed, too.
    let text = fs::read_to_string(context.path("events")).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["status"]), (&"DaemonExited".into(), &"stopped".into()));
}

#[test]
fn the_events_of_named_daemons_are_printed_alone() {
    let context = TestContext::with_manifest(MANIFEST);
    context.run(&["up", "--wait"]).succeeds();
    let events = FollowedEvents::start(&context, &["b", "marker"]);
    context.run(&["restart", "a"]).succeeds();
    context.run(&["start", "b"]).succeeds();
    events.await_events("b", 4);
    assert!(events.records("a").is_empty());
    context.run(&["events", "none"]).exits_with(1).stderr_contains("no daemon is named none");
    events.end();
}

#[test]
fn events_need_a_supervisor_and_end_with_their_reader() {
    let context = TestContext::with_manifest(MANIFEST);
    context.run(&["events"]).exits_with(1).stderr_contains("`rigup up -d`");
    context.run(&["up", "--wait"]).succeeds();
    let mut command = context.start(&["events"]);
    drop(command.stdout.take());
    wait_until("it has ended", || command.try_wait().unwrap().is_some());
    context.down();
}
