//! The store: busy, damaged, from the future.

use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::playground::{Playground, wait_until};

const INSTALL: &[&str] = &["install", "one", "two", "--binproviders", "good"];

/// A place where two binaries were installed, and a run ended.
fn place() -> Playground {
    let place = Playground::new();
    place.fixture("good").fixture("failing");
    place.run(INSTALL).ok();
    place.run(&["install", "three", "--binproviders", "failing"]).exits(1);
    place.run(&["start", "--slug", "s", "--", "sh", "-c", "echo said; exit 7"]).ok();
    wait_until("the run is over", || place.living().is_empty());
    place
}

fn store(place: &Playground) -> std::path::PathBuf {
    place.path("data/rigup.sqlite3")
}

#[test]
fn row_29_a_store_that_is_kept_locked_is_waited_for_and_its_holder_is_named() {
    let place = place();
    let script = "import sqlite3, sys\nstore = sqlite3.connect(sys.argv[1])\nstore.execute('BEGIN IMMEDIATE')\n\
        print('locked', flush=True)\nsys.stdin.read()\n";
    let mut holder = Command::new("python3")
        .args(["-c", script, store(&place).to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let force = ["install", "one", "--force", "--binproviders", "good"];
    let began = Instant::now();
    let ran = place.run(&force).exits(3).says(store(&place).to_str().unwrap());
    ran.says(&format!("python3 (pid {}) has locked it for 10 seconds", holder.id()));
    assert!(began.elapsed() >= Duration::from_secs(10), "it gave up at once");
    assert_eq!(place.living(), []);
    place.run(&["binary", "list"]).ok();

    // Whoever waits goes on once the holder is done.
    let mut waiting = place.start(&force);
    let files = format!("/proc/{}/fd", waiting.id());
    let has_open = |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|it| it == store(&place));
    wait_until("it has the store open", || fs::read_dir(&files).unwrap().any(|it| has_open(it.unwrap())));
    assert_eq!(waiting.try_wait().unwrap(), None, "it waits");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert!(waiting.wait_with_output().unwrap().status.success());
    place.run(INSTALL).ok().says("all 2 binaries are already installed");
}

/// What a person would miss: the processes but rigup's own, and what is installed.
fn told(place: &Playground) -> Vec<String> {
    let binaries = place.run(&["binary", "list", "--status", "installed"]).ok().records();
    let binaries = binaries.iter().map(|it| format!("{} {} {}", it["name"], it["abspath"], it["sha256"]));
    let processes = place.processes().into_iter().filter(|it| it["process_type"] != "cli");
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

fn aside(place: &Playground) -> Vec<String> {
    let names = fs::read_dir(place.path("data")).unwrap().map(|it| it.unwrap().file_name());
    names.filter_map(|it| it.into_string().ok().filter(|it| it.contains(".damaged-"))).collect()
}

fn spoil(path: &Path, offset: u64, length: usize) {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&vec![b'x'; length]).unwrap();
}

#[test]
fn row_30_a_store_with_a_damaged_header_is_moved_aside_and_rebuilt_from_the_run_dirs() {
    let place = place();
    let before = told(&place);
    assert_eq!(before.len(), 6, "{before:?}");
    spoil(&store(&place), 0, 4096);
    let damaged = fs::read(store(&place)).unwrap();

    let read =
        place.run(&["binary", "list"]).exits(3).says("the file is damaged or is not a SQLite database");
    read.says("`rigup process gc` moves it aside");
    assert_eq!(fs::read(store(&place)).unwrap(), damaged, "who only reads changes nothing");
    place
        .run(INSTALL)
        .ok()
        .says("warning: the store")
        .says("was damaged, and is")
        .says("all 2 binaries are already installed");
    let [aside] = &aside(&place)[..] else { panic!("it is kept") };
    assert_eq!(fs::read(place.path("data").join(aside)).unwrap(), damaged);
    assert_eq!(told(&place), before);
    place.run(&["install", "four", "--binproviders", "good"]).ok();
    assert_eq!(place.living(), []);
}

#[test]
fn row_30_damage_within_the_store_is_found_by_gc_and_repaired_in_the_same_way() {
    let place = place();
    let before = told(&place);
    let length = fs::metadata(store(&place)).unwrap().len();
    spoil(&store(&place), 8192, usize::try_from(length - 8192).unwrap());
    place.run(&["process", "gc"]).ok().says("was damaged, and is");
    assert_eq!(aside(&place).len(), 1);
    assert_eq!(told(&place), before);
    place.run(&["process", "gc"]).ok();
    assert_eq!(aside(&place).len(), 1);
}

#[test]
fn row_30_a_binary_whose_file_is_not_what_the_run_dir_tells_is_asked_for_again() {
    let place = place();
    fs::write(
        place.path("data/lib").join(rigup::settings::platform()).join("good/one"),
        "#!/bin/sh\necho 9\n",
    )
    .unwrap();
    spoil(&store(&place), 0, 4096);
    let hooks = |place: &Playground| place.hook_processes().len();
    place.run(INSTALL).ok().says("one: installed by good");
    assert_eq!(hooks(&place), 4, "two before, the one that failed, and one now");
}

#[test]
fn row_30_the_hook_that_found_many_binaries_is_still_what_they_came_from() {
    let mut place = Playground::new();
    place.run(&["install", "sh", "ls", "--binproviders", "env"]).ok();
    let hooks: Vec<_> = place.hook_processes().into_iter().map(|it| it["id"].clone()).collect();
    assert_eq!(hooks.len(), 1, "both were one request");
    spoil(&store(&place), 0, 4096);
    place.set("RIGUP_KEEP_PROCESSES", "0");
    place.run(&["process", "gc"]).ok().says("was damaged, and is");
    let kept: Vec<_> = place.processes().into_iter().map(|it| it["id"].clone()).collect();
    assert_eq!(kept, hooks);
    place
        .run(&["install", "sh", "ls", "--binproviders", "env"])
        .ok()
        .says("all 2 binaries are already installed");
}

#[test]
fn row_31_a_store_of_a_newer_rigup_is_refused_and_nothing_is_written() {
    let place = place();
    let newer = rusqlite::Connection::open(store(&place)).unwrap();
    newer.execute_batch("PRAGMA user_version = 999; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    newer.close().unwrap();
    let files = |place: &Playground| {
        let all =
            walkdir::WalkDir::new(place.path("data")).sort_by_file_name().into_iter().map(|it| it.unwrap());
        let all = all.filter(|it| !it.path().to_string_lossy().ends_with("-shm"));
        all.map(|it| (it.path().to_owned(), fs::read(it.path()).unwrap_or_default())).collect::<Vec<_>>()
    };
    let before = files(&place);
    for args in [
        INSTALL,
        &["load", "one"],
        &["binary", "list"],
        &["process", "gc"],
        &["start", "--slug", "s", "--", "true"],
    ] {
        let ran = place.run(args).exits(3).says(store(&place).to_str().unwrap());
        ran.says("has schema version 999").says("update rigup");
    }
    assert_eq!(files(&place), before);
    assert_eq!(place.living(), []);
}
