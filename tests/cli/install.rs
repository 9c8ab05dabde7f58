//! From requirements to linked, recorded binaries.

use std::fs;
use std::os::unix::fs::MetadataExt;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::test_context::TestContext;

#[test]
fn what_is_on_path_is_linked_and_recorded() {
    let context = TestContext::new();
    context.plugin("shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    let record = context.run(&["install"]).succeeds().record();
    assert_eq!(record["type"], "Binary");
    assert_eq!(record["status"], "installed");
    assert_eq!(record["binprovider"], "env");
    assert_eq!(record["sha256"].as_str().unwrap().len(), 64);
    let target = fs::read_link(context.bin("sh")).unwrap();
    assert_eq!(record["abspath"], target.to_str().unwrap());

    let processes = context.processes();
    assert_eq!(processes.len(), 2, "the command line and one hook");
    let (cli, hook) = (&processes[0], &processes[1]);
    assert_eq!(cli["process_type"], "cli");
    assert_eq!(hook["parent_id"], cli["id"]);
    assert_eq!(hook["binary_id"], record["id"]);
    for process in [cli, hook] {
        assert_eq!(process["status"], "exited");
        assert_eq!(process["exit_code"], 0);
        assert!(process["started_at"].as_str() <= process["ended_at"].as_str());
    }
    assert!(hook["max_rss"].as_u64().unwrap() > 100_000, "peak memory in bytes");
    assert_eq!(hook["stdout_bytes"].as_u64(), Some(hook["stdout_tail"].as_str().unwrap().len() as u64));
}

#[test]
fn a_second_run_starts_no_process_and_touches_no_link() {
    let context = TestContext::new();
    context.plugin("shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    context.run(&["install"]).succeeds();
    let inode = || context.bin("sh").symlink_metadata().unwrap().ino();
    let (before, processes) = (inode(), context.processes().len());
    let record = context.run(&["install"]).succeeds().stderr_contains("is already installed").record();
    assert_eq!(record["status"], "installed");
    assert_eq!(inode(), before);
    assert_eq!(context.processes().len(), processes, "not even the command line is recorded");
}

#[test]
fn a_deleted_file_is_resolved_anew_and_the_others_stay_untouched() {
    let context = TestContext::new();
    context.fixture("good");
    context.plugin(
        "two",
        &["one", "two"].map(|name| json!({"type": "Binary", "name": name, "binproviders": "good"})),
    );
    context.run(&["install"]).succeeds();
    let untouched = context.bin("two").symlink_metadata().unwrap().ino();
    fs::remove_file(fs::read_link(context.bin("one")).unwrap()).unwrap();
    context.run(&["install"]).succeeds();
    let mut asked: Vec<Value> = context.hook_processes().iter().map(|hook| hook["cmd"][1].clone()).collect();
    assert_eq!(asked.pop().unwrap(), "--name=one");
    assert_eq!(asked.len(), 2, "the two of the first run");
    assert_eq!(context.bin("two").symlink_metadata().unwrap().ino(), untouched);
    Command::new(context.bin("one")).assert().success().stdout("one 2.0.1\n");
}

#[test]
fn a_changed_file_is_resolved_anew() {
    let context = TestContext::new();
    context
        .fixture("good")
        .plugin("one", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context.run(&["install"]).succeeds();
    fs::write(fs::read_link(context.bin("one")).unwrap(), "#!/bin/sh\necho hijacked\n").unwrap();
    context.run(&["install"]).succeeds();
    Command::new(context.bin("one")).assert().success().stdout("one 2.0.1\n");
}

#[test]
fn a_risen_min_version_asks_again_and_a_met_one_does_not() {
    let context = TestContext::new();
    context
        .fixture("good")
        .plugin("one", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context.run(&["install"]).succeeds();
    context.run(&["install", "--min-version", "2.0"]).succeeds();
    assert_eq!(context.hook_processes().len(), 1);
    let record = context.run(&["install", "--min-version", "3"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "rejected");
    assert_eq!(record["attempts"][0]["reason"], "version 2.0.1 is older than 3");
}

#[test]
fn force_asks_again_for_what_is_there() {
    let context = TestContext::new();
    context
        .fixture("good")
        .plugin("one", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context.run(&["install"]).succeeds();
    context.run(&["install", "--force"]).succeeds();
    assert_eq!(context.hook_processes().len(), 2);
}

#[test]
fn providers_are_asked_in_the_requests_order_until_one_wins() {
    let context = TestContext::new();
    for provider in ["good", "failing", "noisy"] {
        context.fixture(provider);
    }
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "x", "binproviders": "failing, absent, good,noisy"})],
    );
    let record = context.run(&["install"]).succeeds().record();
    assert_eq!(record["binprovider"], "good");
    let attempts = context.run(&["binary", "show", "x"]).succeeds().record();
    assert_eq!(attempts["status"], "installed");
    let asked: Vec<Value> = context.hook_processes().iter().map(|hook| hook["plugin"].clone()).collect();
    assert_eq!(asked, ["failing", "good"]);
}

#[test]
fn one_that_nobody_has_is_reported_with_every_reason_and_keeps_no_other_from_being_installed() {
    let context = TestContext::new();
    context.fixture("failing").fixture("good");
    context.plugin(
        "p",
        &[
            json!({"type": "Binary", "name": "no-such-tool", "binproviders": "env,failing,absent"}),
            json!({"type": "Binary", "name": "one", "binproviders": "good"}),
        ],
    );
    let output = context.run(&["install"]).exits_with(1);
    let records = output.records();
    assert_eq!(records[0]["type"], "BinaryRequest");
    assert_eq!(records[0]["status"], "queued");
    assert_eq!(records[0]["attempt_count"], 1);
    assert!(records[0]["retry_at"].is_string());
    let outcomes: Vec<&str> = records[0]["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["declined", "failed", "skipped"]);
    assert_eq!(records[1]["status"], "installed");
    let log = records[0]["attempts"][1]["process_id"].as_str().unwrap();
    let output = output
        .stderr_contains("error: cannot install no-such-tool: ")
        .stderr_contains("env declined: no-such-tool is not on PATH")
        .stderr_contains("failing failed: exit code 3: the disk is on fire")
        .stderr_contains("absent skipped: no such provider");
    output.stderr_contains(&format!("rigup process logs {}", &log[log.len() - 8..]));
    assert!(!context.bin("no-such-tool").exists());
}

#[test]
fn a_name_that_two_plugins_require_is_asked_for_once() {
    let context = TestContext::new();
    context.fixture("good");
    let line =
        |version| json!({"type": "Binary", "name": "x", "binproviders": "good,env", "min_version": version});
    context.plugin("a", &[line("1")]).plugin("b", &[line("2")]);
    let record = context.run(&["install"]).succeeds().record();
    assert_eq!(record["min_version"], "2");
    assert_eq!(context.hook_processes().len(), 1);
}

#[test]
fn plugins_without_a_provider_in_common_are_an_error_that_names_both() {
    let context = TestContext::new();
    context.plugin("a", &[json!({"type": "Binary", "name": "x", "binproviders": "pip"})]);
    context.plugin("b", &[json!({"type": "Binary", "name": "x", "binproviders": "npm"})]);
    let output = context
        .run(&["install"])
        .exits_with(1)
        .stderr_contains("plugin a allows only pip, but plugin b allows only npm");
    assert_eq!(output.record()["type"], "BinaryRequest");
}

#[test]
fn a_bare_name_asks_only_env_and_curated_collections() {
    let context = TestContext::new();
    let plan = context.run(&["install", "--dry-run", "no-such-tool"]).succeeds().record();
    assert_eq!(plan["binproviders"], "env,brew,apt");
    let plan =
        context.run(&["install", "--dry-run", "no-such-tool", "--binproviders", "pip"]).succeeds().record();
    assert_eq!(plan["binproviders"], "pip");
}

#[test]
fn a_dry_run_changes_nothing_at_all() {
    let context = TestContext::new();
    context.plugin("shell", &[json!({"type": "Binary", "name": "sh"})]);
    let plan = context.run(&["install", "--dry-run"]).succeeds().record();
    assert_eq!(plan["status"], "queued");
    assert!(plan["binproviders"].as_str().unwrap().starts_with("env,npm,pip,brew,apt,"), "{plan}");
    assert!(!context.path("data").exists());
}

#[test]
fn load_tells_what_is_there_and_installs_nothing() {
    let context = TestContext::new();
    context.fixture("good").plugin(
        "p",
        &[
            json!({"type": "Binary", "name": "sh", "binproviders": "good,env"}),
            json!({"type": "Binary", "name": "one", "binproviders": "good"}),
        ],
    );
    let records = context.run(&["load"]).exits_with(1).records();
    assert_eq!(records[0]["binprovider"], "env");
    assert_eq!(records[1]["status"], "queued");
    assert!(context.hook_processes().iter().all(|hook| hook["plugin"] == "env"));
    context.run(&["install", "one"]).succeeds();
    context.run(&["load"]).succeeds();
}

#[test]
fn an_absolute_path_means_exactly_that_file() {
    let context = TestContext::new();
    let tool = context.script("opt/tool", "#!/bin/sh\necho tool 3.1\n");
    let tool = tool.to_str().unwrap();
    let record = context.run(&["install", tool]).succeeds().record();
    assert_eq!((record["name"].as_str(), record["version"].as_str()), (Some(tool), Some("3.1")));
    assert_eq!(fs::read_link(context.bin("tool")).unwrap().to_str(), Some(tool));
    context
        .run(&["install", "/no/such/sh"])
        .exits_with(1)
        .stderr_contains("/no/such/sh is not an executable file");
    assert!(!context.bin("sh").exists(), "no other sh takes its place");
}

#[test]
fn chosen_plugins_are_found_whatever_their_case_and_unknown_ones_are_an_error() {
    let context = TestContext::new();
    context.plugin("Shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    context.plugin("other", &[json!({"type": "Binary", "name": "no-such-tool", "binproviders": "env"})]);
    assert_eq!(context.run(&["install", "--plugins", "shell"]).succeeds().records().len(), 1);
    context
        .run(&["install", "--plugins", "shel"])
        .exits_with(3)
        .stderr_contains("no plugin is called shel")
        .stderr_contains("Shell");
}

#[test]
fn nothing_required_is_well() {
    let context = TestContext::new();
    let output = context.run(&["install"]).succeeds().stderr_contains("no plugin requires a binary");
    assert_eq!(output.stdout, "");
}

#[test]
fn a_plugin_found_earlier_replaces_one_of_the_same_name_whole() {
    let context = TestContext::new();
    context.plugin("p", &[json!({"type": "Binary", "name": "no-such-tool", "binproviders": "env"})]);
    context.write(
        "mine/p/binaries.jsonl",
        json!({"type": "Binary", "name": "sh", "binproviders": "env"}).to_string(),
    );
    let mine = context.path("mine");
    let record = context.run(&["--plugins-dir", mine.to_str().unwrap(), "install"]).succeeds().record();
    assert_eq!(record["name"], "sh");
}

#[test]
fn load_in_vain_leaves_the_records_as_they_were() {
    let context = TestContext::new();
    context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    let installed = context.run(&["install"]).succeeds().record();
    let output = context
        .run(&["load", "one", "--min-version", "9"])
        .exits_with(1)
        .stderr_contains("error: one (>= 9) is not installed");
    assert_eq!(output.record()["status"], "queued");
    assert_eq!(context.run(&["load", "one"]).succeeds().record(), installed);
}
