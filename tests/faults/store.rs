//! The store: busy, damaged, from the future.

use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::test_context::{TestContext, wait_until};

const INSTALL: &[&str] = &["install", "one", "two", "--binproviders", "good"];

/// A place where two binaries were installed, and a run ended.
fn context() -> TestContext {
    let context = TestContext::new();
    context.fixture("good").fixture("failing");
    context.run(INSTALL).succeeds();
    context.run(&["install", "three", "--binproviders", "failing"]).exits_with(1);
    context.run(&["start", "--slug", "s", "--", "sh", "-c", "echo said; exit 7"]).succeeds();
    wait_until("the run is over", || context.live_processes().is_empty());
    context
}

fn store(context: &TestContext) -> std::path::PathBuf {
    context.path("data/rigup.sqlite3")
}

#[test]
fn row_29_a_store_that_is_kept_locked_is_waited_for_and_its_holder_is_named() {
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
    output.stderr_contains(&format!("python3 (pid {}) has locked it for 10 seconds", holder.id()));
    assert!(began.elapsed() >= Duration::from_secs(10), "it gave up at once");
    assert_eq!(context.live_processes(), []);
    context.run(&["binary", "list"]).succeeds();

    // Whoever waits goes on once the holder is done.
    let mut waiting = context.start(&force);
    let files = format!("/proc/{}/fd", waiting.id());
    let has_open = |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|it| it == store(&context));
    wait_until("it has the store open", || fs::read_dir(&files).unwrap().any(|it| has_open(it.unwrap())));
    assert_eq!(waiting.try_wait().unwrap(), None, "it waits");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert!(waiting.wait_with_output().unwrap().status.success());
    context.run(INSTALL).succeeds().stderr_contains("all 2 binaries are already installed");
}

/// What a person would miss: the processes but rigup's own, and what is installed.
fn told(context: &TestContext) -> Vec<String> {
    let binaries = context.run(&["binary", "list", "--status", "installed"]).succeeds().records();
    let binaries = binaries.iter().map(|it| format!("{} {} {}", it["name"], it["abspath"], it["sha256"]));
    let processes = context.processes().into_iter().filter(|it| it["process_type"] != "cli");
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
    let processes = processes.map(|it| Value::from_iter(keys.map(|key| (key, it[key].clone()))).to_string());
    let mut told: Vec<String> = processes.chain(binaries).collect();
    told.sort();
    told
}

fn aside(context: &TestContext) -> Vec<String> {
    let names = fs::read_dir(context.path("data")).unwrap().map(|it| it.unwrap().file_name());
    names.filter_map(|it| it.into_string().ok().filter(|it| it.contains(".damaged-"))).collect()
}

fn spoil(path: &Path, offset: u64, length: usize) {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&vec![b'x'; length]).unwrap();
}

#[test]
fn row_30_a_store_with_a_damaged_header_is_moved_aside_and_rebuilt_from_the_run_dirs() {
    let context = context();
    let before = told(&context);
    assert_eq!(before.len(), 6, "{before:?}");
    spoil(&store(&context), 0, 4096);
    let damaged = fs::read(store(&context)).unwrap();

    let read = context
        .run(&["binary", "list"])
        .exits_with(3)
        .stderr_contains("the file is damaged or is not a SQLite database");
    read.stderr_contains("`rigup process gc` moves it aside");
    assert_eq!(fs::read(store(&context)).unwrap(), damaged, "who only reads changes nothing");
    context
        .run(INSTALL)
        .succeeds()
        .stderr_contains("warning: the store")
        .stderr_contains("was damaged and was moved to")
        .stderr_contains("all 2 binaries are already installed");
    let [aside] = &aside(&context)[..] else { panic!("it is kept") };
    assert_eq!(fs::read(context.path("data").join(aside)).unwrap(), damaged);
    assert_eq!(told(&context), before);
    context.run(&["install", "four", "--binproviders", "good"]).succeeds();
    assert_eq!(context.live_processes(), []);
}

#[test]
fn row_30_damage_within_the_store_is_found_by_gc_and_repaired_in_the_same_way() {
    let context = context();
    let before = told(&context);
    let length = fs::metadata(store(&context)).unwrap().len();
    spoil(&store(&context), 8192, usize::try_from(length - 8192).unwrap());
    context.run(&["process", "gc"]).succeeds().stderr_contains("was damaged and was moved to");
    assert_eq!(aside(&context).len(), 1);
    assert_eq!(told(&context), before);
    context.run(&["process", "gc"]).succeeds();
    assert_eq!(aside(&context).len(), 1);
}

#[test]
fn row_30_a_binary_whose_file_is_not_what_the_run_dir_tells_is_asked_for_again() {
    let context = context();
    fs::write(
        context.path("data/lib").join(rigup::settings::platform()).join("good/one"),
        "#!/bin/sh\necho 9\n",
    )
    .unwrap();
    spoil(&store(&context), 0, 4096);
    let hooks = |context: &TestContext| context.hook_processes().len();
    context.run(INSTALL).succeeds().stderr_contains("one: installed by good");
    assert_eq!(hooks(&context), 4, "two before, the one that failed, and one now");
}

#[test]
fn row_30_the_hook_that_found_many_binaries_is_still_what_they_came_from() {
    let mut context = TestContext::new();
    context.run(&["install", "sh", "ls", "--binproviders", "env"]).succeeds();
    let hooks: Vec<_> = context.hook_processes().into_iter().map(|it| it["id"].clone()).collect();
    assert_eq!(hooks.len(), 1, "both were one request");
    spoil(&store(&context), 0, 4096);
    context.set("RIGUP_KEEP_PROCESSES", "0");
    context.run(&["process", "gc"]).succeeds().stderr_contains("was damaged and was moved to");
    let kept: Vec<_> = context.processes().into_iter().map(|it| it["id"].clone()).collect();
    assert_eq!(kept, hooks);
    context
        .run(&["install", "sh", "ls", "--binproviders", "env"])
        .succeeds()
        .stderr_contains("all 2 binaries are already installed");
}

#[test]
fn row_31_a_store_of_a_newer_rigup_is_refused_and_nothing_is_written() {
    let context = context();
    let newer = rusqlite::Connection::open(store(&context)).unwrap();
    newer.execute_batch("PRAGMA user_version = 999; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    newer.close().unwrap();
    let files = |context: &TestContext| {
        let all =
            walkdir::WalkDir::new(context.path("data")).sort_by_file_name().into_iter().map(|it| it.unwrap());
        let all = all.filter(|it| !it.path().to_string_lossy().ends_with("-shm"));
        all.map(|it| (it.path().to_owned(), fs::read(it.path()).unwrap_or_default())).collect::<Vec<_>>()
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
