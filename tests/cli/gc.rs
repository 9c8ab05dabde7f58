//! `rigup process gc` and the daily pruning: which records and run dirs expire, and which are kept.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::test_context::{TestContext, wait_until};

/// The user's own settings file.
const USERS_FILE: &str = "home/.config/rigup/rigup.toml";

impl TestContext {
    /// Creates this number of hooks for the event E, each of which prints 1,000 bytes.
    fn event(&self, hooks: usize) -> &Self {
        for at in 0..hooks {
            let hook = "#!/bin/sh\nhead -c 1000 /dev/zero | tr '\\0' x\n";
            self.script(&format!("here/plugins/p/on_E__{at}_x.sh"), hook);
        }
        self
    }

    /// Backdates the exit of each process that has exited to 2020.
    fn backdate_exits(&self) {
        let sql = "UPDATE process SET ended_at = '2020-01-01T00:00:00.000Z' WHERE ended_at IS NOT NULL";
        self.store().execute(sql, []).unwrap();
    }

    /// Backdates the last pruning by more than a day, and returns its time.
    fn backdate_pruning(&self) -> SystemTime {
        let yesterday = SystemTime::now() - Duration::from_hours(25);
        self.pruning_stamp().set_modified(yesterday).unwrap();
        yesterday
    }

    /// Opens the file whose modification time is that of the last pruning.
    fn pruning_stamp(&self) -> File {
        File::options().write(true).open(self.path("data/locks/gc")).unwrap()
    }

    /// Starts a run, waits until it exits, and returns its id.
    fn finished_run(&self, slug: &str) -> String {
        let run = self.run(&["start", "--slug", slug, "--", "true"]).succeeds().record();
        let id = run["id"].as_str().unwrap().to_owned();
        self.run(&["process", "wait", &id]).succeeds();
        id
    }

    /// Runs `process gc`, and returns each action with its number of processes.
    fn gc(&self, args: &[&str]) -> Vec<(String, u64)> {
        let records = self.run(&[&["process", "gc"], args].concat()).succeeds().records();
        let action = |record: &Value| record["action"].as_str().unwrap().to_owned();
        records.iter().map(|record| (action(record), record["processes"].as_u64().unwrap_or(1))).collect()
    }

    /// Returns the existing run dirs that records refer to.
    fn run_dirs(&self) -> Vec<PathBuf> {
        let all = self.processes();
        let all = all.iter().filter_map(|process| Some(PathBuf::from(process["run_dir"].as_str()?)));
        all.filter(|run_dir| run_dir.exists()).collect()
    }

    /// Returns the number of run dirs in the data dir, including those that a gc is removing.
    fn run_dir_count(&self) -> usize {
        let all = walkdir::WalkDir::new(self.path("data")).into_iter().flatten();
        all.filter(|entry| entry.file_name() == "cmd.sh").count()
    }
}

fn counted(action: &str, count: u64) -> (String, u64) {
    (action.to_owned(), count)
}

#[test]
fn keeps_the_newest_processes_and_those_that_installed_a_binary() {
    let mut context = TestContext::new();
    context.event(3).fixture("good");
    context.run(&["install", "x", "--binproviders", "good"]).succeeds();
    let success = context.hook_processes()[0]["id"].as_str().unwrap().to_owned();
    context.run(&["run", "E"]).succeeds();
    context.run(&["run", "E"]).succeeds();
    assert_eq!(context.processes().len(), 2 + 4 + 4);
    context.set("RIGUP_KEEP_PROCESSES", "3");

    // The `rigup run` of the second event is kept as the parent of its three hooks.
    let expected = [counted("pruned", 4)];
    assert_eq!(context.gc(&["--dry-run"]), expected);
    assert_eq!(context.processes().len(), 10, "a dry run prunes nothing");
    assert_eq!(context.gc(&[]), expected);
    let types: Vec<Value> =
        context.processes().iter().map(|process| process["process_type"].clone()).collect();
    assert_eq!(types, ["cli", "hook", "cli", "hook", "hook", "hook"]);
    assert_eq!((context.run_dirs().len(), context.run_dir_count()), (4, 4));
    context.run(&["process", "logs", &success]).succeeds();
    assert_eq!(context.gc(&[]), []);

    context.set("RIGUP_KEEP_PROCESSES", "0");
    assert_eq!(context.gc(&[]), [counted("pruned", 4)]);
    assert_eq!(context.processes().len(), 2, "the processes that installed the binary are kept");
    let events = fs::read_dir(context.path("data/events")).unwrap().count();
    assert_eq!(events, 0, "empty folders of hooks are removed");
}

