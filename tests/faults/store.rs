//! A store that is locked, damaged, or written by a newer rigup.

use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::test_context::{TestContext, wait_until};

const INSTALL: &[&str] = &["install", "one", "two", "--binproviders", "good"];

/// Creates a context with two installed binaries, a failed install and an exited run.
fn context() -> TestContext {
    let context = TestContext::new();
    context.fixture("good").fixture("failing");
    context.run(INSTALL).succeeds();
    context.run(&["install", "three", "--binproviders", "failing"]).exits_with(1);
    context.run(&["start", "--slug", "s", "--", "sh", "-c", "echo text; exit 7"]).succeeds();
    wait_until("the run has exited", || context.live_processes().is_empty());
    // The waiter leaves its writes in the WAL.
    context.store().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    context
}

fn store(context: &TestContext) -> std::path::PathBuf {
    context.path("data/rigup.sqlite3")
}

#[test]
fn row_29_rigup_waits_for_a_locked_store_and_names_its_holder() {
    let context = context();
    let script = "import sqlite3, sys\nstore = sqlite3.connect(sys.argv[1])\nstore.execute('BEGIN IMMEDIATE')\n\
        print('locked', flush=True)\nsys.stdin.read()\n";
    let mut holder = Command::new("python3")
        .args(["-c", script, store(&context).to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let force = ["install", "one", "--force", "--binproviders", "good"];
    let began = Instant::now();
    let output = context.run(&force).exits_with(3).stderr_contains(store(&context).to_str().unwrap());
    output.stderr_contains(&format!("python3 (pid {}) has kept it locked for 10 seconds", holder.id()));
    assert!(began.elapsed() >= Duration::from_secs(10), "rigup waited for 10 seconds");
    assert_eq!(context.live_processes(), []);
    context.run(&["binary", "list"]).succeeds();

    // A command that waits continues when the holder releases the lock.
    let mut waiting = context.start(&force);
    let files = format!("/proc/{}/fd", waiting.id());
    let is_store = |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|path| path == store(&context));
    wait_until("rigup has opened the store", || {
        fs::read_dir(&files).unwrap().any(|file| is_store(file.unwrap()))
    });
    assert_eq!(waiting.try_wait().unwrap(), None, "rigup waits");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert!(waiting.wait_with_output().unwrap().status.success());
    context.run(INSTALL).succeeds().stderr_contains("2 binaries are already installed");
}

/// Returns the records that a rebuild restores: installed binaries, and processes other than rigup's own.
fn restorable_records(context: &TestContext) -> Vec<String> {
    let binaries = context.run(&["binary", "list", "--status", "installed"]).succeeds().records();
    let binaries = binaries
        .iter()
        .map(|binary| format!("{} {} {}", binary["name"], binary["abspath"], binary["sha256"]));
    let processes = context.processes().into_iter().filter(|process| process["process_type"] != "cli");
    let keys = [
        "id",
        "machine_id",
        "plugin",
        "hook_name",
        "slug",
        "cmd",
        "pwd",
        "env",
        "run_dir",
        "ended_at",
        "exit_code",
        "exit_reason",
        "stdout_tail",
        "stderr_tail",
        "max_rss",
    ];
    let processes =
        processes.map(|process| Value::from_iter(keys.map(|key| (key, process[key].clone()))).to_string());
    let mut records: Vec<String> = processes.chain(binaries).collect();
    records.sort();
    records
}

/// Returns the names of the damaged stores that rigup moved aside.
fn damaged_stores(context: &TestContext) -> Vec<String> {
    let names = fs::read_dir(context.path("data")).unwrap().map(|file| file.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.contains(".damaged-")).collect()
}

fn overwrite(path: &Path, offset: u64, length: usize) {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&vec![b'x'; length]).unwrap();
}

