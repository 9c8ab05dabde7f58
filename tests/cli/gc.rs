//! What is kept of what is over.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::test_context::{TestContext, wait_until};

impl TestContext {
    /// An event E with so many hooks, each of which writes 1,000 bytes.
    fn event(&self, hooks: usize) -> &Self {
        for at in 0..hooks {
            let hook = "#!/bin/sh\nhead -c 1000 /dev/zero | tr '\\0' x\n";
            self.script(&format!("here/plugins/p/on_E__{at}_x.sh"), hook);
        }
        self
    }

    /// As if all that is over had ended long ago.
    fn age(&self) {
        let sql = "UPDATE process SET ended_at = '2020-01-01T00:00:00.000Z' WHERE ended_at IS NOT NULL";
        self.store().execute(sql, []).unwrap();
    }

    /// As if it was long ago that somebody cleaned up; gives back when.
    fn clean_again(&self) -> SystemTime {
        let yesterday = SystemTime::now() - Duration::from_hours(25);
        self.stamp().set_modified(yesterday).unwrap();
        yesterday
    }

    /// The file whose time tells when somebody last cleaned up.
    fn stamp(&self) -> File {
        File::options().write(true).open(self.path("data/locks/gc")).unwrap()
    }

    /// The id of a run that is over.
    fn begun(&self, slug: &str) -> String {
        let run = self.run(&["start", "--slug", slug, "--", "true"]).succeeds().record();
        let id = run["id"].as_str().unwrap().to_owned();
        self.run(&["process", "wait", &id]).succeeds();
        id
    }

    /// What a gc says, each with how many it did that to.
    fn gc(&self, args: &[&str]) -> Vec<(String, u64)> {
        let records = self.run(&[&["process", "gc"], args].concat()).succeeds().records();
        let word = |record: &Value| record["action"].as_str().unwrap().to_owned();
        records.iter().map(|record| (word(record), record["processes"].as_u64().unwrap_or(1))).collect()
    }

    /// The folders that records name, as far as they are there.
    fn run_dirs(&self) -> Vec<PathBuf> {
        let all = self.processes();
        let all = all.iter().filter_map(|process| Some(PathBuf::from(process["run_dir"].as_str()?)));
        all.filter(|run_dir| run_dir.exists()).collect()
    }

    /// How many run dirs are in the data dir, some of which may just be going.
    fn folders(&self) -> usize {
        let all = walkdir::WalkDir::new(self.path("data")).into_iter().flatten();
        all.filter(|entry| entry.file_name() == "cmd.sh").count()
    }
}

fn counted(action: &str, count: u64) -> (String, u64) {
    (action.to_owned(), count)
}

#[test]
fn the_newest_processes_are_kept_and_what_each_binary_came_from() {
    let mut context = TestContext::new();
    context.event(3).fixture("good");
    context.run(&["install", "x", "--binproviders", "good"]).succeeds();
    let success = context.hook_processes()[0]["id"].as_str().unwrap().to_owned();
    context.run(&["run", "E"]).succeeds();
    context.run(&["run", "E"]).succeeds();
    assert_eq!(context.processes().len(), 2 + 4 + 4);
    context.set("RIGUP_KEEP_PROCESSES", "3");

    // Of the second event, its rigup is one more that its three hooks came from.
    let wanted = [counted("pruned", 4)];
    assert_eq!(context.gc(&["--dry-run"]), wanted);
    assert_eq!(context.processes().len(), 10, "nothing was done");
    assert_eq!(context.gc(&[]), wanted);
    let types: Vec<Value> =
        context.processes().iter().map(|process| process["process_type"].clone()).collect();
    assert_eq!(types, ["cli", "hook", "cli", "hook", "hook", "hook"]);
    assert_eq!((context.run_dirs().len(), context.folders()), (4, 4));
    context.run(&["process", "logs", &success]).succeeds();
    assert_eq!(context.gc(&[]), []);

    context.set("RIGUP_KEEP_PROCESSES", "0");
    assert_eq!(context.gc(&[]), [counted("pruned", 4)]);
    assert_eq!(context.processes().len(), 2, "the binary is there, so what it came from stays");
    let events = fs::read_dir(context.path("data/events")).unwrap().count();
    assert_eq!(events, 0, "folders in which hooks left nothing are gone");
}

