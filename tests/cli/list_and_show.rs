//! The commands that list and show records.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::appearance::run_on_terminal;
use crate::test_context::{TestContext, signal, wait_until};

/// Creates a context in which one binary is installed and the install of another failed.
fn context_with_history() -> TestContext {
    let context = TestContext::new();
    context.fixture("good").fixture("failing");
    context.plugin(
        "p",
        &[
            json!({"type": "Binary", "name": "one", "binproviders": "failing,good"}),
            json!({"type": "Binary", "name": "two", "binproviders": "failing"}),
        ],
    );
    context.run(&["install", "-j", "1"]).exits_with(1);
    context
}

#[test]
fn lists_plugins_with_hooks_and_requirements() {
    let context = context_with_history();
    let plugins = context.run(&["plugin", "list"]).succeeds().records();
    let plugin = plugins.iter().find(|plugin| plugin["name"] == "p").unwrap();
    assert_eq!(plugin["type"], "Plugin");
    assert_eq!(plugin["requirements"], json!(["one", "two"]));
    assert_eq!(plugin["enabled"], true);
    let good = plugins.iter().find(|plugin| plugin["name"] == "good").unwrap();
    assert_eq!(good["hooks"], json!(["on_BinaryRequest__50_good.sh"]));
    assert_eq!(context.run(&["plugin", "show", "P"]).succeeds().record(), *plugin);
    context
        .run(&["plugin", "show", "absent"])
        .exits_with(1)
        .stderr_contains("there is no plugin named absent");
    let hooks = context.run(&["hook", "list", "BinaryRequest"]).succeeds().records();
    assert_eq!(hooks[0]["plugin"], "env");
    assert_eq!(hooks.last().unwrap()["order"], 50);
    assert_eq!(context.run(&["hook", "list", "Snapshot"]).succeeds().stdout, "");
}

#[test]
fn lists_binaries_and_shows_their_attempts() {
    let context = context_with_history();
    let all = context.run(&["binary", "list"]).succeeds().records();
    assert_eq!(all.iter().map(|binary| binary["name"].as_str().unwrap()).collect::<Vec<_>>(), ["one", "two"]);
    let queued = context.run(&["binary", "list", "--status", "queued"]).succeeds().record();
    assert_eq!((queued["type"].as_str(), queued["name"].as_str()), (Some("BinaryRequest"), Some("two")));
    assert_eq!(context.run(&["binary", "list", "--name", "one"]).succeeds().record(), all[0]);
    let shown = context.run(&["binary", "show", "two"]).succeeds().record();
    assert_eq!(shown["attempts"][0]["provider"], "failing");
    assert_eq!(context.run(&["binary", "show", all[0]["id"].as_str().unwrap()]).succeeds().record(), all[0]);
    context
        .run(&["binary", "show", "three"])
        .exits_with(1)
        .stderr_contains("no binary has the name or id `three`");
}

#[test]
fn lists_processes_and_shows_one_or_the_tree() {
    let context = context_with_history();
    let listed = context.run(&["process", "list", "-n", "2"]).succeeds().records();
    assert_eq!(listed.len(), 2);
    assert!(listed[0]["created_at"].as_str() >= listed[1]["created_at"].as_str(), "newest first");
    let id = listed[0]["id"].as_str().unwrap();
    let shown = context.run(&["process", "show", id]).succeeds().record();
    assert_eq!(shown["elapsed_seconds"], 0);
    for (key, value) in listed[0].as_object().unwrap() {
        assert_eq!(shown[key], *value, "{key}");
    }
    let tree = context.run(&["process", "tree"]).succeeds().records();
    let depths: Vec<u64> = tree.iter().map(|process| process["depth"].as_u64().unwrap()).collect();
    assert_eq!(depths, [0, 1, 1, 1]);
    assert!(tree[1..].iter().all(|process| process["parent_id"] == tree[0]["id"]));
    let root = tree[0]["id"].as_str().unwrap();
    assert_eq!(context.run(&["process", "tree", root]).succeeds().records(), tree);
    context.run(&["process", "show", "01"]).exits_with(1).stderr_contains("; type more characters");
    context
        .run(&["process", "show", "ffffffff"])
        .exits_with(1)
        .stderr_contains("no process has the id ffffffff");
}

