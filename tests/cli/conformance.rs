//! `rigup hook test`, against hooks that keep the contract and hooks that break one item of it each.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::playground::{Playground, Ran, signal, wait_until};

/// A file of this repository.
fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

/// A playground with a folder for temporary files of its own.
fn place() -> Playground {
    let mut place = Playground::new();
    let tmp = place.path("tmp");
    fs::create_dir(&tmp).unwrap();
    place.set("TMPDIR", tmp);
    place
}

/// What is left in the folder for temporary files.
fn kept(place: &Playground) -> Vec<PathBuf> {
    fs::read_dir(place.path("tmp")).unwrap().map(|it| it.unwrap().path()).collect()
}

/// The items with this outcome.
fn items(ran: &Ran, outcome: &str) -> Vec<String> {
    let records = ran.records().into_iter().filter(|it| it["outcome"] == outcome);
    records.map(|it| it["item"].as_str().unwrap().to_owned()).collect()
}

fn item(ran: &Ran, id: &str) -> Value {
    ran.records().into_iter().find(|it| it["item"] == id).expect("the item is reported")
}

/// Nothing is broken, and nothing but these items is skipped, for whatever reason lies in this machine.
#[track_caller]
fn assert_passes(ran: Ran, may_be_skipped: &[&str]) {
    let ran = ran.ok();
    let skipped = items(&ran, "skipped");
    assert!(skipped.iter().all(|it| may_be_skipped.contains(&it.as_str())), "{}", ran.stderr);
}

/// A system that lets nobody mount anything cannot try these two; a quick hook is over before it can be ended.
const MAY_BE_SKIPPED: [&str; 3] = ["read-only", "full", "term"];

/// Tests one of the broken hooks: exactly the item that its folder is named after breaks.
#[track_caller]
fn broken(id: &str) -> Option<Value> {
    let place = place();
    let hook = repository(&format!("fixtures/hooks/broken/{id}/on_BinaryRequest__50_{id}.sh"));
    let ran = place.run(&["hook", "test", &hook, "--", "--name=tool"]);
    if id == "full" && items(&ran, "skipped").contains(&"full".to_owned()) {
        assert_passes(ran, &MAY_BE_SKIPPED);
        return None;
    }
    let ran = ran.exits(1).says(&format!("error: {id}: "));
    assert_eq!(items(&ran, "broken"), [id], "{}", ran.stderr);
    let found = item(&ran, id);
    let look_at = found["look_at"].as_str().unwrap();
    let (path, line) = look_at.rsplit_once(':').unwrap();
    let lines = fs::read_to_string(path).unwrap().lines().count();
    assert!((1..=lines.max(1)).contains(&line.parse().unwrap()), "{look_at}");
    assert_eq!(kept(&place).len(), 1, "what it wrote can be looked at");
    assert!(!place.path("data").exists(), "nothing of the user's is touched");
    assert_eq!(place.living(), []);
    Some(found)
}

#[test]
fn a_hook_that_claims_a_file_it_never_wrote_breaks_answer_alone() {
    let found = broken("answer").unwrap();
    assert!(found["reason"].as_str().unwrap().contains("/lib/answer/tool: No such file"), "{found}");
    assert!(found["look_at"].as_str().unwrap().ends_with("/stdout.log:1"), "{found}");
}

#[test]
fn a_hook_that_claims_what_nobody_provides_breaks_absent_alone() {
    broken("absent");
}

#[test]
fn a_hook_that_evaluates_its_arguments_breaks_hostile_alone() {
    let found = broken("hostile").unwrap();
    assert!(found["reason"].as_str().unwrap().starts_with("shell text in the name was run"), "{found}");
    assert!(found["look_at"].as_str().unwrap().ends_with("_hostile.sh:7"), "the line with the eval: {found}");
}

#[test]
fn a_hook_that_leaves_a_daemon_when_it_is_ended_breaks_term_alone() {
    let found = broken("term").unwrap();
    assert!(found["reason"].as_str().unwrap().contains("after TERM: sleep 600"), "{found}");
}

