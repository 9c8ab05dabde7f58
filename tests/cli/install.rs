//! `rigup install` and `rigup load`: from requirements to linked and recorded binaries.

use std::fs;
use std::os::unix::fs::MetadataExt;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::test_context::TestContext;

#[test]
fn load_says_that_it_found_a_binary_not_that_it_installed_it() {
    let context = TestContext::new();
    let stderr = context.run(&["load", "sh"]).succeeds().stderr;
    assert!(stderr.contains("sh: found by env") && !stderr.contains("installed by"), "{stderr}");
}

#[test]
fn links_and_records_a_binary_on_path() {
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
    assert_eq!(processes.len(), 2, "the cli process and one hook");
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
fn the_second_install_starts_no_process_and_touches_no_link() {
    let context = TestContext::new();
    context.plugin("shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    context.run(&["install"]).succeeds();
    let inode = || context.bin("sh").symlink_metadata().unwrap().ino();
    let (before, processes) = (inode(), context.processes().len());
    let record = context.run(&["install"]).succeeds().stderr_contains("is already installed").record();
    assert_eq!(record["status"], "installed");
    assert_eq!(inode(), before);
    assert_eq!(context.processes().len(), processes, "not even the cli process is recorded");
}

#[test]
fn resolves_again_only_the_binary_whose_file_was_deleted() {
    let context = TestContext::new();
    context.fixture("good");
    context.plugin(
        "two",
        &["one", "two"].map(|name| json!({"type": "Binary", "name": name, "binproviders": "good"})),
    );
    context.run(&["install"]).succeeds();
    let untouched = context.bin("two").symlink_metadata().unwrap().ino();
    fs::remove_file(context.linked_file("one")).unwrap();
    context.run(&["install"]).succeeds();
    let mut names: Vec<Value> = context.hook_processes().iter().map(|hook| hook["cmd"][1].clone()).collect();
    assert_eq!(names.pop().unwrap(), "--name=one");
    assert_eq!(names.len(), 2, "the first install ran two hooks");
    assert_eq!(context.bin("two").symlink_metadata().unwrap().ino(), untouched);
    Command::new(context.bin("one")).assert().success().stdout("one 2.0.1\n");
}

#[test]
fn resolves_a_binary_again_if_its_file_changes() {
    let context = TestContext::new();
    context
        .fixture("good")
        .plugin("one", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context.run(&["install"]).succeeds();
    fs::write(context.linked_file("one"), "#!/bin/sh\necho hijacked\n").unwrap();
    context.run(&["install"]).succeeds();
    Command::new(context.bin("one")).assert().success().stdout("one 2.0.1\n");
}

#[test]
fn resolves_again_only_if_the_version_is_older_than_min_version() {
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
fn force_resolves_an_installed_binary_again() {
    let context = TestContext::new();
    context
        .fixture("good")
        .plugin("one", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context.run(&["install"]).succeeds();
    context.run(&["install", "--force"]).succeeds();
    assert_eq!(context.hook_processes().len(), 2);
}

#[test]
fn tries_providers_in_the_order_of_the_request_until_one_installs() {
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
    let providers: Vec<Value> = context.hook_processes().iter().map(|hook| hook["plugin"].clone()).collect();
    assert_eq!(providers, ["failing", "good"]);
}

#[test]
fn reports_all_reasons_of_a_missing_binary_and_installs_the_others() {
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
fn a_name_that_two_plugins_require_is_resolved_once() {
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
fn names_both_plugins_that_have_no_provider_in_common() {
    let context = TestContext::new();
    context.plugin("a", &[json!({"type": "Binary", "name": "x", "binproviders": "pip"})]);
    context.plugin("b", &[json!({"type": "Binary", "name": "x", "binproviders": "npm"})]);
    let output = context
        .run(&["install"])
        .exits_with(1)
        .stderr_contains("no provider is in both pip (")
        .stderr_contains("plugins/a/binaries.jsonl:1) and npm (")
        .stderr_contains("plugins/b/binaries.jsonl:1); change one of them");
    assert_eq!(output.record()["type"], "BinaryRequest");
}

#[test]
fn a_bare_name_tries_only_env_and_curated_providers() {
    let context = TestContext::new();
    let plan = context.run(&["install", "--dry-run", "no-such-tool"]).succeeds().record();
    assert_eq!(plan["binproviders"], "env,brew,apt");
    let plan =
        context.run(&["install", "--dry-run", "no-such-tool", "--binproviders", "pip"]).succeeds().record();
    assert_eq!(plan["binproviders"], "pip");
}

#[test]
fn a_dry_run_creates_no_data_dir() {
    let context = TestContext::new();
    context.plugin("shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "*"})]);
    let plan = context.run(&["install", "--dry-run"]).succeeds().record();
    assert_eq!(plan["status"], "queued");
    assert!(plan["binproviders"].as_str().unwrap().starts_with("env,npm,pip,brew,apt,"), "{plan}");
    assert!(!context.path("data").exists());
}

#[test]
fn an_install_that_cannot_be_planned_creates_no_data_dir() {
    let context = TestContext::new();
    for (args, code) in [
        (&["install", "tool", "--locked"][..], 3),
        (&["install", "tool", "--min-version", "x"], 2),
        (&["load", "tool", "--max-version", "x"], 2),
    ] {
        context.run(args).exits_with(code);
        assert!(!context.path("data").exists(), "{args:?}");
    }
}

#[test]
fn a_data_dir_that_is_a_file_is_an_error_that_says_so() {
    let context = TestContext::new();
    context.plugin("shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    fs::write(context.path("data"), "").unwrap();
    for args in [&["install"][..], &["install", "tool"], &["load", "tool"], &["list"]] {
        context
            .run(args)
            .exits_with(3)
            .stderr_contains("data: it is not a folder; choose another with --data-dir");
    }
}

#[test]
fn load_finds_binaries_and_installs_none() {
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
    context.run(&["install", "/no/such/sh"]).exits_with(1).stderr_contains("/no/such/sh does not exist");
    assert!(!context.bin("sh").exists(), "no other sh is linked");
}

#[test]
fn selects_plugins_in_any_case_and_rejects_unknown_ones() {
    let context = TestContext::new();
    context.plugin("Shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    context.plugin("other", &[json!({"type": "Binary", "name": "no-such-tool", "binproviders": "env"})]);
    assert_eq!(context.run(&["install", "--plugins", "shell"]).succeeds().records().len(), 1);
    context
        .run(&["install", "--plugins", "shel"])
        .exits_with(3)
        .stderr_contains("there is no plugin named shel")
        .stderr_contains("Shell");
}

#[test]
fn succeeds_if_no_plugin_requires_a_binary() {
    let context = TestContext::new();
    context.plugin("p", &[]);
    let output = context.run(&["install"]).succeeds().stderr_contains("no enabled plugin requires a binary");
    assert_eq!(output.stdout, "");
}

#[test]
fn a_plugin_earlier_in_the_path_replaces_a_later_one_as_a_whole() {
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
fn a_failed_load_changes_no_record() {
    let context = TestContext::new();
    context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    let installed = context.run(&["install"]).succeeds().record();
    let output = context
        .run(&["load", "one", "--min-version", "9"])
        .exits_with(1)
        .stderr_contains(
            "error: cannot load one (>= 9): one 2.0.1, which good installed, is installed, but its version",
        )
        .stderr_contains("; run `rigup install one --min-version 9`");
    context.run(&["load", "ls@99"]).exits_with(1).stderr_contains("run `rigup install ls@99`");
    assert_eq!(output.record()["status"], "queued");
    assert_eq!(context.run(&["load", "one"]).succeeds().record(), installed);
}

/// Links its program from a cache, as uv does.
const CACHING: &str = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider caching -- "$@")"
cached=$DATA_DIR/cached
[ -e "$cached" ] || { printf '#!/bin/sh\necho 1.0\n' >"$cached" && chmod +x "$cached"; }
mkdir -p "$part" && ln "$cached" "$part/$name"
"$RIGUP" hook binary --provider caching --built "$part" --abspath "$prefix/$name" -- "$@"
"#;

#[test]
fn a_removed_name_of_a_file_in_a_cache_is_no_change_of_the_program() {
    let context = TestContext::new();
    context.provider("caching", CACHING);
    let args = ["install", "x", "--binproviders", "caching"];
    let first = context.run(&args).succeeds().record();
    // The earlier prefix, which has another name of the file, is removed.
    let again = context.run(&[&args[..], &["--force"]].concat()).succeeds().record();
    assert_ne!(again["fingerprint"], first["fingerprint"]);
    context.run(&args).succeeds().stderr_contains("x is already installed");
    fs::remove_file(context.path("data/cached")).unwrap();
    context.run(&args).succeeds().stderr_contains("x is already installed");
    let renewed = context.run(&["binary", "show", "x"]).succeeds().record();
    assert_ne!(renewed["fingerprint"], again["fingerprint"], "the digest is not computed again");
    assert!(!context.path("data/cached").exists(), "the hook did not run again");
}

#[test]
fn a_provider_that_reaches_its_timeout_timed_out() {
    let context = TestContext::new();
    context.script("here/providers/slow/on_BinaryRequest__50_slow.sh", "#!/bin/sh\nexec sleep 600\n");
    let output = context.run(&["install", "x", "--binproviders", "slow", "--timeout", "1"]).exits_with(1);
    let (record, reason) = (output.record(), "slow timed out: terminated after 1 s");
    assert_eq!(record["last_error"], reason);
    assert_eq!(record["attempts"][0]["outcome"], "timeout");
    output
        .stderr_contains(&format!("\n  {reason} (rigup process logs "))
        .stderr_contains(&format!("x: {reason}\n"));
}

#[test]
fn a_dry_run_of_an_installed_binary_names_the_allowed_providers() {
    let context = TestContext::new();
    context.plugin("p", &[json!({"type": "Binary", "name": "sh", "binproviders": "env,apt,brew"})]);
    context.run(&["install"]).succeeds();
    let dry_run = context.run(&["install", "sh", "--binproviders", "apt, env", "--dry-run"]).succeeds();
    assert_eq!(dry_run.record()["binproviders"], "apt,env");
}
