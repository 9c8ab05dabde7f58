//! `rigup run A,B`: several events in one command, and the hooks of their ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

/// Returns a daemon that logs when it starts and, a moment after it received TERM, when it stops.
fn daemon(name: &str) -> String {
    format!(
        "trap 'sleep 0.1; echo \"stop {name}\" >>\"$DATA_DIR/log\"; exit 0' TERM\n\
         echo \"start {name}\" >>\"$DATA_DIR/log\"; echo up\nwhile :; do sleep 600 & wait $!; done"
    )
}

/// Creates hooks of the plugin `p`, each from a file name without `on_` and a shell script. A script of one word logs it.
fn context_with(hooks: &[(&str, &str)]) -> TestContext {
    let context = TestContext::new();
    for (name, body) in hooks {
        let body = if body.contains(' ') {
            (*body).to_owned()
        } else {
            format!("echo {body} >>\"$DATA_DIR/log\"; pwd >>\"$DATA_DIR/folders\"")
        };
        context.script(&format!("here/plugins/p/on_{name}"), &format!("#!/bin/sh\n{body}\n"));
    }
    context
}

fn log(context: &TestContext) -> Vec<String> {
    let text = fs::read_to_string(context.path("data/log")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn daemons_live_through_later_events_and_end_in_reverse_before_the_ends() {
    let context = context_with(&[
        ("A__1_one.daemon.bg.sh", &daemon("one")),
        ("A__2_two.bg.sh", &daemon("two")),
        ("A__3_f.finite.bg.sh", "sleep 0.1; echo finite >>\"$DATA_DIR/log\""),
        ("B__1_three.daemon.bg.sh", &daemon("three")),
        ("B__2_b.sh", "b"),
        ("AEnd__1_a.sh", "end-a"),
        ("BEndEvent__1_b.sh", "end-b"),
        ("ASetup__1_a.sh", "setup"),
    ]);
    context.run(&["run", "A, BEvent", "--x=1"]).succeeds();
    let expected = [
        "start one",
        "start two",
        "finite",
        "start three",
        "b",
        "stop three",
        "stop two",
        "stop one",
        "end-b",
        "end-a",
    ];
    assert_eq!(log(&context), expected);
    let folders = fs::read_to_string(context.path("data/folders")).unwrap();
    let folders: Vec<&str> = folders.lines().collect();
    assert!(folders[0].contains("/data/events/A/"), "{folders:?}");
    assert!(folders.iter().all(|folder| *folder == folders[0]), "one output dir for all: {folders:?}");
    assert!(context.hook_processes().iter().all(|hook| hook["cmd"].to_string().contains("--x=1")));
    assert_eq!(context.live_processes(), []);
}

#[test]
fn the_end_of_an_event_runs_even_if_the_event_has_no_other_hooks() {
    let context = context_with(&[
        ("CrawlSetup__1_s.sh", "setup"),
        ("CrawlEnd__1_d.daemon.bg.sh", &daemon("d")),
        ("CrawlEnd__2_e.sh", "end"),
    ]);
    context.run(&["run", "Crawl"]).succeeds();
    assert_eq!(log(&context), ["start d", "end", "stop d"]);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn events_without_hooks_are_named_and_the_others_run() {
    let context = context_with(&[("B__1_b.sh", "b")]);
    let output = context.run(&["run", "A,B"]).succeeds();
    output.stderr_contains("no hooks found for the event A in ");
    assert_eq!(log(&context), ["b"]);
    context.run(&["run", "B,"]).exits_with(2).stderr_contains("\"\" is not the name of an event");
}

#[test]
fn an_event_that_is_named_twice_is_refused() {
    let context = context_with(&[("A__1_a.sh", "a")]);
    for (events, name) in [("A,A", "A"), ("B,Snapshot, SnapshotEvent", "Snapshot")] {
        let output = context.run(&["run", events, "--x=1"]).exits_with(2);
        output.stderr_contains(&format!("error: the event {name} is named twice; name each event once"));
    }
    let output = context.run(&["run", "AEnd,B,A"]).exits_with(2);
    output.stderr_contains("error: the event AEnd runs at the end of A; leave it out");
    assert!(!context.path("data/log").exists());
}

/// Returns a config.json of a plugin with these keys.
fn config(keys: &str) -> String {
    format!("{{\"type\": \"object\", \"properties\": {{}}, {keys}}}")
}

#[test]
fn a_daemon_may_take_longer_than_five_seconds_to_end() {
    let flush = "trap 'sleep 5.5; echo \"{\\\"type\\\":\\\"Flushed\\\"}\"; exit 0' TERM\n\
                 echo up; while :; do sleep 600 & wait $!; done";
    let context = context_with(&[("E__1_d.daemon.bg.sh", flush)]);
    let records = context.run(&["run", "E"]).succeeds().records();
    assert_eq!(records[0]["type"], "Flushed");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn the_timeout_setting_of_a_plugin_is_the_grace_period_of_its_daemons() {
    let mut context = context_with(&[("E__1_d.bg.sh", "trap '' TERM; echo up; while :; do sleep 600; done")]);
    context.set("P_TIMEOUT", "1");
    let began = Instant::now();
    context.run(&["run", "E"]).exits_with(1).stderr_contains("stopped (137)");
    assert!(began.elapsed() < rigup::internal::GRACE);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn after_an_interrupt_a_daemon_has_five_seconds_to_end() {
    let hook = "trap '' TERM; echo up; while :; do sleep 600; done";
    let context =
        context_with(&[("E__1_d.bg.sh", hook), ("E__2_a.sh", "touch \"$DATA_DIR/up\"; exec sleep 600")]);
    let child = context.start(&["run", "E"]);
    wait_until("both hooks run", || context.path("data/up").exists());
    let began = Instant::now();
    signal(child.id(), Signal::SIGINT);
    CommandOutput::new(&["run"], &child.wait_with_output().unwrap()).dies_of(Signal::SIGINT);
    assert!(began.elapsed() > rigup::internal::GRACE && began.elapsed() < 2 * rigup::internal::GRACE);
    assert_eq!(context.hook_processes()[0]["exit_code"], 137);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn a_hook_that_waits_for_cleanup_runs_after_the_daemons_of_its_event() {
    let context = context_with(&[
        ("A__1_a.daemon.bg.sh", &daemon("a")),
        ("B__1_b.daemon.bg.sh", &daemon("b")),
        ("B__3_c.sh", "c"),
    ]);
    context.script("here/plugins/q/on_B__2_q.sh", "#!/bin/sh\necho q >>\"$DATA_DIR/log\"\n");
    context.write("here/plugins/q/config.json", config("\"wait_for_background_cleanup\": true"));
    context.run(&["run", "A,B"]).succeeds();
    assert_eq!(log(&context), ["start a", "start b", "stop b", "q", "c", "stop a"]);
    assert_eq!(context.live_processes(), []);
}

/// Makes a daemon fail, and waits until rigup has reaped its waiter: it has two other children, a waiter and this hook.
const FAIL: &str = "touch \"$DATA_DIR/die\"\n\
    until set -- $(cat /proc/$PPID/task/$PPID/children) && [ $# -eq 2 ]; do sleep 0.02; done";

#[test]
fn a_required_daemon_of_an_earlier_event_that_dies_ends_the_command() {
    let context = context_with(&[
        ("A__1_d.daemon.bg.sh", "echo up; until [ -e \"$DATA_DIR/die\" ]; do sleep 0.05; done; exit 4"),
        ("A__2_e.daemon.bg.sh", &daemon("e")),
        ("B__1_b.sh", FAIL),
        ("B__3_c.sh", "c"),
        ("BEnd__1_e.sh", "end"),
    ]);
    context.script("here/plugins/q/on_B__2_q.sh", "#!/bin/sh\necho q >>\"$DATA_DIR/log\"\n");
    context.write("here/plugins/q/config.json", config("\"required_plugins\": [\"p\"]"));
    let output = context.run(&["run", "A,B"]).exits_with(1);
    let reason = "skipped: p/on_A__1_d.daemon.bg.sh, which other plugins require, failed";
    let output = output.stderr_contains(&format!("warning: q/on_B__2_q.sh: {reason}"));
    output.stderr_contains(&format!("warning: p/on_B__3_c.sh: {reason}"));
    assert_eq!(log(&context), ["start e", "stop e", "end"]);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn hooks_that_require_a_daemon_that_is_not_ready_are_skipped() {
    for (daemon, reason) in
        [("exec sleep 600", "was not ready within 1 s"), ("exit 3", "failed before it was ready")]
    {
        let context = context_with(&[("E__1_d.daemon.bg.sh", daemon), ("E__3_c.sh", "c")]);
        context.script("here/plugins/q/on_E__2_q.sh", "#!/bin/sh\necho q >>\"$DATA_DIR/log\"\n");
        context.write("here/plugins/q/config.json", config("\"required_plugins\": [\"p\"]"));
        let output = context.run(&["run", "--ready-timeout", "1", "E"]).exits_with(1);
        let reason = format!("skipped: it requires the plugin p, and on_E__1_d.daemon.bg.sh {reason}");
        let output = output.stderr_contains(&format!("warning: q/on_E__2_q.sh: {reason}"));
        assert_eq!(log(&context), ["c"]);
        let records = output.records();
        let skipped = records.iter().find(|record| record["plugin"] == "q").unwrap();
        assert_eq!(skipped["warnings"], serde_json::json!([reason]));
        assert_eq!(skipped["started_at"], serde_json::json!(null));
        let unready = records.iter().find(|record| record["hook_name"] == "on_E__1_d.daemon.bg.sh").unwrap();
        let is_late = unready["exit_reason"] == "stopped";
        assert_eq!(unready["warnings"].to_string().contains("it was not ready"), is_late, "{unready}");
        assert_eq!(context.live_processes(), []);
    }
}

#[test]
fn a_finite_hook_that_prints_nothing_delays_no_other_hook() {
    let context = context_with(&[
        ("E__1_f.finite.bg.sh", "until [ -e \"$DATA_DIR/go\" ]; do sleep 0.05; done"),
        ("E__2_a.sh", "touch \"$DATA_DIR/go\" # the first hook waits for it"),
    ]);
    let began = Instant::now();
    let output = context.run(&["run", "E"]).succeeds();
    assert!(began.elapsed().as_secs() < 25, "its first line is not waited for");
    assert!(!output.stderr.contains("ready"), "{}", output.stderr);
}

#[test]
fn the_folders_of_an_event_have_the_modes_that_the_umask_gives() {
    for (mask, expected) in [("022", 0o755), ("007", 0o770)] {
        let context = context_with(&[("E__1_a.sh", "echo x >file")]);
        let run = format!("umask {mask}; exec \"$0\" run --output-dir new/out E");
        let words = ["-c", &run, env!("CARGO_BIN_EXE_rigup")];
        assert!(context.command_for("/bin/sh".as_ref(), &words).status().unwrap().success());
        for folder in ["new", "new/out", "new/out/p"] {
            let mode = fs::metadata(context.path("here").join(folder)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, expected, "{folder}");
        }
        let names = |folder: &str| -> Vec<_> {
            let entries = fs::read_dir(context.path("here").join(folder)).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect()
        };
        assert_eq!((names("new/out"), names("new/out/p")), (vec!["p".into()], vec!["file".into()]));
    }
}

#[test]
fn only_named_hooks_run_and_the_problems_of_other_plugins_do_not_count() {
    let context =
        context_with(&[("A__1_one.sh", "one"), ("A__2_two.py.sh", "two"), ("A__3_three.sh", "three")]);
    context.script("here/plugins/open/on_A__4_one.sh", "#!/bin/sh\n");
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(context.path("here/plugins/open"), open).unwrap();
    context.run(&["run", "A"]).exits_with(1);
    context.run(&["run", "--hooks", "three,two", "A"]).succeeds();
    assert_eq!(log(&context), ["one", "two", "three", "two", "three"]);
    let output = context.run(&["run", "--hooks", "two,four", "A"]).exits_with(1);
    let expected = "no enabled plugin has a hook with the name four for A; `rigup hook list` shows the hooks";
    assert!(output.stderr.contains(expected), "{}", output.stderr);
    assert_eq!(log(&context).len(), 5);
}

#[test]
fn each_foreground_hook_reads_the_standard_input_of_the_command() {
    let read = "cat >>\"$DATA_DIR/log\"";
    let context =
        context_with(&[("A__1_one.sh", read), ("A__2_two.sh", read), ("A__3_bg.finite.bg.sh", read)]);
    let input = context.write("input", "1\n2\n");
    let input = || fs::File::open(&input).unwrap();
    assert!(context.command(&["run", "--stdin", "A"]).stdin(input()).output().unwrap().status.success());
    assert_eq!(log(&context), ["1", "2", "1", "2"]);
    assert!(context.command(&["run", "A"]).stdin(input()).output().unwrap().status.success());
    assert_eq!(log(&context).len(), 4);
}