#[test]
fn a_hook_that_does_not_look_whether_it_could_write_breaks_full_alone() {
    if let Some(found) = broken("full") {
        assert_eq!(found["reason"], "its record names an empty file");
    }
}

#[test]
fn a_hook_that_dies_of_unknown_arguments_breaks_unknown_arguments_alone() {
    let found = broken("unknown-arguments").unwrap();
    assert!(
        found["reason"].as_str().unwrap().ends_with("unknown argument: --rigup-unknown=a=b c"),
        "{found}"
    );
}

#[test]
fn the_provider_env_keeps_the_contract_and_nothing_of_the_test_is_left() {
    let place = place();
    let ran = place.run(&["hook", "test", &repository("providers/env/on_BinaryRequest__00_env.batch.sh")]);
    assert_eq!(ran.records().len(), 15);
    assert_eq!(item(&ran, "answer")["type"], "HookCheck");
    assert_passes(ran, &MAY_BE_SKIPPED);
    assert_eq!(kept(&place), Vec::<PathBuf>::new());
    assert!(!place.path("data").exists());
}

#[test]
fn the_examples_keep_the_contract() {
    for (language, file, program) in [
        ("sh", "on_BinaryRequest__50_example.sh", "/bin/sh"),
        ("python", "on_BinaryRequest__50_example.py", "/usr/bin/python3"),
        ("node", "on_BinaryRequest__50_example.js", "/usr/bin/node"),
    ] {
        if Path::new(program).exists() {
            let place = place();
            let hook = repository(&format!("examples/provider/{language}/example/{file}"));
            assert_passes(place.run(&["hook", "test", &hook]), &MAY_BE_SKIPPED);
        }
    }
}

#[test]
fn a_hook_of_another_event_is_held_to_what_makes_sense_for_it() {
    let place = place();
    let hook = repository("examples/plugin/example/on_Snapshot__50_example.sh");
    let ran = place.run(&["hook", "test", &hook, "--", "--url=https://example.org"]);
    let items: Vec<Value> = ran.records().into_iter().map(|mut it| it["item"].take()).collect();
    let expected = [
        "name",
        "starts",
        "unknown-arguments",
        "hostile",
        "huge",
        "stdout",
        "term",
        "leftovers",
        "read-only",
        "full",
    ];
    assert_eq!(items, expected);
    assert_passes(ran, &MAY_BE_SKIPPED);
}

#[test]
fn a_daemon_only_has_to_end_when_it_is_told_to() {
    let place = place();
    let hook = place.script("p/on_Snapshot__10_p.daemon.bg.sh", "#!/bin/sh\nwhile :; do sleep 600; done\n");
    let ran = place
        .run(&[
            "hook",
            "test",
            hook.to_str().unwrap(),
            "--timeout",
            "1",
            "--only",
            "starts,unknown-arguments,term",
        ])
        .ok();
    assert_eq!(item(&ran, "term")["outcome"], "held");
    let stubborn = "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 600; done\n";
    let hook = place.script("q/on_Snapshot__10_q.daemon.bg.sh", stubborn);
    let only = ["hook", "test", hook.to_str().unwrap(), "--timeout", "1", "--only", "term"];
    let ran = place.run(&only).exits(1);
    assert!(item(&ran, "term")["look_at"].as_str().unwrap().ends_with(".sh:2"), "the line with the trap");
}

#[test]
fn a_hook_that_does_not_end_is_not_waited_for_again_and_again() {
    let place = place();
    let hook = repository("fixtures/providers/hanging/on_BinaryRequest__50_hanging.sh");
    let ran = place.run(&["hook", "test", &hook, "--timeout", "1", "--only", "answer,hostile,full"]).exits(1);
    assert_eq!(items(&ran, "broken"), ["answer"]);
    assert_eq!(item(&ran, "full")["reason"], "it does not exit by itself");
}