#[test]
fn prints_whole_logs_or_exactly_their_last_lines() {
    let context = TestContext::new();
    context.provider("p", "#!/bin/sh\nseq 1 100\nseq 101 110 >&2\n");
    context.run(&["install", "x", "--binproviders", "p"]).exits_with(1);
    let id = context.hook_processes()[0]["id"].as_str().unwrap().to_owned();
    let print = |args: &[&str]| {
        let mut all = vec!["process", "logs", id.as_str()];
        all.extend(args);
        context.run(&all).succeeds().stdout
    };
    assert_eq!(print(&["--stream", "stderr", "-n", "2"]), "109\n110\n");
    assert_eq!(print(&["--stream", "stdout", "-n", "0"]), "");
    assert_eq!(print(&["--stream", "stdout"]).lines().count(), 100);
    let both: Vec<String> = (1..=110).map(|number| format!("{number}\n")).collect();
    assert_eq!(print(&[]), both.concat());
    let cli = context.processes()[0]["id"].as_str().unwrap().to_owned();
    context.run(&["logs", &cli]).exits_with(1).stderr_contains("a command of rigup");
}

#[test]
fn lists_are_empty_without_a_data_dir_and_create_none() {
    let context = TestContext::new();
    for args in [["binary", "list"], ["process", "list"], ["process", "tree"]] {
        assert_eq!(context.run(&args).succeeds().stdout, "");
    }
    assert!(!context.path("data").exists());
}

#[test]
fn shows_the_same_machine_each_time() {
    let context = TestContext::new();
    let first = context.run(&["machine", "show"]).succeeds().records();
    assert_eq!(first[0]["guid"].as_str().unwrap().len(), 64);
    assert_eq!(first[1]["machine_id"], first[0]["id"]);
    assert_eq!(context.run(&["machine", "show"]).succeeds().records(), first);
    context.run(&["install", "sh", "no-such-tool", "--binproviders", "env"]).exits_with(1);
    let machine = &context.run(&["machine", "show"]).succeeds().records()[0];
    assert_eq!((&machine["num_uses_succeeded"], &machine["num_uses_failed"]), (&json!(1), &json!(1)));
}

#[test]
fn machine_set_is_a_modification_and_shows_only_paths_that_exist() {
    let context = TestContext::new();
    let tool = context.script("tool", "#!/bin/sh\n");
    let before = context.run(&["machine", "show"]).succeeds().records().swap_remove(0);
    let pair = format!("TOOL_BINARY={}", tool.display());
    let set = context.run(&["machine", "set", &pair, "SH_BINARY=/bin/sh"]).succeeds().record();
    let show = || context.run(&["machine", "show"]).succeeds().records().swap_remove(0);
    assert_eq!(show(), set);
    assert_eq!(set["config"], json!({"TOOL_BINARY": tool, "SH_BINARY": "/bin/sh"}));
    assert!(set["modified_at"].as_str() > before["modified_at"].as_str(), "{set}");
    // The age of the facts is another one: those of an older time are gathered again.
    context
        .store()
        .execute("UPDATE machine SET facts_at = '2020-01-01T00:00:00.000Z', hostname = 'old'", ())
        .unwrap();
    context.run(&["machine", "set", "SH_BINARY=/bin/sh"]).succeeds();
    assert_eq!(show()["hostname"], before["hostname"]);
    std::fs::rename(&tool, context.path("moved")).unwrap();
    let expected = json!({"SH_BINARY": "/bin/sh"});
    assert_eq!(show()["config"], expected);
    assert_eq!(context.run(&["machine", "list"]).succeeds().record()["config"], expected);
    assert_eq!(context.run(&["machine", "set", "SH_BINARY=/bin/sh"]).succeeds().record()["config"], expected);
    std::fs::rename(context.path("moved"), &tool).unwrap();
    assert_eq!(show()["config"], set["config"]);
}

#[test]
fn tables_and_messages_contain_no_character_that_reorders_or_hides_text() {
    let context = TestContext::new();
    let id = context.start_run(&["--slug", "s"], "# \u{202e}dlrow\u{200b}\u{2028}\u{9b}31m");
    context.wait_for_waiters();
    for args in [&["process", "list"][..], &["process", "tree"], &["process", "show", &id]] {
        let shown = context.run(&[args, &["--format", "table"]].concat()).succeeds().stdout;
        assert!(shown.contains("# \u{fffd}dlrow\u{fffd}\u{fffd}\u{fffd}31m"), "{shown}");
    }
    let error = context.run(&["binary", "show", "a\u{2066}b\u{ad}c"]).exits_with(1).stderr;
    assert!(error.contains("a\u{fffd}b\u{fffd}c"), "{error}");
}

