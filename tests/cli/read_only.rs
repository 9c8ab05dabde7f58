//! Commands that only read, and dry runs, change nothing in the data dir.

use std::fs;
use std::path::PathBuf;

use crate::test_context::{TestContext, wait_until};

/// The commands that take a name or an id, each with a binary, `one`, or with the id of a process.
const COMMANDS: &[&[&str]] = &[
    &["list"],
    &["why", "one"],
    &["which", "one"],
    &["doctor"],
    &["report"],
    &["config"],
    &["plugin", "list"],
    &["plugin", "show", "good"],
    &["ps", "-a"],
    &["graph"],
    &["wait", "one"],
    &["logs", "one"],
    &["binary", "list"],
    &["binary", "show", "one"],
    &["machine", "list"],
    &["lock", "--check"],
    &["process", "list"],
    &["process", "tree"],
    &["process", "show", "ID"],
    &["process", "logs", "ID"],
    &["run", "--status", "ID"],
    &["install", "one", "--dry-run"],
    &["install", "--due", "--dry-run"],
    &["upgrade", "--dry-run"],
    &["upgrade", "one", "--dry-run"],
    &["uninstall", "one", "--force", "--dry-run"],
    &["uninstall", "--orphaned"],
    &["apply", "--dry-run", "requests.jsonl"],
    &["up", "--dry-run"],
    &["binary", "create", "--name", "sh", "--abspath", "/bin/sh", "--dry-run"],
    &["binary", "update", "one", "--status", "queued", "--dry-run"],
    &["binary", "delete", "one", "--dry-run"],
    &["machine", "set", "SH_BINARY=/bin/sh", "--dry-run"],
    &["process", "gc", "--dry-run"],
];