#[test]
fn what_ended_long_ago_goes_but_not_what_lives_nor_what_asked_for_it() {
    let context = TestContext::new();
    context.event(2);
    context.run(&["run", "E"]).succeeds();
    let rigup = env!("CARGO_BIN_EXE_rigup");
    context.run(&["exec", "--", rigup, "start", "--slug", "s", "--", "sleep", "600"]).succeeds();
    let run = context.processes().into_iter().find(|process| process["slug"] == "s").unwrap();
    let id = run["id"].as_str().unwrap();
    context.age();

    assert_eq!(context.gc(&[]), [counted("pruned", 3)]);
    let left = context.processes();
    assert_eq!(
        left.iter().map(|process| process["id"].clone()).collect::<Vec<_>>(),
        [run["parent_id"].clone(), json!(id)]
    );
    assert_eq!(left[1]["parent_id"], left[0]["id"], "the tree is whole");

    context.run(&["process", "kill", id]).succeeds();
    assert_eq!(context.gc(&[]), [], "what it came from stays with it");
    context.age();
    let wanted = [counted("removed", 1), counted("pruned", 2)];
    assert_eq!(context.gc(&["--dry-run"]), wanted);
    assert_eq!(context.gc(&[]), wanted, "its own --ttl, then its record");
    assert_eq!(context.processes().len(), 0);
    wait_until("the waiter is gone", || context.live_processes().is_empty());
}

#[test]
fn a_run_stays_as_long_as_its_own_time_lasts() {
    let mut context = TestContext::new();
    context.set("RIGUP_KEEP_PROCESSES", "0").set("RIGUP_KEEP_LOG_BYTES", "0");
    let forever = ["start", "--slug", "s", "--ttl", "none", "--", "echo", "hello"];
    let id = context.run(&forever).succeeds().record()["id"].as_str().unwrap().to_owned();
    context.run(&["process", "wait", &id]).succeeds();
    context.age();
    assert_eq!(context.gc(&[]), []);
    assert!(context.run(&["process", "logs", &id]).succeeds().stdout.contains("hello"));
    wait_until("the waiter is gone", || context.live_processes().is_empty());
}

#[test]
fn the_newest_logs_are_kept_and_the_records_of_the_others() {
    let mut context = TestContext::new();
    context.event(5);
    context.run(&["run", "E"]).succeeds();
    context.set("RIGUP_KEEP_LOG_BYTES", "2500");
    let records = context.run(&["process", "gc"]).succeeds().records();
    assert_eq!(records.len(), 1);
    let told = (&records[0]["action"], &records[0]["processes"], &records[0]["log_bytes"]);
    assert_eq!(told, (&json!("removed"), &json!(3), &json!(3000)));
    let hooks = context.hook_processes();
    let has_run_dir: Vec<bool> = hooks.iter().map(|hook| !hook["run_dir"].is_null()).collect();
    assert_eq!(has_run_dir, [false, false, false, true, true]);
    assert_eq!((context.run_dirs().len(), context.folders()), (2, 2));
    assert_eq!(hooks[0]["stdout_tail"].as_str().unwrap().len(), 1000, "the record has the end of it");
    context
        .run(&["process", "logs", hooks[0]["id"].as_str().unwrap()])
        .exits_with(1)
        .stderr_contains("have expired");
    assert_eq!(context.gc(&[]), []);
}

