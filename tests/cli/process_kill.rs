//! `rigup process kill` of several processes: named, selected or piped in.

use std::fs::{self, File};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::event::context_with;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// A script that, on TERM, waits until three processes have received it, and then exits with 3.
const WAIT_FOR_THREE: &str = "trap ': >\"$RIGUP_DATA_DIR/term-$RIGUP_PROCESS_ID\"; \
    until [ $(ls \"$RIGUP_DATA_DIR\" | grep -c ^term-) = 3 ]; do sleep 0.02; done; exit 3' TERM; \
    : >\"$RIGUP_DATA_DIR/up-$RIGUP_PROCESS_ID\"; while :; do sleep 0.02; done";

impl TestContext {
    /// Runs rigup with this standard input.
    fn run_with_input(&self, args: &[&str], input: &str) -> CommandOutput {
        let file = File::open(self.write("input", input)).unwrap();
        CommandOutput::new(args, &self.command(args).stdin(Stdio::from(file)).output().unwrap())
    }

    fn sleeping_run(&self, slug: &str) -> String {
        self.start_run(&["--slug", slug], "exec sleep 600")
    }

    fn states(&self, ids: &[&str]) -> Vec<Value> {
        ids.iter().map(|id| self.show(id)["state"].clone()).collect()
    }
}

#[test]
fn several_processes_are_signalled_together_and_share_one_grace_period() {
    let context = TestContext::new();
    let ids = [(); 3].map(|()| context.start_run(&["--slug", "s"], WAIT_FOR_THREE));
    let has_started = |id: &String| context.path(&format!("data/up-{id}")).exists();
    wait_until("the traps are set", || ids.iter().all(has_started));
    let killed = context.run(&["process", "kill", "--grace", "60", &ids[0], &ids[1], &ids[2]]).succeeds();
    let codes: Vec<Value> = killed.records().iter().map(|record| record["exit_code"].clone()).collect();
    assert_eq!(codes, [json!(3), json!(3), json!(3)]);
    context.wait_for_waiters();
}

#[test]
fn an_unknown_id_among_several_is_reported_and_the_others_are_killed() {
    let context = TestContext::new();
    let ids = ["a", "b"].map(|slug| context.sleeping_run(slug));
    let output = context.run(&["process", "kill", &ids[0], "ffffffff", &ids[1], &ids[0]]).exits_with(1);
    assert_eq!(output.records().len(), 2);
    assert_eq!(output.stderr, "error: no process has the id ffffffff; `rigup process list` shows the ids\n");
    context.wait_for_waiters();
}

#[test]
fn kills_the_live_runs_with_a_slug_or_the_live_processes_of_a_type() {
    let context = TestContext::new();
    let [first, second, other] = ["a", "a", "b"].map(|slug| context.sleeping_run(slug));
    context.run(&["process", "kill", &first]).succeeds();
    let killed = context.run(&["process", "kill", "--slug", "a"]).succeeds();
    assert_eq!((killed.record()["id"].as_str(), &*killed.stderr), (Some(&*second), ""));
    assert_eq!(context.states(&[&second, &other]), ["killed", "running"]);
    let none = context.run(&["process", "kill", "--slug", "a", "--format", "table"]).succeeds();
    assert_eq!((&*none.stdout, &*none.stderr), ("", "no live processes\n"));
    context.run(&["process", "kill", "--type", "hook"]).succeeds().stderr_contains("no live processes");
    context.run(&["process", "kill", "--slug", "a", &other]).exits_with(2);
    for slug in ["", "A", "b*"] {
        context.run(&["process", "kill", "--slug", slug]).exits_with(2).stderr_contains("is not a slug");
    }
    // A run that selects its own type does not kill itself.
    let script = "\"$RIGUP\" process kill --type binary >\"$RIGUP_DATA_DIR/killed\"; exit 4";
    let own = context.start_run(&["--slug", "own"], script);
    context.run(&["process", "wait", &own]).exits_with(4);
    let killed: Value = serde_json::from_slice(&fs::read(context.path("data/killed")).unwrap()).unwrap();
    assert_eq!(killed["id"], json!(other));
    context.wait_for_waiters();
}