#[test]
fn the_table_of_machines_has_short_ids() {
    let context = TestContext::new();
    let machine = &context.run(&["machine", "show"]).succeeds().records()[0];
    let rigup = Path::new(env!("CARGO_BIN_EXE_rigup"));
    let table = run_on_terminal(&context, 80, rigup, &["machine", "list"]);
    let short_id = table.split_whitespace().next_back().unwrap();
    assert_eq!(short_id.len(), 8, "{table}");
    assert!(machine["id"].as_str().unwrap().ends_with(short_id), "{table}");
}

#[test]
fn prints_the_version_of_the_package() {
    let output = TestContext::new().run(&["--version"]).succeeds();
    assert_eq!(output.stdout, format!("rigup {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_row_that_cannot_be_read_is_skipped_with_a_warning() {
    let context = TestContext::new();
    context.plugin("p", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    context.run(&["install"]).succeeds();
    let run =
        |script: &str| context.run(&["start", "--slug", "s", "--", "sh", "-c", script]).succeeds().record();
    let ids = ["exit 0", "exit 1"].map(run).map(|record| record["id"].as_str().unwrap().to_owned());
    for (id, code) in ids.iter().zip([0, 1]) {
        context.run(&["process", "wait", id]).exits_with(code);
    }
    let [bad, good] = &ids;
    let warning = format!("table process, id {bad}, column ended_at");
    context
        .store()
        .execute_batch(&format!(
            "PRAGMA ignore_check_constraints = ON; \
             UPDATE process SET ended_at = '-9998-01-01T00:00:00.000Z' WHERE id = '{bad}'"
        ))
        .unwrap();
    for args in [
        &["process", "list"][..],
        &["process", "list", "--slug", "s"],
        &["process", "tree"],
        &["process", "gc"],
        &["process", "gc", "--ttl", "0"],
    ] {
        let output = context.run(args).succeeds().stderr_contains(&warning);
        assert_eq!(output.stderr.matches(&warning).count(), 1, "{}", output.stderr);
        assert!(!output.records().iter().any(|record| record["id"] == **bad), "{args:?}");
    }
    context.run(&["process", "show", good]).succeeds();
    context.run(&["install"]).succeeds();
    context.run(&["exec", "--", "true"]).succeeds();
    for args in [["process", "show", bad], ["process", "wait", bad], ["process", "kill", bad]] {
        context.run(&args).exits_with(3).stderr_contains(&warning);
    }

    // A running process that cannot be read does not keep the others from being completed.
    let live = context.run(&["start", "--slug", "s", "--", "sleep", "600"]).succeeds().record();
    let set = "UPDATE process SET created_at = 'soon' WHERE id = ?1";
    context.store().execute(set, [live["id"].as_str().unwrap()]).unwrap();
    context.run(&["exec", "--", "true"]).succeeds().stderr_contains("column created_at");
    context.run(&["start", "--slug", "s", "--max-live", "2", "--", "true"]).succeeds();
    signal(u32::try_from(live["pid"].as_u64().unwrap()).unwrap(), Signal::SIGKILL);
    wait_until("the waiters have exited", || context.live_processes().is_empty());
}

#[test]
fn values_that_the_store_cannot_contain_block_no_command() {
    let context = TestContext::new();
    context.plugin("p", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    context.script("here/plugins/p/on_E__1_a.sh", "#!/bin/sh\n");
    context.run(&["install"]).succeeds();
    context.run(&["run", "E"]).succeeds();
    for set in [
        "binary SET attempt_count = 8589934592, num_uses_failed = -5",
        "machine SET num_uses_failed = 9223372036854775807",
        "machine SET created_at = 'soon', stats = '{oops'",
        "network_interface SET created_at = 'soon'",
        "process SET created_at = '-009998-01-01T00:00:00.000Z' WHERE process_type = 'hook'",
        "process SET created_at = '2026-01-01T22:00:00.000-02:00' WHERE process_type = 'hook'",
    ] {
        context.run(&["machine", "list"]).succeeds();
        let sql = format!("PRAGMA ignore_check_constraints = ON; UPDATE {set}");
        context.store().execute_batch(&sql).unwrap();
        for args in [&["load", "sh"][..], &["run", "E"], &["process", "gc"], &["exec", "--", "true"]] {
            context.run(args).succeeds();
        }
    }
}
