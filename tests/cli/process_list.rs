//! `rigup process list` and the ids that the process commands accept.

use std::path::Path;

use serde_json::json;

use crate::appearance::run_on_terminal;
use crate::test_context::TestContext;

/// Creates a context with a live run, a failed one, and two that succeeded, oldest first, and returns their ids.
fn context_with_runs() -> (TestContext, [String; 4]) {
    let context = TestContext::new();
    let live = context.start_run(&["--slug", "live"], "exec sleep 600");
    let ended = ["exit 3", "exit 0", "exit 0"].map(|script| {
        let id = context.start_run(&["--slug", "ended"], script);
        context.run(&["process", "wait", &id]);
        id
    });
    let [failed, first, second] = ended;
    (context, [live, failed, first, second])
}

impl TestContext {
    /// Returns the ids that `rigup process list` prints with these options.
    #[track_caller]
    fn listed(&self, options: &[&str]) -> Vec<String> {
        let records = self.run(&[&["process", "list"], options].concat()).succeeds().records();
        records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Ends all runs.
    fn kill_runs(&self) {
        self.run(&["process", "kill", "--slug", "live"]).succeeds();
        self.wait_for_waiters();
    }
}

#[test]
fn live_processes_are_listed_before_newer_ones_that_have_exited() {
    let (context, [live, failed, first, second]) = context_with_runs();
    assert_eq!(context.listed(&[]), [&*live, &second, &first, &failed]);
    assert_eq!(context.listed(&["-n", "2"]), [&*live, &second]);
    context.kill_runs();
    assert_eq!(context.listed(&[]), [&*second, &first, &failed, &live]);
}

#[test]
fn a_list_that_is_cut_says_so_on_stderr() {
    let (context, _) = context_with_runs();
    let cut = context.run(&["process", "list", "-n", "3"]).succeeds();
    assert_eq!((cut.records().len(), &*cut.stderr), (3, "3 of 4; -n 0 for all\n"));
    for args in [
        &["-n", "4"][..],
        &["-n", "0"],
        &["-n", "3", "-q"],
        &["-n", "3", "--slug", "ended"],
        &["-n", "1", "--failed"],
    ] {
        let output = context.run(&[&["process", "list"], args].concat()).succeeds();
        assert_eq!(output.stderr, "", "{args:?}");
    }
    assert_eq!(context.listed(&["-n", "0"]).len(), 4);
    let rigup = Path::new(env!("CARGO_BIN_EXE_rigup"));
    let screen = run_on_terminal(&context, 80, rigup, &["process", "list", "-n", "3"]);
    assert!(screen.ends_with("\n3 of 4; -n 0 for all\n"), "the note comes after the table: {screen}");
    context.kill_runs();
}

#[test]
fn filters_of_the_list_apply_together() {
    let (context, [live, failed, first, second]) = context_with_runs();
    let show = context.show(&failed);
    let (pid, machine) = (show["pid"].to_string(), show["machine_id"].as_str().unwrap());
    assert_eq!(context.listed(&["--failed"]), [&*failed]);
    assert_eq!(context.listed(&["--pid", &pid]), [&*failed]);
    assert_eq!(context.listed(&["--type", "binary", "--slug", "ended", "-n", "2"]), [&*second, &first]);
    assert_eq!(context.listed(&["--type", "hook"]), [""; 0]);
    assert_eq!(context.listed(&["--machine", &machine[24..], "--status", "running"]), [&*live]);
    assert_eq!(context.listed(&["--since", show["ended_at"].as_str().unwrap()]), [&*second, &first]);
    assert_eq!(context.listed(&["--since", "2020-01-01", "--failed"]), [&*failed]);
    assert_eq!(context.listed(&["--since", "2h", "--failed"]), [&*failed]);
    assert_eq!(context.listed(&["--since", "0", "--failed"]), [""; 0]);
    assert_eq!(context.listed(&["--since", "2099-01-01T00:00"]), [""; 0]);
    context.run(&["process", "list", "--since", "x"]).exits_with(2).stderr_contains("2026-11-21T10:00:00Z");
    context.run(&["process", "list", "--machine", "x"]).exits_with(1).stderr_contains("rigup machine list");
    context.run(&["process", "list", "--type", "thread"]).exits_with(2).stderr_contains("supervisord");
    context.kill_runs();
}

#[test]
fn lists_the_processes_that_a_process_started() {
    let context = TestContext::new();
    context.provider("p", "#!/bin/sh\nexit 1\n");
    context.run(&["install", "x", "--binproviders", "p"]).exits_with(1);
    let [command, hook] = &context.processes()[..] else { panic!("one command and one hook") };
    let id = command["id"].as_str().unwrap();
    assert_eq!(context.listed(&["--parent", &id[28..]]), [hook["id"].as_str().unwrap()]);
    context.run(&["process", "list", "--parent", "ffffffff"]).exits_with(1).stderr_contains("no process has");
}

#[test]
fn counts_processes_as_a_number_or_as_json() {
    let context = TestContext::new();
    let count = |options: &[&str]| {
        context.run(&[&["process", "list", "--count"], options].concat()).succeeds().stdout
    };
    assert_eq!(count(&[]), "0\n");
    let (context, _) = context_with_runs();
    let count = |options: &[&str]| {
        context.run(&[&["process", "list", "--count"], options].concat()).succeeds().stdout
    };
    assert_eq!(count(&[]), "4\n");
    assert_eq!(count(&["--failed"]), "1\n");
    assert_eq!(count(&["--slug", "ended", "--status", "running"]), "0\n");
    assert_eq!(count(&["--json", "--slug", "ended"]), "{\"count\":3}\n");
    context.kill_runs();
}

#[test]
fn a_pid_names_the_process_that_runs_or_the_newest_with_it() {
    let (context, [live, failed, first, _]) = context_with_runs();
    let id = |typed: &str| context.show(typed)["id"].clone();
    let pid = |id: &str| context.show(id)["pid"].as_u64().unwrap().to_string();
    assert_eq!(id(&pid(&live)), json!(live));
    assert_eq!(id(&pid(&failed)), json!(failed));
    // Pids are reused: of two processes that have exited, the newest counts, and one that runs counts before any other.
    context.store().execute("UPDATE process SET pid = ?1 WHERE id = ?2", (pid(&failed), &first)).unwrap();
    assert_eq!(id(&pid(&failed)), json!(first));
    context.store().execute("UPDATE process SET pid = ?1 WHERE id = ?2", (pid(&live), &first)).unwrap();
    assert_eq!(id(&pid(&live)), json!(live));
    // The end of an id may be a number, too.
    context.store().execute("UPDATE process SET pid = 4194303 WHERE id = ?1", [&failed]).unwrap();
    let renamed = "01a1fc54-0000-7000-8000-000004194303";
    context.store().execute("UPDATE process SET id = ?1 WHERE id = ?2", [renamed, &first]).unwrap();
    assert_eq!(id("4194303"), json!(failed));
    assert_eq!(id("04194303"), json!(renamed));
    context.kill_runs();
}

#[test]
fn an_ambiguous_id_names_the_candidates() {
    let (context, ids) = context_with_runs();
    let output = context.run(&["process", "show", "0"]).exits_with(1);
    for id in &ids {
        assert!(output.stderr.contains(&format!("{} (", &id[28..])), "{}", output.stderr);
    }
    assert!(output.stderr.starts_with("error: 0 matches 4 ids: "), "{}", output.stderr);
    assert!(output.stderr.ends_with("; type more characters\n"), "{}", output.stderr);
    context.kill_runs();
}