#[test]
fn prunes_old_processes_but_no_live_process_or_its_parents() {
    let context = TestContext::new();
    context.event(2);
    context.run(&["run", "E"]).succeeds();
    let rigup = env!("CARGO_BIN_EXE_rigup");
    context.run(&["exec", "--", rigup, "start", "--slug", "s", "--", "sleep", "600"]).succeeds();
    let run = context.processes().into_iter().find(|process| process["slug"] == "s").unwrap();
    let id = run["id"].as_str().unwrap();
    context.backdate_exits();

    assert_eq!(context.gc(&[]), [counted("pruned", 3)]);
    let kept = context.processes();
    assert_eq!(
        kept.iter().map(|process| process["id"].clone()).collect::<Vec<_>>(),
        [run["parent_id"].clone(), json!(id)]
    );
    assert_eq!(kept[1]["parent_id"], kept[0]["id"], "the parent of the run is kept");

    context.run(&["process", "kill", id]).succeeds();
    assert_eq!(context.gc(&[]), [], "the run and its parent are kept");
    context.backdate_exits();
    let expected = [counted("removed", 1), counted("pruned", 2)];
    assert_eq!(context.gc(&["--dry-run"]), expected);
    assert_eq!(context.gc(&[]), expected, "the run dir is removed, and then the record");
    assert_eq!(context.processes().len(), 0);
    wait_until("the waiter has exited", || context.live_processes().is_empty());
}

#[test]
fn keeps_a_run_until_its_ttl_expires() {
    let mut context = TestContext::new();
    context.set("RIGUP_KEEP_PROCESSES", "0").set("RIGUP_KEEP_LOG_BYTES", "0");
    let start = ["start", "--slug", "s", "--ttl", "none", "--", "echo", "hello"];
    let id = context.run(&start).succeeds().record()["id"].as_str().unwrap().to_owned();
    context.run(&["process", "wait", &id]).succeeds();
    context.backdate_exits();
    assert_eq!(context.gc(&[]), []);
    assert!(context.run(&["process", "logs", &id]).succeeds().stdout.contains("hello"));
    wait_until("the waiter has exited", || context.live_processes().is_empty());
}

#[test]
fn keeps_the_newest_logs_and_the_records_of_the_others() {
    let mut context = TestContext::new();
    context.event(5);
    context.run(&["run", "E"]).succeeds();
    context.set("RIGUP_KEEP_LOG_BYTES", "2500");
    let records = context.run(&["process", "gc"]).succeeds().records();
    assert_eq!(records.len(), 1);
    let counts = (&records[0]["action"], &records[0]["processes"], &records[0]["log_bytes"]);
    assert_eq!(counts, (&json!("removed"), &json!(3), &json!(3000)));
    let hooks = context.hook_processes();
    let has_run_dir: Vec<bool> = hooks.iter().map(|hook| !hook["run_dir"].is_null()).collect();
    assert_eq!(has_run_dir, [false, false, false, true, true]);
    assert_eq!((context.run_dirs().len(), context.run_dir_count()), (2, 2));
    assert_eq!(hooks[0]["stdout_tail"].as_str().unwrap().len(), 1000, "the record has the tail of the log");
    context
        .run(&["process", "logs", hooks[0]["id"].as_str().unwrap()])
        .exits_with(1)
        .stderr_contains("have expired");
    assert_eq!(context.gc(&[]), []);
}

#[test]
fn removes_nothing_outside_the_data_dir_or_behind_a_link() {
    let mut context = TestContext::new();
    context.script("here/plugins/p/on_E__1_x.sh", "#!/bin/sh\ntouch written\n");
    let outside = context.path("outside");
    context.run(&["run", "--output-dir", outside.to_str().unwrap(), "E"]).succeeds();
    context.run(&["run", "E"]).succeeds();
    fs::rename(context.path("data/processes"), context.path("moved")).unwrap();
    std::os::unix::fs::symlink(context.path("moved"), context.path("data/processes")).unwrap();
    context.set("RIGUP_KEEP_PROCESSES", "0");
    assert_eq!(context.gc(&[]), [counted("pruned", 4)]);
    let count = |folder: &Path, name: &str| {
        let all = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
        all.filter(|entry| entry.file_name() == name).count()
    };
    assert_eq!((count(&outside, "written"), count(&context.path("data/events"), "written")), (1, 1));
    assert_eq!(count(&context.path("moved"), "stdout.log"), 2);
}