/// Returns a context with an installed binary, an ended run, and records that a killed rigup has left in the WAL: those of a
/// process that no rigup observes, and of facts that are a year old.
fn context() -> (TestContext, String) {
    let context = TestContext::new();
    context.fixture("good");
    context.plugin("p", &[serde_json::json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context.write("here/requests.jsonl", r#"{"type":"BinaryRequest","name":"one","binproviders":"good"}"#);
    context.write("here/rigup.toml", "[daemons.a]\ncommand = 'sleep 1'\n");
    context.run(&["install"]).succeeds();
    let run = context.run(&["start", "--slug", "s", "--", "sh", "-c", "echo text"]).succeeds().record();
    wait_until("the run has exited", || context.live_processes().is_empty());
    let (store, copy) = (context.path("data/rigup.sqlite3"), context.path("copy"));
    let killed = context.store();
    let lost = "UPDATE process SET status = 'running', pid = 999999999, start_ticks = 1, boot_id = 'earlier', \
        started_at = created_at, ended_at = NULL, exit_code = NULL, exit_reason = NULL, stdout_tail = NULL, \
        stderr_tail = NULL, stdout_bytes = NULL, stderr_bytes = NULL, max_rss = NULL, user_ms = NULL, sys_ms = NULL \
        WHERE process_type = 'cli'";
    assert_eq!(killed.execute(lost, ()).unwrap(), 1);
    let old = "UPDATE machine SET facts_at = '2020-01-01T00:00:00.000Z'";
    assert_eq!(killed.execute(old, ()).unwrap(), 1);
    fs::create_dir(&copy).unwrap();
    let files = ["", "-wal", "-shm"].map(|suffix| format!("rigup.sqlite3{suffix}"));
    for file in &files {
        fs::copy(store.with_file_name(file), copy.join(file)).unwrap();
    }
    drop(killed);
    for file in &files {
        fs::copy(copy.join(file), store.with_file_name(file)).unwrap();
    }
    (context, run["id"].as_str().unwrap().to_owned())
}

/// Returns the path and the content of each file in the data dir. The `-shm` file is an index of the WAL, which SQLite
/// makes again.
fn files(context: &TestContext) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(context.path("data")).sort_by_file_name().into_iter();
    let paths = entries.map(|entry| entry.unwrap().into_path());
    let paths = paths.filter(|path| !path.to_string_lossy().ends_with("-shm"));
    paths.map(|path| (path.clone(), fs::read(&path).unwrap_or_default())).collect()
}

/// Runs each command, and asserts that it changes nothing. Returns their exit codes and standard errors.
fn run_all(context: &TestContext, id: &str) -> Vec<(String, Option<i32>, String)> {
    let before = files(context);
    let run = |args: &&[&str]| {
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "ID" { id } else { arg }).collect();
        let output = context.run(&args);
        let changed: Vec<_> = files(context).into_iter().filter(|file| !before.contains(file)).collect();
        let paths: Vec<_> = changed.iter().map(|(path, _)| path).collect();
        assert!(paths.is_empty() && files(context).len() == before.len(), "{args:?} changed {paths:?}");
        (args.join(" "), output.code, output.stderr)
    };
    COMMANDS.iter().map(run).collect()
}

#[test]
fn commands_that_read_change_nothing_in_a_sound_store() {
    let (context, id) = context();
    for (command, code, stderr) in run_all(&context, &id) {
        let has_no_result = ["wait one", "lock --check", "doctor", "graph"].contains(&&*command);
        assert!(code == Some(0) || has_no_result, "{command}: {code:?}: {stderr}");
    }
    let planned = context.run(&["process", "gc", "--dry-run"]).succeeds().records();
    assert_eq!((planned.len(), &planned[0]["action"]), (1, &"finished".into()), "{planned:?}");
    assert_eq!(context.run(&["process", "gc"]).succeeds().records(), planned);
}

#[test]
fn commands_that_read_leave_a_damaged_store_where_it_is() {
    let (context, id) = context();
    fs::write(context.path("data/rigup.sqlite3"), "not a database").unwrap();
    let results = run_all(&context, &id);
    let uninstall =
        results.iter().find(|(command, ..)| command == "uninstall one --force --dry-run").unwrap();
    assert_eq!(uninstall.1, Some(3));
    assert!(uninstall.2.contains("`rigup process gc` moves it aside"), "{}", uninstall.2);
}

#[test]
fn commands_that_read_show_what_the_run_dirs_have_of_a_missing_store() {
    let (context, id) = context();
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(context.path(&format!("data/rigup.sqlite3{suffix}"))).unwrap();
    }
    let problem = "is missing or empty, so only records from the run dirs are known; `rigup process gc`";
    for (command, code, stderr) in run_all(&context, &id) {
        let needs_records = ["list", "why", "which", "uninstall one", "report", "process", "binary"];
        if needs_records.iter().any(|name| command.starts_with(name)) {
            assert_eq!(code, Some(0), "{command}: {stderr}");
            assert_eq!(stderr.matches(problem).count(), 1, "{command}: {stderr}");
        }
    }
    assert_eq!(context.run(&["list"]).succeeds().records()[0]["status"], "installed");
    context.run(&["process", "gc"]).succeeds().stderr_contains("was missing or empty");
    assert_eq!(context.run(&["list"]).succeeds().stderr, "");
}

#[test]
fn commands_that_write_rebuild_a_lost_store_before_they_read_it() {
    let (context, _) = context();
    let store = context.path("data/rigup.sqlite3");
    context.write("here/rigup.toml", "[daemons.a]\ncommand = 'true'\nbinaries = ['one']\n");
    for args in [&["upgrade"][..], &["lock"], &["install", "--due"], &["up"]] {
        for (content, problem) in [("", "was missing or empty"), ("not a database", "was damaged")] {
            fs::write(&store, content).unwrap();
            let output = context.run(args).succeeds().stderr_contains(problem);
            assert_eq!(output.stderr.matches("warning: the store").count(), 1, "{}", output.stderr);
            assert_eq!(context.run(&["list"]).succeeds().records().len(), 1, "{args:?}");
        }
    }
}

#[test]
fn a_command_that_names_a_record_creates_no_data_dir() {
    let context = TestContext::new();
    for args in [
        &["process", "wait", "x"][..],
        &["process", "kill", "x"],
        &["process", "replay", "x"],
        &["binary", "update", "x", "--status", "queued"],
        &["binary", "delete", "x", "--yes"],
        &["uninstall", "x"],
    ] {
        context.run(args).exits_with(1);
        assert!(!context.path("data").exists(), "{args:?}");
    }
}
