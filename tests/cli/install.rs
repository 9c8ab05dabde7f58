//! From requirements to linked, recorded binaries.

use std::fs;
use std::os::unix::fs::MetadataExt;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::playground::Playground;

#[test]
fn what_is_on_path_is_linked_and_recorded() {
    let place = Playground::new();
    place.plugin("shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    let record = place.run(&["install"]).ok().record();
    assert_eq!(record["type"], "Binary");
    assert_eq!(record["status"], "installed");
    assert_eq!(record["binprovider"], "env");
    assert_eq!(record["sha256"].as_str().unwrap().len(), 64);
    let target = fs::read_link(place.bin("sh")).unwrap();
    assert_eq!(record["abspath"], target.to_str().unwrap());

    let processes = place.processes();
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
    let place = Playground::new();
    place.plugin("shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    place.run(&["install"]).ok();
    let inode = || place.bin("sh").symlink_metadata().unwrap().ino();
    let (before, processes) = (inode(), place.processes().len());
    let record = place.run(&["install"]).ok().says("is already installed").record();
    assert_eq!(record["status"], "installed");
    assert_eq!(inode(), before);
    assert_eq!(place.processes().len(), processes, "not even the command line is recorded");
}

#[test]
fn a_deleted_file_is_resolved_anew_and_the_others_stay_untouched() {
    let place = Playground::new();
    place.fixture("good");
    place.plugin(
        "two",
        &["one", "two"].map(|name| json!({"type": "Binary", "name": name, "binproviders": "good"})),
    );
    place.run(&["install"]).ok();
    let untouched = place.bin("two").symlink_metadata().unwrap().ino();
    fs::remove_file(fs::read_link(place.bin("one")).unwrap()).unwrap();
    place.run(&["install"]).ok();
    let mut asked: Vec<Value> = place.hook_processes().iter().map(|it| it["cmd"][1].clone()).collect();
    assert_eq!(asked.pop().unwrap(), "--name=one");
    assert_eq!(asked.len(), 2, "the two of the first run");
    assert_eq!(place.bin("two").symlink_metadata().unwrap().ino(), untouched);
    Command::new(place.bin("one")).assert().success().stdout("one 2.0.1\n");
}

#[test]
fn a_changed_file_is_resolved_anew() {
    let place = Playground::new();
    place.fixture("good").plugin("one", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    place.run(&["install"]).ok();
    fs::write(fs::read_link(place.bin("one")).unwrap(), "#!/bin/sh\necho hijacked\n").unwrap();
    place.run(&["install"]).ok();
    Command::new(place.bin("one")).assert().success().stdout("one 2.0.1\n");
}

#[test]
fn a_risen_min_version_asks_again_and_a_met_one_does_not() {
    let place = Playground::new();
    place.fixture("good").plugin("one", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    place.run(&["install"]).ok();
    place.run(&["install", "--min-version", "2.0"]).ok();
    assert_eq!(place.hook_processes().len(), 1);
    let record = place.run(&["install", "--min-version", "3"]).exits(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "rejected");
    assert_eq!(record["attempts"][0]["reason"], "version 2.0.1 is older than 3");
}

#[test]
fn force_asks_again_for_what_is_there() {
    let place = Playground::new();
    place.fixture("good").plugin("one", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    place.run(&["install"]).ok();
    place.run(&["install", "--force"]).ok();
    assert_eq!(place.hook_processes().len(), 2);
}

#[test]
fn providers_are_asked_in_the_requests_order_until_one_wins() {
    let place = Playground::new();
    for provider in ["good", "failing", "noisy"] {
        place.fixture(provider);
    }
    place.plugin(
        "p",
        &[json!({"type": "Binary", "name": "x", "binproviders": "failing, absent, good,noisy"})],
    );
    let record = place.run(&["install"]).ok().record();
    assert_eq!(record["binprovider"], "good");
    let attempts = place.run(&["binary", "show", "x"]).ok().record();
    assert_eq!(attempts["status"], "installed");
    let asked: Vec<Value> = place.hook_processes().iter().map(|it| it["plugin"].clone()).collect();
    assert_eq!(asked, ["failing", "good"]);
}

#[test]
fn one_that_nobody_has_is_reported_with_every_reason_and_keeps_no_other_from_being_installed() {
    let place = Playground::new();
    place.fixture("failing").fixture("good");
    place.plugin(
        "p",
        &[
            json!({"type": "Binary", "name": "no-such-tool", "binproviders": "env,failing,absent"}),
            json!({"type": "Binary", "name": "one", "binproviders": "good"}),
        ],
    );
    let ran = place.run(&["install"]).exits(1);
    let records = ran.records();
    assert_eq!(records[0]["type"], "BinaryRequest");
    assert_eq!(records[0]["status"], "queued");
    assert_eq!(records[0]["attempt_count"], 1);
    assert!(records[0]["retry_at"].is_string());
    let outcomes: Vec<&str> =
        records[0]["attempts"].as_array().unwrap().iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["declined", "failed", "skipped"]);
    assert_eq!(records[1]["status"], "installed");
    let log = records[0]["attempts"][1]["process_id"].as_str().unwrap();
    let ran = ran
        .says("error: cannot install no-such-tool: ")
        .says("env declined: no-such-tool is not on PATH")
        .says("failing failed: exit code 3: the disk is on fire")
        .says("absent skipped: no such provider");
    ran.says(&format!("rigup process logs {}", &log[log.len() - 8..]));
    assert!(!place.bin("no-such-tool").exists());
}

#[test]
fn a_name_that_two_plugins_require_is_asked_for_once() {
    let place = Playground::new();
    place.fixture("good");
    let line =
        |version| json!({"type": "Binary", "name": "x", "binproviders": "good,env", "min_version": version});
    place.plugin("a", &[line("1")]).plugin("b", &[line("2")]);
    let record = place.run(&["install"]).ok().record();
    assert_eq!(record["min_version"], "2");
    assert_eq!(place.hook_processes().len(), 1);
}

#[test]
fn plugins_without_a_provider_in_common_are_an_error_that_names_both() {
    let place = Playground::new();
    place.plugin("a", &[json!({"type": "Binary", "name": "x", "binproviders": "pip"})]);
    place.plugin("b", &[json!({"type": "Binary", "name": "x", "binproviders": "npm"})]);
    let ran = place.run(&["install"]).exits(1).says("plugin a allows only pip, but plugin b allows only npm");
    assert_eq!(ran.record()["type"], "BinaryRequest");
}

#[test]
fn a_bare_name_asks_only_env_and_curated_collections() {
    let place = Playground::new();
    let plan = place.run(&["install", "--dry-run", "no-such-tool"]).ok().record();
    assert_eq!(plan["binproviders"], "env,brew,apt");
    let plan = place.run(&["install", "--dry-run", "no-such-tool", "--binproviders", "pip"]).ok().record();
    assert_eq!(plan["binproviders"], "pip");
}

#[test]
fn a_dry_run_changes_nothing_at_all() {
    let place = Playground::new();
    place.plugin("shell", &[json!({"type": "Binary", "name": "sh"})]);
    let plan = place.run(&["install", "--dry-run"]).ok().record();
    assert_eq!(plan["status"], "queued");
    assert!(plan["binproviders"].as_str().unwrap().starts_with("env,npm,pip,brew,apt,"), "{plan}");
    assert!(!place.path("data").exists());
}

#[test]
fn load_tells_what_is_there_and_installs_nothing() {
    let place = Playground::new();
    place.fixture("good").plugin(
        "p",
        &[
            json!({"type": "Binary", "name": "sh", "binproviders": "good,env"}),
            json!({"type": "Binary", "name": "one", "binproviders": "good"}),
        ],
    );
    let records = place.run(&["load"]).exits(1).records();
    assert_eq!(records[0]["binprovider"], "env");
    assert_eq!(records[1]["status"], "queued");
    assert!(place.hook_processes().iter().all(|it| it["plugin"] == "env"));
    place.run(&["install", "one"]).ok();
    place.run(&["load"]).ok();
}

#[test]
fn an_absolute_path_means_exactly_that_file() {
    let place = Playground::new();
    let tool = place.script("opt/tool", "#!/bin/sh\necho tool 3.1\n");
    let tool = tool.to_str().unwrap();
    let record = place.run(&["install", tool]).ok().record();
    assert_eq!((record["name"].as_str(), record["version"].as_str()), (Some(tool), Some("3.1")));
    assert_eq!(fs::read_link(place.bin("tool")).unwrap().to_str(), Some(tool));
    place.run(&["install", "/no/such/sh"]).exits(1).says("/no/such/sh is not an executable file");
    assert!(!place.bin("sh").exists(), "no other sh takes its place");
}

#[test]
fn chosen_plugins_are_found_whatever_their_case_and_unknown_ones_are_an_error() {
    let place = Playground::new();
    place.plugin("Shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    place.plugin("other", &[json!({"type": "Binary", "name": "no-such-tool", "binproviders": "env"})]);
    assert_eq!(place.run(&["install", "--plugins", "shell"]).ok().records().len(), 1);
    place.run(&["install", "--plugins", "shel"]).exits(3).says("no plugin is called shel").says("Shell");
}

#[test]
fn nothing_required_is_well() {
    let place = Playground::new();
    let ran = place.run(&["install"]).ok().says("no plugin requires a binary");
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_plugin_found_earlier_replaces_one_of_the_same_name_whole() {
    let place = Playground::new();
    place.plugin("p", &[json!({"type": "Binary", "name": "no-such-tool", "binproviders": "env"})]);
    place.write(
        "mine/p/binaries.jsonl",
        json!({"type": "Binary", "name": "sh", "binproviders": "env"}).to_string(),
    );
    let mine = place.path("mine");
    let record = place.run(&["--plugins-dir", mine.to_str().unwrap(), "install"]).ok().record();
    assert_eq!(record["name"], "sh");
}

#[test]
fn load_in_vain_leaves_the_records_as_they_were() {
    let place = Playground::new();
    place.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    let installed = place.run(&["install"]).ok().record();
    let ran =
        place.run(&["load", "one", "--min-version", "9"]).exits(1).says("error: one (>= 9) is not installed");
    assert_eq!(ran.record()["status"], "queued");
    assert_eq!(place.run(&["load", "one"]).ok().record(), installed);
}