#[test]
fn reports_a_run_dir_that_cannot_be_removed_and_keeps_its_record() {
    let mut context = TestContext::new();
    context.event(2);
    context.run(&["run", "E"]).succeeds();
    context.set("RIGUP_KEEP_PROCESSES", "0");
    let hooks = context.hook_processes();
    let run_dir = PathBuf::from(hooks[0]["run_dir"].as_str().unwrap());
    // The gc renames a run dir before it removes it; it cannot rename a folder over a file.
    let removed = run_dir.with_file_name(format!(".gone-{}", hooks[0]["id"].as_str().unwrap()));
    fs::write(&removed, "").unwrap();
    let output = context.run(&["process", "gc"]).exits_with(1);
    let actions: Vec<Value> = output.records().iter().map(|record| record["action"].clone()).collect();
    assert_eq!(actions, ["failed", "pruned"]);
    assert_eq!(context.processes().len(), 2, "the hook and its parent are kept");
    fs::remove_file(removed).unwrap();
    assert_eq!(context.gc(&[]), [counted("pruned", 2)]);
}

#[test]
fn a_killed_gc_leaves_no_orphaned_run_dir_and_the_next_one_finishes() {
    let mut context = TestContext::new();
    context.event(300);
    context.run(&["run", "E"]).succeeds();
    context.set("RIGUP_KEEP_PROCESSES", "0");
    let all = context.run_dir_count();
    let mut gc = context.start(&["process", "gc"]);
    wait_until("the gc has removed a run dir", || context.run_dir_count() < all);
    gc.kill().unwrap();
    gc.wait().unwrap();
    let integrity: String =
        context.store().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    assert!(
        context.run_dirs().len() >= context.run_dir_count().saturating_sub(1),
        "at most one run dir has no record"
    );
    context.run(&["process", "gc"]).succeeds();
    assert_eq!((context.processes().len(), context.run_dir_count()), (0, 0));
    assert_eq!(fs::read_dir(context.path("data/events")).unwrap().count(), 0);
}

#[test]
fn several_gcs_and_runs_work_at_the_same_time() {
    let mut context = TestContext::new();
    context.event(40);
    context.run(&["run", "E"]).succeeds();
    context.set("RIGUP_KEEP_PROCESSES", "10");
    let children: Vec<_> = (0..8)
        .map(|at| context.start(if at % 2 == 0 { &["process", "gc"] } else { &["run", "E"] }))
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !stderr.contains("error") && !stderr.contains("warning"),
            "{stderr}"
        );
    }
    context.gc(&[]);
    let (hooks, commands): (Vec<_>, Vec<_>) =
        context.processes().into_iter().partition(|process| process["process_type"] == "hook");
    assert_eq!(hooks.len(), 10);
    let is_parent = |command: &Value| hooks.iter().any(|hook| hook["parent_id"] == command["id"]);
    assert!(commands.iter().all(is_parent), "only the parents of the hooks are kept: {commands:?}");
    assert_eq!((context.run_dirs().len(), context.run_dir_count()), (10, 10));
}

#[test]
fn rigup_run_prunes_once_a_day() {
    let mut context = TestContext::new();
    context.event(1);
    context.set("RIGUP_KEEP_PROCESSES", "2");
    for _ in 0..3 {
        context.run(&["run", "E"]).succeeds();
    }
    assert_eq!(context.processes().len(), 6, "a day has not passed");
    let yesterday = context.backdate_pruning();
    context.run(&["run", "E"]).succeeds();
    assert_eq!(context.processes().len(), 2);
    assert!(context.pruning_stamp().metadata().unwrap().modified().unwrap() > yesterday);
}

#[test]
fn exec_and_start_prune_once_a_day() {
    let mut context = TestContext::new();
    context.set("RIGUP_KEEP_PROCESSES", "2");
    for _ in 0..3 {
        context.run(&["exec", "--", "true"]).succeeds();
        context.finished_run("x");
    }
    assert_eq!(context.processes().len(), 6, "a day has not passed");
    context.backdate_exits();
    context.backdate_pruning();
    context.finished_run("x");
    assert_eq!((context.processes().len(), context.run_dir_count()), (1, 1), "expired runs are removed too");
    context.backdate_pruning();
    context.run(&["exec", "--", "true"]).succeeds();
    assert_eq!((context.processes().len(), context.run_dir_count()), (2, 2));
    wait_until("the waiters have exited", || context.live_processes().is_empty());
}