#[test]
fn a_process_that_is_left_breaks_leftovers_and_is_ended() {
    let place = place();
    let hook = "#!/bin/sh\nsetsid env -i sleep 600 &\nuntil [ -e /proc/$!/comm ] && read -r it </proc/$!/comm \
                && [ \"$it\" = sleep ]; do :; done\n";
    let hook = place.script("p/on_Snapshot__10_p.sh", hook);
    let ran = place.run(&["hook", "test", hook.to_str().unwrap(), "--only", "leftovers"]).exits(1);
    let found = item(&ran, "leftovers");
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.starts_with("a process that it started is still running: sleep 600"), "{found}");
    let pid = reason.rsplit_once("pid ").unwrap().1.trim_end_matches(')');
    // It wiped its environment, so the playground would not find it.
    wait_until("it is gone", || !Path::new("/proc").join(pid).exists());
}

#[test]
fn a_guess_that_a_provider_declines_is_no_fault_of_it() {
    let place = place();
    let hook = place.script("p/on_BinaryRequest__10_p.sh", "#!/bin/sh\necho 'not here' >&2\nexit 0\n");
    let ran = place.run(&["hook", "test", hook.to_str().unwrap()]).ok();
    let found = item(&ran, "answer");
    assert_eq!(found["outcome"], "skipped");
    assert_eq!(found["reason"], "it declined: not here; name a binary that it can install: -- --name=NAME");
}

#[test]
fn what_is_no_hook_or_cannot_be_started_is_named_with_its_item() {
    let place = place();
    for (file, text, is_executable, broken) in [
        ("p/install.sh", "#!/bin/sh\n", true, "name"),
        ("p/on_BinaryRequest__10_p.bg.sh", "#!/bin/sh\n", true, "name"),
        ("p/on_BinaryRequest__10_p.rb", "exit\n", false, "starts"),
        ("p/on_Snapshot__10_p", "#!/no/such/interpreter\n", true, "starts"),
        ("p/on_Snapshot__20_p", "#!/usr/bin/env no-such-interpreter\n", true, "starts"),
    ] {
        let hook = if is_executable { place.script(file, text) } else { place.write(file, text) };
        let ran = place.run(&["hook", "test", hook.to_str().unwrap()]).exits(1);
        assert_eq!(items(&ran, "broken"), [broken], "{file}");
    }
}

#[test]
fn what_this_system_cannot_set_up_is_skipped_and_says_why() {
    let mut place = place();
    let hook = place.script("p/on_Snapshot__10_p.sh", "#!/bin/sh\n:\n");
    place.set("PATH", place.path("tmp"));
    let ran = place.run(&["hook", "test", hook.to_str().unwrap(), "--only", "read-only,full"]).ok();
    assert_eq!(items(&ran, "skipped"), ["read-only", "full"]);
    let reason = item(&ran, "full")["reason"].to_string();
    assert!(reason.contains("cannot start unshare: it is not on PATH"), "{reason}");
}

#[test]
fn wrong_use_is_told_apart_from_a_broken_hook() {
    let place = place();
    let env = repository("providers/env/on_BinaryRequest__00_env.batch.sh");
    place.run(&["hook", "test", "no-such-file.sh"]).exits(2).says("no-such-file.sh is not a file");
    place.run(&["hook", "test", &env, "--only", "nothing"]).exits(2).says("unknown item nothing");
    place.run(&["hook", "test", &env, "--", "jq"]).exits(2).says("is not an argument for hooks");
    place.run(&["hook", "test", &env, "--timeout", "0"]).exits(2);
}

#[test]
fn an_interrupted_test_ends_its_hook_and_leaves_nothing() {
    let place = place();
    let hook = repository("fixtures/providers/hanging/on_BinaryRequest__50_hanging.sh");
    let child = place.start(&["hook", "test", &hook]);
    wait_until("the hook runs", || place.count("sleep 600") > 0);
    signal(child.id(), Signal::SIGINT);
    Ran::from(&[], &child.wait_with_output().unwrap()).exits(130);
    assert_eq!(place.living(), []);
    assert_eq!(kept(&place), Vec::<PathBuf>::new());
}
