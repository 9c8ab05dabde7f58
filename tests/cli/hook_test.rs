//! `rigup hook test`, with hooks that follow the contract and hooks that break one item each.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

/// Returns the path of a file in this repository.
fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

/// Creates a context with its own folder for temporary files.
fn context() -> TestContext {
    let mut context = TestContext::new();
    let tmp = context.path("tmp");
    fs::create_dir(&tmp).unwrap();
    context.set("TMPDIR", tmp);
    context
}

/// Returns the paths in the folder for temporary files.
fn temporary_files(context: &TestContext) -> Vec<PathBuf> {
    fs::read_dir(context.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Returns the ids of the items with this outcome.
fn items(output: &CommandOutput, outcome: &str) -> Vec<String> {
    let records = output.records().into_iter().filter(|record| record["outcome"] == outcome);
    records.map(|record| record["item"].as_str().unwrap().to_owned()).collect()
}

/// Returns the record of an item.
fn item(output: &CommandOutput, id: &str) -> Value {
    output.records().into_iter().find(|record| record["item"] == id).expect("the item is reported")
}

/// Asserts that no item fails, and that only these items are skipped.
#[track_caller]
fn assert_passes(output: CommandOutput, may_be_skipped: &[&str]) {
    let output = output.succeeds();
    let skipped = items(&output, "skipped");
    assert!(skipped.iter().all(|item| may_be_skipped.contains(&item.as_str())), "{}", output.stderr);
}

/// `read-only` and `full` are skipped if the test is not allowed to mount, and `term` if the hook exits first.
const MAY_BE_SKIPPED: [&str; 3] = ["read-only", "full", "term"];

/// Tests a broken hook, and asserts that only the item with this id fails. Returns the record of the item, or `None` if
/// the system cannot check it.
#[track_caller]
fn assert_breaks(id: &str) -> Option<Value> {
    let context = context();
    let hook = repository(&format!("fixtures/hooks/broken/{id}/on_BinaryRequest__50_{id}.sh"));
    let output = context.run(&["hook", "test", &hook, "--", "--name=tool"]);
    if id == "full" && items(&output, "skipped").contains(&"full".to_owned()) {
        assert_passes(output, &MAY_BE_SKIPPED);
        return None;
    }
    let output = output.exits_with(1).stderr_contains(&format!("error: {id}: "));
    assert_eq!(items(&output, "broken"), [id], "{}", output.stderr);
    let found = item(&output, id);
    let look_at = found["look_at"].as_str().unwrap();
    let (path, line) = look_at.rsplit_once(':').unwrap();
    let lines = fs::read_to_string(path).unwrap().lines().count();
    assert!((1..=lines.max(1)).contains(&line.parse().unwrap()), "{look_at}");
    assert_eq!(temporary_files(&context).len(), 1, "the files of the hook are kept");
    assert!(!context.path("data").exists(), "the data dir is not used");
    assert_eq!(context.live_processes(), []);
    Some(found)
}

#[test]
fn a_record_of_a_missing_file_breaks_answer_alone() {
    let found = assert_breaks("answer").unwrap();
    assert!(found["reason"].as_str().unwrap().contains("/lib/answer/tool does not exist"), "{found}");
    assert!(found["look_at"].as_str().unwrap().ends_with("/stdout.log:1"), "{found}");
}

#[test]
fn a_record_for_an_unknown_name_breaks_absent_alone() {
    assert_breaks("absent");
}

#[test]
fn a_hook_that_evaluates_its_arguments_breaks_hostile_alone() {
    let found = assert_breaks("hostile").unwrap();
    assert!(found["reason"].as_str().unwrap().starts_with("shell text in the name was run"), "{found}");
    assert!(
        found["look_at"].as_str().unwrap().ends_with("_hostile.sh:7"),
        "look_at is the line of the eval: {found}"
    );
}

#[test]
fn a_hook_that_leaves_a_process_after_term_breaks_term_alone() {
    let found = assert_breaks("term").unwrap();
    assert!(found["reason"].as_str().unwrap().contains("after TERM: sleep 600"), "{found}");
}

#[test]
fn a_hook_that_ignores_write_errors_breaks_full_alone() {
    if let Some(found) = assert_breaks("full") {
        assert!(found["reason"].as_str().unwrap().ends_with("/tool is empty"), "{found}");
    }
}

#[test]
fn a_hook_that_rejects_arguments_breaks_unknown_arguments_alone() {
    let found = assert_breaks("unknown-arguments").unwrap();
    assert!(
        found["reason"].as_str().unwrap().ends_with("unknown argument: --rigup-unknown=a=b c"),
        "{found}"
    );
}

#[test]
fn env_follows_the_contract_and_the_test_removes_its_files() {
    let context = context();
    let output =
        context.run(&["hook", "test", &repository("providers/env/on_BinaryRequest__00_env.batch.sh")]);
    assert_eq!(output.records().len(), 15);
    assert_eq!(item(&output, "answer")["type"], "HookCheck");
    assert_passes(output, &MAY_BE_SKIPPED);
    assert_eq!(temporary_files(&context), Vec::<PathBuf>::new());
    assert!(!context.path("data").exists());
}

#[test]
fn the_example_providers_follow_the_contract() {
    for (language, file, program) in [
        ("sh", "on_BinaryRequest__50_example.sh", "/bin/sh"),
        ("python", "on_BinaryRequest__50_example.py", "/usr/bin/python3"),
        ("node", "on_BinaryRequest__50_example.js", "/usr/bin/node"),
    ] {
        if Path::new(program).exists() {
            let context = context();
            let hook = repository(&format!("examples/provider/{language}/example/{file}"));
            assert_passes(context.run(&["hook", "test", &hook]), &MAY_BE_SKIPPED);
        }
    }
}

#[test]
fn a_hook_of_another_event_has_fewer_checks() {
    let context = context();
    let hook = repository("examples/plugin/example/on_Snapshot__50_example.sh");
    let output = context.run(&["hook", "test", &hook, "--", "--url=https://example.org"]);
    let items: Vec<Value> = output.records().into_iter().map(|mut record| record["item"].take()).collect();
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
    assert_passes(output, &MAY_BE_SKIPPED);
}

#[test]
fn a_daemon_only_has_to_exit_on_term() {
    let context = context();
    let hook = context.script("p/on_Snapshot__10_p.daemon.bg.sh", "#!/bin/sh\nwhile :; do sleep 600; done\n");
    let output = context
        .run(&[
            "hook",
            "test",
            hook.to_str().unwrap(),
            "--timeout",
            "1",
            "--only",
            "starts,unknown-arguments,term",
        ])
        .succeeds();
    assert_eq!(item(&output, "term")["outcome"], "held");
    let ignores_term = "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 600; done\n";
    let hook = context.script("q/on_Snapshot__10_q.daemon.bg.sh", ignores_term);
    let only = ["hook", "test", hook.to_str().unwrap(), "--timeout", "1", "--only", "term"];
    let output = context.run(&only).exits_with(1);
    assert!(
        item(&output, "term")["look_at"].as_str().unwrap().ends_with(".sh:2"),
        "look_at is the line of the trap"
    );
}

#[test]
fn waits_only_once_for_a_hook_that_never_exits() {
    let context = context();
    let hook = repository("fixtures/providers/hanging/on_BinaryRequest__50_hanging.sh");
    let output = context
        .run(&["hook", "test", &hook, "--timeout", "1", "--only", "answer,hostile,full"])
        .exits_with(1);
    assert_eq!(items(&output, "broken"), ["answer"]);
    assert_eq!(item(&output, "full")["reason"], "it does not exit on its own");
}

#[test]
fn a_leftover_process_breaks_leftovers_and_is_terminated() {
    let context = context();
    let hook = "#!/bin/sh\nsetsid env -i sleep 600 &\nuntil [ -e /proc/$!/comm ] && read -r it </proc/$!/comm \
                && [ \"$it\" = sleep ]; do :; done\n";
    let hook = context.script("p/on_Snapshot__10_p.sh", hook);
    let output = context.run(&["hook", "test", hook.to_str().unwrap(), "--only", "leftovers"]).exits_with(1);
    let found = item(&output, "leftovers");
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.starts_with("a process that it started is still running: sleep 600"), "{found}");
    let pid = reason.rsplit_once("pid ").unwrap().1.trim_end_matches(')');
    // The process cleared its environment, so the test context cannot find it.
    wait_until("the process has exited", || !Path::new("/proc").join(pid).exists());
}

#[test]
fn skips_answer_if_the_provider_declines_the_default_name() {
    let context = context();
    let hook = context.script("p/on_BinaryRequest__10_p.sh", "#!/bin/sh\necho 'not here' >&2\nexit 0\n");
    let output = context.run(&["hook", "test", hook.to_str().unwrap()]).succeeds();
    let found = item(&output, "answer");
    assert_eq!(found["outcome"], "skipped");
    let reason = "it declined the request: not here; name a binary that it can install: -- --name=NAME";
    assert_eq!(found["reason"], reason);
}

#[test]
fn a_hook_that_never_answers_a_named_request_breaks_answer() {
    for exit in ["exit 0", "exit 10"] {
        let context = context();
        let hook = context.script("p/on_BinaryRequest__10_p.sh", &format!("#!/bin/sh\n{exit}\n"));
        let output =
            context.run(&["hook", "test", hook.to_str().unwrap(), "--", "--name=tool"]).exits_with(1);
        assert_eq!(items(&output, "broken"), ["answer"]);
        assert_eq!(items(&output, "held"), ["name", "starts"]);
        let reason = item(&output, "absent")["reason"].as_str().unwrap().to_owned();
        assert_eq!(reason, "the hook never answered the request with a record, so this shows nothing");
    }
}

#[test]
fn reports_files_that_are_not_hooks_or_cannot_be_started() {
    let context = context();
    for (file, text, is_executable, broken) in [
        ("p/install.sh", "#!/bin/sh\n", true, "name"),
        ("p/on_BinaryRequest__10_p.bg.sh", "#!/bin/sh\n", true, "name"),
        ("p/on_BinaryRequest__10_p.rb", "exit\n", false, "starts"),
        ("p/on_Snapshot__10_p", "#!/no/such/interpreter\n", true, "starts"),
        ("p/on_Snapshot__20_p", "#!/usr/bin/env no-such-interpreter\n", true, "starts"),
    ] {
        let hook = if is_executable { context.script(file, text) } else { context.write(file, text) };
        let output = context.run(&["hook", "test", hook.to_str().unwrap()]).exits_with(1);
        assert_eq!(items(&output, "broken"), [broken], "{file}");
    }
}

#[test]
fn skips_checks_that_the_system_cannot_set_up_with_a_reason() {
    let mut context = context();
    let hook = context.script("p/on_Snapshot__10_p.sh", "#!/bin/sh\n:\n");
    context.set("PATH", context.path("tmp"));
    let output =
        context.run(&["hook", "test", hook.to_str().unwrap(), "--only", "read-only,full"]).succeeds();
    assert_eq!(items(&output, "skipped"), ["read-only", "full"]);
    let reason = item(&output, "full")["reason"].to_string();
    assert!(reason.contains("cannot start unshare: it is not on PATH"), "{reason}");
}

#[test]
fn usage_errors_exit_with_2_and_not_1() {
    let context = context();
    let env = repository("providers/env/on_BinaryRequest__00_env.batch.sh");
    context
        .run(&["hook", "test", "no-such-file.sh"])
        .exits_with(2)
        .stderr_contains("no-such-file.sh is not a file");
    context
        .run(&["hook", "test", &env, "--only", "nothing"])
        .exits_with(2)
        .stderr_contains("unknown item nothing");
    context
        .run(&["hook", "test", &env, "--", "jq"])
        .exits_with(2)
        .stderr_contains("is not an argument for hooks");
    context.run(&["hook", "test", &env, "--timeout", "0"]).exits_with(2);
}

#[test]
fn an_interrupt_terminates_the_hook_and_removes_the_files() {
    let context = context();
    let hook = repository("fixtures/providers/hanging/on_BinaryRequest__50_hanging.sh");
    let child = context.start(&["hook", "test", &hook]);
    wait_until("the hook runs", || context.count_live("sleep 600") > 0);
    signal(child.id(), Signal::SIGINT);
    CommandOutput::new(&[], &child.wait_with_output().unwrap()).dies_of(Signal::SIGINT);
    assert_eq!(context.live_processes(), []);
    assert_eq!(temporary_files(&context), Vec::<PathBuf>::new());
}

/// Tests a hook that lists versions, which is run with the request of `tool`.
fn test_versions(context: &TestContext, script: &str) -> CommandOutput {
    let hook = "here/providers/shop/on_BinaryVersions__50_shop.batch.sh";
    context.script(
        hook,
        &format!(
            "#!/bin/sh\nset -euf\neval \"$(\"$RIGUP\" hook begin --provider shop --versions)\"\n{script}"
        ),
    );
    let only =
        "name,starts,answer,absent,not-asked,batch,unknown-arguments,hostile,huge,stdout,repeat,leftovers";
    context.run(&["hook", "test", context.path(hook).to_str().unwrap(), "--only", only, "--", "--name=tool"])
}

#[test]
fn a_hook_that_lists_versions_is_checked_with_its_records() {
    let context = context();
    let known = "case $plan in *tool*) ;; *) exit 0 ;; esac\n";
    let list = |versions: &str| {
        format!("{known}echo '{{\"type\":\"BinaryVersions\",\"name\":\"tool\",\"versions\":{versions}}}'\n")
    };
    assert_passes(
        test_versions(&context, &list(r#"[{"version":"1.0"},{"version":"1.1","yanked":true}]"#)),
        &[],
    );
    for (script, broken, reason) in [
        (list("[]"), "answer", "its versions are not a list, or an empty one"),
        (list(r#"[{"released_at":"2026-01-01T00:00:00Z"}]"#), "answer", "entry 1 of its versions has no version"),
        (list(r#"[{"version":"1.0","released_at":"yesterday"}]"#), "answer", "released_at of version 1.0 is not a time"),
        (format!("{known}echo '{{\"type\":\"BinaryVersions\"'\n"), "stdout", "is not JSON"),
        ("exit 0\n".to_owned(), "answer", "it declined the request"),
        (list("[{\"version\":\"'$$'\"}]"), "repeat", "the first time,"),
        (
            "for line in $plan; do name=${line%%\"$tab\"*}; printf '{\"type\":\"BinaryVersions\",\"name\":\"%s\",\
             \"versions\":[{\"version\":\"1\"}]}\\n' \"$name\"; done\n".to_owned(),
            "absent",
            "it prints a record for a name that does not exist",
        ),
    ] {
        let output = test_versions(&context, &script).exits_with(1);
        let found = item(&output, broken);
        assert_eq!(found["outcome"], "broken", "{script}{}", output.stderr);
        assert!(found["reason"].as_str().unwrap().contains(reason), "{found}");
    }
}