#[test]
fn a_link_in_place_of_a_run_dir_is_removed_and_its_target_is_kept() {
    let context = TestContext::new();
    let photo = context.write("photos/album/one.jpg", "");
    context.run(&["exec", "--", "true"]).succeeds();
    for is_automatic in [false, true] {
        let id = context.finished_run("y");
        let run_dir = context.path("data/processes").join(&id);
        fs::rename(&run_dir, context.path(&id)).unwrap();
        symlink(context.path("photos"), &run_dir).unwrap();
        context.backdate_exits();
        if is_automatic {
            context.backdate_pruning();
            context.run(&["exec", "--", "true"]).succeeds();
        } else {
            context.gc(&[]);
        }
        assert!(!run_dir.is_symlink(), "automatic: {is_automatic}");
        assert!(photo.exists(), "automatic: {is_automatic}");
        let names =
            fs::read_dir(context.path("data/processes")).unwrap().map(|file| file.unwrap().file_name());
        assert!(!names.into_iter().any(|name| name.to_string_lossy().contains(&id)));
    }
    wait_until("the waiters have exited", || context.live_processes().is_empty());
}

#[test]
fn exec_reports_records_that_it_cannot_prune_and_runs_its_command() {
    let mut context = TestContext::new();
    context.set("RIGUP_KEEP_PROCESSES", "0");
    let id = context.finished_run("x");
    context.backdate_exits();
    context.backdate_pruning();
    let removed = context.path("data/processes").join(format!(".gone-{id}"));
    fs::write(removed, "").unwrap();
    let output = context.run(&["exec", "--", "echo", "done"]).succeeds();
    assert!(
        output.stdout == "done\n" && output.stderr.contains("cannot prune all expired records"),
        "{output:?}"
    );
    wait_until("the waiter has exited", || context.live_processes().is_empty());
}

#[test]
fn the_documentation_shows_the_default_retention_limits() {
    let context = TestContext::new();
    let limits = || {
        let names = ["config", "keep.processes", "keep.days", "keep.log_bytes"];
        let settings = context.run(&names).succeeds().records();
        settings.into_iter().map(|setting| (setting["value"].clone(), setting["origin"] == "default")).unzip()
    };
    let (defaults, are_defaults): (Vec<Value>, Vec<bool>) = limits();
    let page = include_str!("../../docs/processes.md");
    let (_, block) = page.split_once("```toml rigup.toml\n").unwrap();
    context.write(USERS_FILE, block.split_once("```").unwrap().0);
    assert_eq!((limits(), are_defaults), ((defaults, vec![false; 3]), vec![true; 3]));
}

#[test]
fn rejects_an_invalid_retention_limit_and_prunes_nothing() {
    let context = TestContext::new();
    context.write(USERS_FILE, "[keep]\ndays = \"a week\"\n");
    context.run(&["process", "gc"]).exits_with(3).stderr_contains("cannot use keep.days in ");
    context.write(USERS_FILE, "[keep]\nday = 7\n");
    context
        .run(&["process", "gc"])
        .exits_with(3)
        .stderr_contains("unknown setting keep.day; the settings are processes, days, log_bytes");
    context.write(USERS_FILE, "[keep]\ndays = 7\n");
    let shown = context.run(&["config", "keep.days"]).succeeds().record();
    assert_eq!(shown["value"], 7);
}

#[test]
fn the_file_of_a_project_does_not_limit_what_is_kept() {
    let context = TestContext::new();
    context.event(1);
    context.run(&["run", "E"]).succeeds();
    for limits in ["[keep]\ndays = 0\nprocesses = 0\n", "RIGUP_KEEP_PROCESSES = 0\n", "\"keep.days\" = 0\n"] {
        context.write("here/rigup.toml", limits);
        let output = context.run(&["process", "gc"]).succeeds();
        assert_eq!(output.records(), [] as [Value; 0]);
        output.stderr_contains("here/rigup.toml is ignored: it applies to the records of all projects");
    }
    assert_eq!(context.processes().len(), 2);
    context.write(USERS_FILE, "[keep]\nprocesses = 0\n");
    assert_eq!(context.gc(&[]), [counted("pruned", 2)]);
}

