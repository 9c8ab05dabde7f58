//! What is kept of what is over.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::playground::{Playground, wait_until};

impl Playground {
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
        let run = self.run(&["start", "--slug", slug, "--", "true"]).ok().record();
        let id = run["id"].as_str().unwrap().to_owned();
        self.run(&["process", "wait", &id]).ok();
        id
    }

    /// What a gc says, each with how many it did that to.
    fn gc(&self, args: &[&str]) -> Vec<(String, u64)> {
        let records = self.run(&[&["process", "gc"], args].concat()).ok().records();
        let word = |it: &Value| it["action"].as_str().unwrap().to_owned();
        records.iter().map(|it| (word(it), it["processes"].as_u64().unwrap_or(1))).collect()
    }

    /// The folders that records name, as far as they are there.
    fn run_dirs(&self) -> Vec<PathBuf> {
        let all = self.processes();
        let all = all.iter().filter_map(|it| Some(PathBuf::from(it["run_dir"].as_str()?)));
        all.filter(|it| it.exists()).collect()
    }

    /// How many run dirs are in the data dir, some of which may just be going.
    fn folders(&self) -> usize {
        let all = walkdir::WalkDir::new(self.path("data")).into_iter().flatten();
        all.filter(|it| it.file_name() == "cmd.sh").count()
    }
}

fn counted(action: &str, count: u64) -> (String, u64) {
    (action.to_owned(), count)
}

#[test]
fn the_newest_processes_are_kept_and_what_each_binary_came_from() {
    let mut place = Playground::new();
    place.event(3).fixture("good");
    place.run(&["install", "x", "--binproviders", "good"]).ok();
    let success = place.hook_processes()[0]["id"].as_str().unwrap().to_owned();
    place.run(&["run", "E"]).ok();
    place.run(&["run", "E"]).ok();
    assert_eq!(place.processes().len(), 2 + 4 + 4);
    place.set("RIGUP_KEEP_PROCESSES", "3");

    // Of the second event, its rigup is one more that its three hooks came from.
    let wanted = [counted("pruned", 4)];
    assert_eq!(place.gc(&["--dry-run"]), wanted);
    assert_eq!(place.processes().len(), 10, "nothing was done");
    assert_eq!(place.gc(&[]), wanted);
    let types: Vec<Value> = place.processes().iter().map(|it| it["process_type"].clone()).collect();
    assert_eq!(types, ["cli", "hook", "cli", "hook", "hook", "hook"]);
    assert_eq!((place.run_dirs().len(), place.folders()), (4, 4));
    place.run(&["process", "logs", &success]).ok();
    assert_eq!(place.gc(&[]), []);

    place.set("RIGUP_KEEP_PROCESSES", "0");
    assert_eq!(place.gc(&[]), [counted("pruned", 4)]);
    assert_eq!(place.processes().len(), 2, "the binary is there, so what it came from stays");
    let events = fs::read_dir(place.path("data/events")).unwrap().count();
    assert_eq!(events, 0, "folders in which hooks left nothing are gone");
}

#[test]
fn what_ended_long_ago_goes_but_not_what_lives_nor_what_asked_for_it() {
    let place = Playground::new();
    place.event(2);
    place.run(&["run", "E"]).ok();
    let rigup = env!("CARGO_BIN_EXE_rigup");
    place.run(&["exec", "--", rigup, "start", "--slug", "s", "--", "sleep", "600"]).ok();
    let run = place.processes().into_iter().find(|it| it["slug"] == "s").unwrap();
    let id = run["id"].as_str().unwrap();
    place.age();

    assert_eq!(place.gc(&[]), [counted("pruned", 3)]);
    let left = place.processes();
    assert_eq!(
        left.iter().map(|it| it["id"].clone()).collect::<Vec<_>>(),
        [run["parent_id"].clone(), json!(id)]
    );
    assert_eq!(left[1]["parent_id"], left[0]["id"], "the tree is whole");

    place.run(&["process", "kill", id]).ok();
    assert_eq!(place.gc(&[]), [], "what it came from stays with it");
    place.age();
    let wanted = [counted("removed", 1), counted("pruned", 2)];
    assert_eq!(place.gc(&["--dry-run"]), wanted);
    assert_eq!(place.gc(&[]), wanted, "its own --ttl, then its record");
    assert_eq!(place.processes().len(), 0);
    wait_until("the waiter is gone", || place.living().is_empty());
}

