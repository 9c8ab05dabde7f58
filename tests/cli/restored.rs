//! A data dir that another machine has filled, as one that was restored from a CI cache: no command of this machine has
//! written to it yet.

use std::fs;

use serde_json::Value;

use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Returns a context whose data dir has the binaries `a` and `b` of another machine. The file of `b` has changed since.
fn restored() -> TestContext {
    let context = TestContext::new();
    context.fixture("good");
    context.run(&["install", "good:a", "good:b"]).succeeds();
    fs::write(context.linked_file("b"), "#!/bin/sh\necho 9\n").unwrap();
    fs::write(context.path("data/machine-id"), "1".repeat(32)).unwrap();
    context
}

fn names(output: &CommandOutput) -> Vec<String> {
    output.records().iter().map(|record| record["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_restored_data_dir_has_the_same_binaries_for_all_readers() {
    let context = restored();
    let tables = ["machine", "binary", "process", "attempt"];
    let state = || -> Vec<u32> {
        let count = |table| format!("SELECT count(*) FROM {table}");
        tables.map(|table| context.store().query_row(&count(table), (), |row| row.get(0)).unwrap()).to_vec()
    };
    let before = state();
    let link = context.bin("a");

    assert_eq!(context.run(&["which", "a"]).succeeds().stdout, format!("{}\n", link.display()));
    context.run(&["which", "good:a@2.0.1"]).succeeds();
    context.run(&["which", "b"]).exits_with(1).stderr_contains("b is not installed; run `rigup install b`");
    let listed = context.run(&["list", "--json"]).succeeds();
    assert_eq!(names(&listed), ["a"]);
    assert_eq!(listed.record()["status"], "installed");
    let id = listed.record()["id"].clone();
    context.run(&["binary", "show", id.as_str().unwrap()]).succeeds();
    let why = context.run(&["why", "a", "--json"]).succeeds().record();
    assert_eq!([&why["status"], &why["binprovider"]], ["installed", "good"]);
    assert_eq!(why["attempts"].as_array().unwrap().len(), 1);
    context.run(&["why", "b"]).exits_with(1);
    let planned = context.run(&["upgrade", "--dry-run", "--json"]).succeeds();
    assert_eq!(names(&planned), ["a"]);
    context.run(&["upgrade", "--dry-run", "b"]).exits_with(1).stderr_contains("it is not installed");
    context.run(&["uninstall", "--dry-run", "a"]).succeeds();
    let locked = context.run(&["lock", "--check", "a", "b", "--json"]).exits_with(1).records();
    let statuses: Vec<_> = locked.iter().map(|line| line["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["added", "queued"]);
    let planned = context.run(&["install", "--dry-run", "good:a", "--json"]).succeeds().record();
    assert_eq!([&planned["status"], &planned["id"]], [&"installed".into(), &id]);
    assert_eq!(state(), before, "reading commands change nothing");

    fs::remove_file(&link).unwrap();
    context.run(&["which", "a"]).exits_with(1).stderr_contains("it is not linked");
    let findings = context.run(&["doctor", "--json"]).exits_with(1).records();
    let message = |finding: &Value| finding["message"].as_str().unwrap().to_owned();
    let of_links: Vec<String> =
        findings.iter().filter(|finding| finding["check"] == "links").map(message).collect();
    assert_eq!(of_links, ["a is recorded, but it is not linked"]);
    assert_eq!(state(), before, "reading commands change nothing");
}

#[test]
fn upgrade_upgrades_a_binary_of_a_restored_data_dir() {
    let context = restored();
    let upgraded = context.run(&["upgrade", "a", "--json"]).succeeds().record();
    assert_eq!([&upgraded["upgrade"], &upgraded["previous_version"]], ["up to date", "2.0.1"]);
    assert_eq!(names(&context.run(&["list", "--json"]).succeeds()), ["a"]);
    assert_eq!(names(&context.run(&["binary", "list", "--json"]).succeeds()), ["a"]);
}

#[test]
fn commands_of_a_restored_data_dir_belong_to_its_binaries() {
    for args in [&["exec", "--", "a"][..], &["start", "--slug", "run", "--", "a"]] {
        let context = restored();
        context.run(args).succeeds();
        wait_until("the command has exited", || context.live_processes().is_empty());
        let own = context.run(&["binary", "show", "a"]).succeeds().record();
        let processes = context.processes();
        let of_binary: Vec<_> =
            processes.iter().filter(|process| process["binary_id"] == own["id"]).collect();
        assert_eq!(of_binary.len(), 1, "{args:?}");
        assert_eq!(context.hook_processes().len(), 2, "no hook ran again");
    }
}