#[test]
fn row_30_a_store_with_a_damaged_header_is_rebuilt_from_the_run_dirs() {
    let context = context();
    let before = restorable_records(&context);
    assert_eq!(before.len(), 6, "{before:?}");
    overwrite(&store(&context), 0, 4096);
    let damaged = fs::read(store(&context)).unwrap();

    let read = context
        .run(&["binary", "list"])
        .exits_with(3)
        .stderr_contains("the file is damaged or is not a SQLite database");
    read.stderr_contains("`rigup process gc` moves it aside");
    assert_eq!(fs::read(store(&context)).unwrap(), damaged, "a command that only reads changes nothing");
    context
        .run(INSTALL)
        .succeeds()
        .stderr_contains("warning: the store")
        .stderr_contains("was damaged and was moved to")
        .stderr_contains("2 binaries are already installed");
    let [kept] = &damaged_stores(&context)[..] else { panic!("the damaged store is kept") };
    assert_eq!(fs::read(context.path("data").join(kept)).unwrap(), damaged);
    assert_eq!(restorable_records(&context), before);
    context.run(&["install", "four", "--binproviders", "good"]).succeeds();
    assert_eq!(context.live_processes(), []);
}

#[test]
fn row_30_gc_finds_and_repairs_damage_inside_the_store() {
    let context = context();
    let before = restorable_records(&context);
    let length = fs::metadata(store(&context)).unwrap().len();
    overwrite(&store(&context), 8192, usize::try_from(length - 8192).unwrap());
    context.run(&["process", "gc"]).succeeds().stderr_contains("was damaged and was moved to");
    assert_eq!(damaged_stores(&context).len(), 1);
    assert_eq!(restorable_records(&context), before);
    context.run(&["process", "gc"]).succeeds();
    assert_eq!(damaged_stores(&context).len(), 1);
}

#[test]
fn row_30_a_changed_binary_is_installed_again_after_a_rebuild() {
    let context = context();
    fs::write(
        context.path("data/lib").join(rigup::settings::platform()).join("good/one"),
        "#!/bin/sh\necho 9\n",
    )
    .unwrap();
    overwrite(&store(&context), 0, 4096);
    let hooks = |context: &TestContext| context.hook_processes().len();
    context.run(INSTALL).succeeds().stderr_contains("one: installed by good");
    assert_eq!(hooks(&context), 4, "two at first, the failed one, and one after the rebuild");
}

#[test]
fn row_30_a_rebuild_keeps_the_hook_that_found_several_binaries() {
    let mut context = TestContext::new();
    context.run(&["install", "sh", "ls", "--binproviders", "env"]).succeeds();
    let hooks: Vec<_> = context.hook_processes().into_iter().map(|process| process["id"].clone()).collect();
    assert_eq!(hooks.len(), 1, "both attempts belong to one request");
    overwrite(&store(&context), 0, 4096);
    context.set("RIGUP_KEEP_PROCESSES", "0");
    context.run(&["process", "gc"]).succeeds().stderr_contains("was damaged and was moved to");
    let kept: Vec<_> = context.processes().into_iter().map(|process| process["id"].clone()).collect();
    assert_eq!(kept, hooks);
    context
        .run(&["install", "sh", "ls", "--binproviders", "env"])
        .succeeds()
        .stderr_contains("2 binaries are already installed");
}

#[test]
fn row_30_a_missing_store_is_read_from_run_dirs_until_the_next_write() {
    let context = context();
    let before = restorable_records(&context);
    fs::remove_file(store(&context)).unwrap();
    let listed = context.run(&["binary", "list"]).succeeds().stderr_contains("is missing or empty");
    assert_eq!(listed.records().len(), 2);
    assert!(!store(&context).exists(), "a command that only reads changes nothing");
    let installed = context.run(INSTALL).succeeds().stderr_contains("was missing or empty");
    installed.stderr_contains("2 binaries are already installed");
    assert_eq!(restorable_records(&context), before);
    let quiet = context.run(&["process", "list"]).succeeds();
    assert_eq!(quiet.stderr, "");
}

