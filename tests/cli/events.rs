//! `rigup run A,B`: several events in one command, and the hooks of their ends.

use std::fs;

use crate::test_context::TestContext;

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