#[test]
fn a_run_stays_as_long_as_its_own_time_lasts() {
    let mut place = Playground::new();
    place.set("RIGUP_KEEP_PROCESSES", "0").set("RIGUP_KEEP_LOG_BYTES", "0");
    let forever = ["start", "--slug", "s", "--ttl", "none", "--", "echo", "hello"];
    let id = place.run(&forever).ok().record()["id"].as_str().unwrap().to_owned();
    place.run(&["process", "wait", &id]).ok();
    place.age();
    assert_eq!(place.gc(&[]), []);
    assert!(place.run(&["process", "logs", &id]).ok().stdout.contains("hello"));
    wait_until("the waiter is gone", || place.living().is_empty());
}

#[test]
fn the_newest_logs_are_kept_and_the_records_of_the_others() {
    let mut place = Playground::new();
    place.event(5);
    place.run(&["run", "E"]).ok();
    place.set("RIGUP_KEEP_LOG_BYTES", "2500");
    let records = place.run(&["process", "gc"]).ok().records();
    assert_eq!(records.len(), 1);
    let told = (&records[0]["action"], &records[0]["processes"], &records[0]["log_bytes"]);
    assert_eq!(told, (&json!("removed"), &json!(3), &json!(3000)));
    let hooks = place.hook_processes();
    let has_run_dir: Vec<bool> = hooks.iter().map(|it| !it["run_dir"].is_null()).collect();
    assert_eq!(has_run_dir, [false, false, false, true, true]);
    assert_eq!((place.run_dirs().len(), place.folders()), (2, 2));
    assert_eq!(hooks[0]["stdout_tail"].as_str().unwrap().len(), 1000, "the record has the end of it");
    place.run(&["process", "logs", hooks[0]["id"].as_str().unwrap()]).exits(1).says("have expired");
    assert_eq!(place.gc(&[]), []);
}

#[test]
fn what_lies_outside_of_the_data_dir_or_behind_a_link_is_left_alone() {
    let mut place = Playground::new();
    place.script("here/plugins/p/on_E__1_x.sh", "#!/bin/sh\ntouch written\n");
    let outside = place.path("outside");
    place.run(&["run", "--output-dir", outside.to_str().unwrap(), "E"]).ok();
    place.run(&["run", "E"]).ok();
    fs::rename(place.path("data/processes"), place.path("moved")).unwrap();
    std::os::unix::fs::symlink(place.path("moved"), place.path("data/processes")).unwrap();
    place.set("RIGUP_KEEP_PROCESSES", "0");
    assert_eq!(place.gc(&[]), [counted("pruned", 4)]);
    let count = |folder: &Path, name: &str| {
        let all = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
        all.filter(|entry| entry.file_name() == name).count()
    };
    assert_eq!((count(&outside, "written"), count(&place.path("data/events"), "written")), (1, 1));
    assert_eq!(count(&place.path("moved"), "stdout.log"), 2);
}

#[test]
fn a_run_dir_that_cannot_be_removed_keeps_its_record_and_is_told() {
    let mut place = Playground::new();
    place.event(2);
    place.run(&["run", "E"]).ok();
    place.set("RIGUP_KEEP_PROCESSES", "0");
    let hooks = place.hook_processes();
    let run_dir = PathBuf::from(hooks[0]["run_dir"].as_str().unwrap());
    // Something that rename cannot replace stands where it would go.
    let gone = run_dir.with_file_name(format!(".gone-{}", hooks[0]["id"].as_str().unwrap()));
    fs::write(&gone, "").unwrap();
    let ran = place.run(&["process", "gc"]).exits(1);
    let actions: Vec<Value> = ran.records().iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["failed", "pruned"]);
    assert_eq!(place.processes().len(), 2, "the hook and the rigup that it came from");
    fs::remove_file(gone).unwrap();
    assert_eq!(place.gc(&[]), [counted("pruned", 2)]);
}

#[test]
fn a_gc_that_is_killed_leaves_every_record_with_its_run_dir_or_none_and_the_next_one_finishes() {
    let mut place = Playground::new();
    place.event(300);
    place.run(&["run", "E"]).ok();
    place.set("RIGUP_KEEP_PROCESSES", "0");
    let all = place.folders();
    let mut gc = place.start(&["process", "gc"]);
    wait_until("it is at it", || place.folders() < all);
    gc.kill().unwrap();
    gc.wait().unwrap();
    let integrity: String = place.store().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    assert!(place.run_dirs().len() >= place.folders().saturating_sub(1), "no run dir is nobody's");
    place.run(&["process", "gc"]).ok();
    assert_eq!((place.processes().len(), place.folders()), (0, 0));
    assert_eq!(fs::read_dir(place.path("data/events")).unwrap().count(), 0);
}