#[test]
fn row_31_a_store_from_a_newer_rigup_is_rejected_and_not_changed() {
    let context = context();
    let newer = rusqlite::Connection::open(store(&context)).unwrap();
    newer.execute_batch("PRAGMA user_version = 999; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    newer.close().unwrap();
    let files = |context: &TestContext| {
        let entries = walkdir::WalkDir::new(context.path("data")).sort_by_file_name().into_iter();
        let paths = entries.map(|entry| entry.unwrap().into_path());
        let paths = paths.filter(|path| !path.to_string_lossy().ends_with("-shm"));
        paths.map(|path| (fs::read(&path).unwrap_or_default(), path)).collect::<Vec<_>>()
    };
    let before = files(&context);
    for args in [
        INSTALL,
        &["load", "one"],
        &["binary", "list"],
        &["process", "gc"],
        &["start", "--slug", "s", "--", "true"],
    ] {
        let output = context.run(args).exits_with(3).stderr_contains(store(&context).to_str().unwrap());
        output.stderr_contains("has schema version 999").stderr_contains("update rigup");
    }
    assert_eq!(files(&context), before);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn row_30_a_rebuild_believes_only_records_that_were_accepted() {
    let context = TestContext::new();
    let record = |name: &str, version: &str| {
        format!(r#"echo '{{"type":"Binary","name":"{name}","abspath":"/bin/sh","version":"{version}"}}'"#)
    };
    let hook =
        format!("#!/bin/sh\n{}\n{}\n{}\n", record("ignored", "1"), record("x", "1"), record("old", "1"));
    context.provider("p", &hook);
    context.run(&["install", "x", "--binproviders", "p"]).succeeds();
    context.run(&["install", "old", "--binproviders", "p", "--min-version", "2"]).exits_with(1);
    let hooks = context.hook_processes();
    let run_dir = Path::new(hooks[1]["run_dir"].as_str().unwrap());
    fs::write(run_dir.join("process.json"), "").unwrap();
    let accepted = Path::new(hooks[0]["run_dir"].as_str().unwrap());
    for (emptied, expected) in [("none", 1), ("accepted", 0)] {
        if emptied == "accepted" {
            fs::write(accepted.join("process.json"), "").unwrap();
        }
        overwrite(&store(&context), 0, 4096);
        let output = context.run(&["process", "gc"]).succeeds().stderr_contains("was damaged");
        output.stderr_contains("a process is not restored, because its process.json is empty or damaged");
        let binaries = context.run(&["binary", "list"]).succeeds().records();
        let names: Vec<_> = binaries.iter().map(|binary| binary["name"].clone()).collect();
        assert_eq!(names, ["x"], "{emptied}");
        assert_eq!(context.hook_processes().len(), expected, "{emptied}");
    }
    context.run(&["install", "x", "--binproviders", "p"]).succeeds().stderr_contains("already installed");
}

#[test]
fn row_30_a_store_rebuilt_in_a_copy_does_not_use_the_original() {
    for change in ["copied", "moved", "copied, and the original kept"] {
        let mut context = context();
        let lib_dir = context.path("lib");
        context.set("LIB_DIR", lib_dir);
        context.run(&["install", "four", "--binproviders", "good"]).succeeds();
        let (original, copy) = (context.path("data"), context.path("copy"));
        context.unset("LIB_DIR");
        if change == "moved" {
            fs::rename(&original, &copy).unwrap();
        } else {
            assert!(Command::new("cp").arg("-a").args([&original, &copy]).status().unwrap().success());
        }
        if change == "copied" {
            fs::remove_dir_all(&original).unwrap();
        }
        overwrite(&copy.join("rigup.sqlite3"), 0, 4096);
        context.set("RIGUP_DATA_DIR", copy.clone());
        let output = context.run(INSTALL).succeeds().stderr_contains("was damaged");
        output.stderr_contains("2 binaries are already installed");
        assert_eq!(context.hook_processes().len(), 4, "{change}");
        context.run(&["exec", "--", "one"]).succeeds();
        for binary in context.run(&["binary", "list", "--status", "installed"]).succeeds().records() {
            assert!(Path::new(binary["abspath"].as_str().unwrap()).starts_with(&copy), "{change}: {binary}");
        }
        assert_eq!(context.live_processes(), []);
    }
}

#[test]
fn row_30_a_rebuild_does_not_restore_a_deleted_binary() {
    let context = context();
    context.run(&["install", "one", "two", "--force", "--binproviders", "good"]).succeeds();
    context.run(&["binary", "delete", "--yes", "one"]).succeeds();
    overwrite(&store(&context), 0, 4096);
    context.run(&["process", "gc"]).succeeds().stderr_contains("was damaged");
    let binaries = context.run(&["binary", "list"]).succeeds().records();
    assert_eq!(binaries.iter().map(|binary| binary["name"].clone()).collect::<Vec<_>>(), ["two"]);
}