#[test]
fn kills_the_processes_whose_records_or_ids_are_piped_in() {
    let context = TestContext::new();
    let ids = ["a", "a", "b"].map(|slug| context.sleeping_run(slug));
    let listed = context.run(&["process", "list", "--slug", "a"]).succeeds().stdout;
    let killed = context.run_with_input(&["process", "kill"], &listed).succeeds();
    assert_eq!((killed.records().len(), &*killed.stderr), (2, ""));
    let pid = &context.show(&ids[2])["pid"];
    // Processes that have exited are no error, and other records are ignored.
    let lines = format!("{}\n\n{{\"type\":\"Binary\",\"id\":\"x\"}}\n{{oops\nffffffff\n{pid}\n", ids[0]);
    let killed = context.run_with_input(&["process", "kill"], &lines).exits_with(1);
    assert_eq!(killed.record()["id"], json!(ids[2]));
    let errors: Vec<&str> = killed.stderr.lines().collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("error: standard input: line 4 is not JSON"), "{errors:?}");
    assert!(errors[1].contains("ffffffff"), "{errors:?}");
    context.run_with_input(&["process", "kill"], "").succeeds().stderr_contains("no live processes");
    context.wait_for_waiters();
}

#[test]
fn hooks_that_have_not_started_are_no_error_unless_they_are_named() {
    let context = context_with(&[("1_a.sh", "exec sleep 600"), ("2_b.sh", "exec sleep 600"), ("3_c.sh", "")]);
    let event = context.start(&["run", "E"]);
    let statuses =
        || -> Vec<Value> { context.hook_processes().iter().map(|hook| hook["status"].clone()).collect() };
    wait_until("the first hook runs", || statuses() == ["running", "queued", "queued"]);
    let [rigup, _, second] = &context.processes()[..3] else { unreachable!() };
    let [rigup, second] = [rigup, second].map(|process| process["id"].as_str().unwrap());
    let named = context.run(&["process", "kill", second]).exits_with(1);
    named.stderr_contains("it has not started yet; kill its parent");
    assert_eq!(context.run(&["process", "kill", "--type", "hook"]).succeeds().records().len(), 1);
    wait_until("the second hook runs", || statuses() == ["exited", "running", "queued"]);
    context.run(&["process", "kill", "-s", "WINCH", "--tree", rigup]).succeeds();
    let killed = context.run(&["process", "kill", "--tree", rigup]).succeeds();
    assert_eq!((killed.records().len(), &*killed.stderr), (3, ""));
    event.wait_with_output().unwrap();
    assert_eq!(context.live_processes(), []);
}

#[test]
fn a_hook_whose_rigup_is_killed_too_receives_one_signal() {
    let context = TestContext::new();
    context.provider(
        "p",
        "#!/bin/sh\ntrap 'echo TERM >>\"$DATA_DIR/terms\"; sleep 0.3; exit 1' TERM\n: >\"$DATA_DIR/up\"\n\
         while :; do sleep 0.02; done\n",
    );
    let install = context.start(&["install", "x", "--binproviders", "p"]);
    wait_until("the hook runs", || context.path("data/up").exists());
    wait_until("the hook is recorded as running", || {
        context.hook_processes().iter().any(|hook| hook["status"] == "running")
    });
    let ids: Vec<String> =
        context.processes().iter().map(|process| process["id"].as_str().unwrap().to_owned()).collect();
    let killed = context.run(&["process", "kill", &ids[0], &ids[1]]).succeeds();
    assert_eq!(killed.stderr, "");
    install.wait_with_output().unwrap();
    assert_eq!(fs::read_to_string(context.path("data/terms")).unwrap(), "TERM\n");
    assert_eq!(context.live_processes(), []);
}