#[test]
fn gc_removes_no_folder_that_rigup_did_not_make() {
    let context = TestContext::new();
    context.run(&["exec", "--", "true"]).succeeds();
    let long_ago = SystemTime::now() - Duration::from_hours(100);
    let folder = |id: &str, files: &[(&str, &str)]| {
        let folder = context.path("data/processes").join(id);
        fs::create_dir(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        File::open(&folder).unwrap().set_modified(long_ago).unwrap();
        folder
    };
    let id = |last: u8| format!("0198abcd-0123-7456-89ab-cdef0123456{last}");
    let record = |last: u8| json!({"id": id(last)}).to_string();
    let kept = [
        folder(&id(0), &[("best.pt", "weights")]),
        folder(&id(1), &[("process.json", "{}"), ("cmd.sh", "")]),
        folder(&id(2), &[("process.json", &record(0))]),
        folder(&id(3), &[("result.json", "{}")]),
        folder(&id(4), &[("process.json", ""), ("stdin.jsonl", "")]),
        folder(&format!(".gone-{}", id(5)), &[("notes", "")]),
        folder(&format!(".gone-{}", id(6)), &[("process.json", &record(5))]),
    ];
    let removed = [
        folder(&id(7), &[("process.json", &record(7)), ("mine", "")]),
        folder(&id(8), &[("process.json", "")]),
        folder(&id(9), &[]),
        folder(&format!(".gone-{}", id(1)), &[("process.json", &record(1)), ("stdout.log", "")]),
        folder(&format!(".gone-{}", id(2)), &[]),
    ];
    for name in ["runs/detect/best.pt", "locks/process/mine", "processes/notes.lock", "events/x/y"] {
        let path = context.write(&format!("data/{name}"), "");
        File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    assert_eq!(context.gc(&[]), [(); 5].map(|()| counted("removed", 1)));
    let remaining: Vec<_> = kept.iter().chain(&removed).filter(|folder| folder.exists()).collect();
    assert_eq!(remaining, Vec::from_iter(&kept));
    for name in ["runs/detect/best.pt", "locks/process/mine", "processes/notes.lock", "events/x/y"] {
        assert!(context.path("data").join(name).exists(), "{name}");
    }
}

/// Moves the times of all records this many days back.
fn age_records(context: &TestContext, days: u32) {
    let sql = format!(
        "UPDATE process SET created_at = strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '-{days} days'), \
         ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', ended_at, '-{days} days')"
    );
    context.store().execute(&sql, []).unwrap();
}

#[test]
fn a_clock_that_is_ahead_prunes_nothing_without_a_word() {
    let context = TestContext::new();
    let run = context.finished_run("s");
    context.run(&["exec", "--", "true"]).succeeds();
    age_records(&context, 60);
    // The first command records the wrong time. The next ones must not believe it.
    for _ in 0..3 {
        context.backdate_pruning();
        context.run(&["exec", "--", "true"]).succeeds();
    }
    let logs = context.path("data/processes").join(run);
    assert!(logs.exists() && context.processes().len() == 5, "{:?}", context.processes());
    let warning = "the clock may be wrong: of these processes, 3 are too old only because";
    for arguments in [&["process", "gc", "--dry-run"][..], &["process", "gc"]] {
        context.run(arguments).succeeds().stderr_contains(warning);
    }
    assert!(!logs.exists() && context.processes().len() == 3, "{:?}", context.processes());
}

#[test]
fn a_pause_of_a_week_only_delays_what_commands_prune() {
    let mut context = TestContext::new();
    context.set("RIGUP_KEEP_DAYS", "2");
    for _ in 0..6 {
        context.run(&["exec", "--", "true"]).succeeds();
        context.backdate_pruning();
        age_records(&context, 7);
    }
    context.run(&["exec", "--", "true"]).succeeds();
    assert_eq!(context.processes().len(), 4, "each week counts as half a day");
    let future = "UPDATE process SET created_at = '2099-01-01T00:00:00.000Z', ended_at = created_at \
        WHERE id = (SELECT max(id) FROM process)";
    context.store().execute(future, []).unwrap();
    context.backdate_pruning();
    context.run(&["exec", "--", "true"]).succeeds();
    assert_eq!(context.processes().len(), 5, "a record in the future of the clock changes nothing");
}