#[test]
fn what_lies_outside_of_the_data_dir_or_behind_a_link_is_left_alone() {
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
fn a_run_dir_that_cannot_be_removed_keeps_its_record_and_is_told() {
    let mut context = TestContext::new();
    context.event(2);
    context.run(&["run", "E"]).succeeds();
    context.set("RIGUP_KEEP_PROCESSES", "0");
    let hooks = context.hook_processes();
    let run_dir = PathBuf::from(hooks[0]["run_dir"].as_str().unwrap());
    // Something that rename cannot replace stands where it would go.
    let gone = run_dir.with_file_name(format!(".gone-{}", hooks[0]["id"].as_str().unwrap()));
    fs::write(&gone, "").unwrap();
    let output = context.run(&["process", "gc"]).exits_with(1);
    let actions: Vec<Value> = output.records().iter().map(|record| record["action"].clone()).collect();
    assert_eq!(actions, ["failed", "pruned"]);
    assert_eq!(context.processes().len(), 2, "the hook and the rigup that it came from");
    fs::remove_file(gone).unwrap();
    assert_eq!(context.gc(&[]), [counted("pruned", 2)]);
}

#[test]
fn a_gc_that_is_killed_leaves_every_record_with_its_run_dir_or_none_and_the_next_one_finishes() {
    let mut context = TestContext::new();
    context.event(300);
    context.run(&["run", "E"]).succeeds();
    context.set("RIGUP_KEEP_PROCESSES", "0");
    let all = context.folders();
    let mut gc = context.start(&["process", "gc"]);
    wait_until("it is at it", || context.folders() < all);
    gc.kill().unwrap();
    gc.wait().unwrap();
    let integrity: String =
        context.store().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    assert!(context.run_dirs().len() >= context.folders().saturating_sub(1), "no run dir is nobody's");
    context.run(&["process", "gc"]).succeeds();
    assert_eq!((context.processes().len(), context.folders()), (0, 0));
    assert_eq!(fs::read_dir(context.path("data/events")).unwrap().count(), 0);
}

#[test]
fn several_gcs_and_runs_at_once_get_along() {
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
    let left = context.processes();
    assert_eq!(left.len(), 11, "ten hooks, and the rigup that they came from");
    assert_eq!((context.run_dirs().len(), context.folders()), (10, 10));
}

#[test]
fn once_a_day_a_run_that_started_hooks_cleans_up_by_the_way() {
    let mut context = TestContext::new();
    context.event(1);
    context.set("RIGUP_KEEP_PROCESSES", "2");
    for _ in 0..3 {
        context.run(&["run", "E"]).succeeds();
    }
    assert_eq!(context.processes().len(), 6, "the day is not over");
    let yesterday = context.clean_again();
    context.run(&["run", "E"]).succeeds();
    assert_eq!(context.processes().len(), 2);
    assert!(context.stamp().metadata().unwrap().modified().unwrap() > yesterday);
}

#[test]
fn once_a_day_commands_and_runs_clean_up_by_the_way_also_where_no_hook_ever_runs() {
    let mut context = TestContext::new();
    context.set("RIGUP_KEEP_PROCESSES", "2");
    for _ in 0..3 {
        context.run(&["exec", "--", "true"]).succeeds();
        context.begun("x");
    }
    assert_eq!(context.processes().len(), 6, "the day is not over");
    context.age();
    context.clean_again();
    context.begun("x");
    assert_eq!(
        (context.processes().len(), context.folders()),
        (1, 1),
        "runs whose --ttl is over went as well"
    );
    context.clean_again();
    context.run(&["exec", "--", "true"]).succeeds();
    assert_eq!((context.processes().len(), context.folders()), (2, 1));
    wait_until("the waiters are gone", || context.live_processes().is_empty());
}

#[test]
fn what_cannot_be_removed_by_the_way_is_told_and_the_work_is_done() {
    let mut context = TestContext::new();
    context.set("RIGUP_KEEP_PROCESSES", "0");
    let id = context.begun("x");
    context.age();
    context.clean_again();
    let gone = context.path("data/processes").join(format!(".gone-{id}"));
    fs::write(gone, "").unwrap();
    let output = context.run(&["exec", "--", "echo", "done"]).succeeds();
    assert!(
        output.stdout == "done\n" && output.stderr.contains("cannot prune all expired records"),
        "{output:?}"
    );
    wait_until("the waiter is gone", || context.live_processes().is_empty());
}

#[test]
fn the_bounds_that_the_documentation_shows_are_the_defaults() {
    let context = TestContext::new();
    let keep = || {
        let names = ["config", "keep.processes", "keep.days", "keep.log_bytes"];
        let settings = context.run(&names).succeeds().records();
        settings.into_iter().map(|setting| (setting["value"].clone(), setting["origin"] == "default")).unzip()
    };
    let (defaults, are_defaults): (Vec<Value>, Vec<bool>) = keep();
    let page = include_str!("../../docs/processes.md");
    let (_, block) = page.split_once("```toml rigup.toml\n").unwrap();
    context.write("here/rigup.toml", block.split_once("```").unwrap().0);
    assert_eq!((keep(), are_defaults), ((defaults, vec![false; 3]), vec![true; 3]));
}

#[test]
fn a_bound_that_is_none_is_refused_before_anything_goes() {
    let context = TestContext::new();
    context.write("here/rigup.toml", "[keep]\ndays = \"a week\"\n");
    context.run(&["process", "gc"]).exits_with(3).stderr_contains("keep.days from keep.days in");
    context.write("here/rigup.toml", "[keep]\nday = 7\n");
    context
        .run(&["process", "gc"])
        .exits_with(3)
        .stderr_contains("unknown setting keep.day; the settings are processes, days, log_bytes");
    context.write("here/rigup.toml", "[keep]\ndays = 7\n");
    let shown = context.run(&["config", "keep.days"]).succeeds().record();
    assert_eq!(shown["value"], 7);
}