#[test]
fn several_gcs_and_runs_at_once_get_along() {
    let mut place = Playground::new();
    place.event(40);
    place.run(&["run", "E"]).ok();
    place.set("RIGUP_KEEP_PROCESSES", "10");
    let children: Vec<_> =
        (0..8).map(|at| place.start(if at % 2 == 0 { &["process", "gc"] } else { &["run", "E"] })).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !stderr.contains("error") && !stderr.contains("warning"),
            "{stderr}"
        );
    }
    place.gc(&[]);
    let left = place.processes();
    assert_eq!(left.len(), 11, "ten hooks, and the rigup that they came from");
    assert_eq!((place.run_dirs().len(), place.folders()), (10, 10));
}

#[test]
fn once_a_day_a_run_that_started_hooks_cleans_up_by_the_way() {
    let mut place = Playground::new();
    place.event(1);
    place.set("RIGUP_KEEP_PROCESSES", "2");
    for _ in 0..3 {
        place.run(&["run", "E"]).ok();
    }
    assert_eq!(place.processes().len(), 6, "the day is not over");
    let yesterday = place.clean_again();
    place.run(&["run", "E"]).ok();
    assert_eq!(place.processes().len(), 2);
    assert!(place.stamp().metadata().unwrap().modified().unwrap() > yesterday);
}

#[test]
fn once_a_day_commands_and_runs_clean_up_by_the_way_also_where_no_hook_ever_runs() {
    let mut place = Playground::new();
    place.set("RIGUP_KEEP_PROCESSES", "2");
    for _ in 0..3 {
        place.run(&["exec", "--", "true"]).ok();
        place.begun("x");
    }
    assert_eq!(place.processes().len(), 6, "the day is not over");
    place.age();
    place.clean_again();
    place.begun("x");
    assert_eq!((place.processes().len(), place.folders()), (1, 1), "runs whose --ttl is over went as well");
    place.clean_again();
    place.run(&["exec", "--", "true"]).ok();
    assert_eq!((place.processes().len(), place.folders()), (2, 1));
    wait_until("the waiters are gone", || place.living().is_empty());
}

#[test]
fn what_cannot_be_removed_by_the_way_is_told_and_the_work_is_done() {
    let mut place = Playground::new();
    place.set("RIGUP_KEEP_PROCESSES", "0");
    let id = place.begun("x");
    place.age();
    place.clean_again();
    let gone = place.path("data/processes").join(format!(".gone-{id}"));
    fs::write(gone, "").unwrap();
    let ran = place.run(&["exec", "--", "echo", "done"]).ok();
    assert!(ran.stdout == "done\n" && ran.stderr.contains("cannot prune all expired records"), "{ran:?}");
    wait_until("the waiter is gone", || place.living().is_empty());
}

#[test]
fn the_bounds_that_the_documentation_shows_are_the_defaults() {
    let place = Playground::new();
    let keep = || {
        let names = ["config", "keep.processes", "keep.days", "keep.log_bytes"];
        let settings = place.run(&names).ok().records();
        settings.into_iter().map(|it| (it["value"].clone(), it["origin"] == "default")).unzip()
    };
    let (defaults, are_defaults): (Vec<Value>, Vec<bool>) = keep();
    let page = include_str!("../../docs/processes.md");
    let (_, block) = page.split_once("```toml rigup.toml\n").unwrap();
    place.write("here/rigup.toml", block.split_once("```").unwrap().0);
    assert_eq!((keep(), are_defaults), ((defaults, vec![false; 3]), vec![true; 3]));
}

#[test]
fn a_bound_that_is_none_is_refused_before_anything_goes() {
    let place = Playground::new();
    place.write("here/rigup.toml", "[keep]\ndays = \"a week\"\n");
    place.run(&["process", "gc"]).exits(3).says("keep.days from keep.days in");
    place.write("here/rigup.toml", "[keep]\nday = 7\n");
    place
        .run(&["process", "gc"])
        .exits(3)
        .says("unknown setting keep.day; the settings are processes, days, log_bytes");
    place.write("here/rigup.toml", "[keep]\ndays = 7\n");
    let shown = place.run(&["config", "keep.days"]).ok().record();
    assert_eq!(shown["value"], 7);
}
