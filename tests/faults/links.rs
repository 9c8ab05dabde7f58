//! Names, and the links that are called so.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::aftermath::nothing_is_left;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::killer::{Change, Fate, do_before};
use crate::test_context::{CommandOutput, TestContext, wait_until};

#[test]
fn row_17_a_name_that_cannot_be_a_folder_or_a_link_is_refused_before_anything_is_made() {
    for name in ["", " ", ".", "..", "a/b", "../x", "-rf", "x\ny", "x\0y", &"x".repeat(64), &"x".repeat(300)]
    {
        let context = TestContext::new();
        context.plugin("p", &[json!({"type": "Binary", "name": name})]);
        context.run(&["install"]).exits_with(1).stderr_contains("binaries.jsonl:1: the name");
        assert!(!context.path("data/machines").exists(), "{name:?}");
        assert!(!context.bin("").exists(), "{name:?}");
        // No argument can have a NUL in it.
        if !name.contains('\0') {
            let context = TestContext::new();
            context.run(&["install", "--", name]).exits_with(2).stderr_contains("the name");
            context.run(&["load", "--", name]).exits_with(2).stderr_contains("the name");
            assert!(!context.path("data").exists(), "{name:?}");
            let create = [&format!("--name={name}"), "--abspath=/bin/sh"];
            context
                .run(&["binary", "create", create[0], create[1]])
                .exits_with(2)
                .stderr_contains("the name");
        }
        let request = json!({"type": "BinaryRequest", "name": name, "abspath": "/bin/sh"});
        let binary = json!({"type": "Binary", "name": name, "abspath": "/bin/sh"});
        for record in [request, binary] {
            let context = TestContext::new();
            let input = fs::File::open(context.write("records", record.to_string())).unwrap();
            let result = context.command(&["apply"]).stdin(input).output().unwrap();
            CommandOutput::new(&["apply"], &result).exits_with(1).stderr_contains("the name");
            assert!(!context.path("data/machines").exists() && !context.bin("").exists(), "{record}");
            nothing_is_left(&context);
        }
    }
}

fn context_with_one() -> TestContext {
    let context = TestContext::new();
    context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    fs::create_dir_all(context.bin("")).unwrap();
    context
}

/// What stands in LIB_BIN_DIR.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name());
    entries.map(|it| it.into_string().unwrap()).collect()
}

#[test]
fn row_18_a_foreign_file_where_the_link_goes_is_refused_by_its_path_and_replaced_by_force_alone() {
    let context = context_with_one();
    fs::write(context.bin("one"), "mine").unwrap();
    let output = context.run(&["install"]).exits_with(1);
    assert_eq!(output.record()["status"], "queued");
    output
        .stderr_contains("cannot link")
        .stderr_contains(context.bin("one").to_str().unwrap())
        .stderr_contains("--force replaces it");
    assert_eq!(fs::read_to_string(context.bin("one")).unwrap(), "mine");
    assert_eq!(names_in(&context.bin("")), ["one"]);
    context.run(&["install", "--force"]).succeeds();
    assert!(context.bin("one").is_symlink());
    assert_eq!(names_in(&context.bin("")), ["one"]);
    nothing_is_left(&context);
}

#[test]
fn row_18_a_folder_where_the_link_goes_is_refused_by_its_path_and_never_replaced() {
    let context = context_with_one();
    fs::create_dir(context.bin("one")).unwrap();
    fs::write(context.bin("one/kept"), "mine").unwrap();
    for args in [&["install"][..], &["install", "--force"]] {
        context
            .run(args)
            .exits_with(1)
            .stderr_contains("is a folder")
            .stderr_contains(context.bin("one").to_str().unwrap());
        assert_eq!(fs::read_to_string(context.bin("one/kept")).unwrap(), "mine");
    }
    assert_eq!(names_in(&context.bin("")), ["one"]);
}

#[test]
fn row_18_a_foreign_link_outside_of_lib_dir_is_refused_by_its_path() {
    let mut context = context_with_one();
    context.set("LIB_BIN_DIR", context.path("usr-local-bin"));
    fs::create_dir(context.path("usr-local-bin")).unwrap();
    let link = context.path("usr-local-bin/one");
    symlink("/bin/ls", &link).unwrap();
    context
        .run(&["install"])
        .exits_with(1)
        .stderr_contains("rigup did not create this file")
        .stderr_contains(link.to_str().unwrap());
    assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("/bin/ls"));
    context.run(&["install", "--force"]).succeeds();
    assert!(fs::read_link(&link).unwrap().starts_with(context.path("data/lib")));
    nothing_is_left(&context);
}

#[test]
fn row_19_eight_runs_that_make_one_link_at_once_all_succeed_and_nobody_ever_misses_it() {
    let mut context = context_with_one();
    let shared = context.path("shared");
    context.set("LIB_BIN_DIR", shared.clone());
    // Two data dirs, so that not even the lock on the name keeps them apart, and the link changes each time.
    let data = ["one", "two"].map(|it| context.path(it).to_str().unwrap().to_owned());
    let args = |data: &'_ str| ["--data-dir", data, "install", "--force"].map(str::to_owned);
    for data in &data {
        context.run(&args(data).each_ref().map(String::as_str)).succeeds();
    }
    let is_over = AtomicBool::new(false);
    let is_whole = || fs::read_link(shared.join("one")).is_ok_and(|it| it.is_file());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert!(is_whole());
                looks += 1;
            }
            looks
        });
        let runs: Vec<_> = (0..8).map(|nth| args(&data[nth % 2])).collect();
        let runs = runs.iter().map(|it| it.each_ref().map(String::as_str));
        let started: Vec<_> = runs.map(|it| (it, context.start(&it))).collect();
        for (args, child) in started {
            CommandOutput::new(&args, &child.wait_with_output().unwrap()).succeeds();
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    assert_eq!(names_in(&shared), ["one"], "no temporary link is left");
    assert_eq!(context.live_processes(), []);
}

/// A provider whose program is another one all the time: a process that left its group swaps it for one of another size.
const SWAPPING: &str = r#"#!/bin/sh
set -eu
mkdir -p "$LIB_DIR" && cd "$LIB_DIR"
printf '#!/bin/sh\necho 1.0\n' >a
printf '#!/bin/sh\necho 2.0 and longer\n' >b
chmod +x a b
cp -p a x
: >swapping
setsid sh -c 'while [ -e swapping ]; do for it in a b; do cp -p $it x.new && mv x.new x; done; done' &
"$RIGUP" hook binary --provider swapping --abspath "$PWD/x" -- "$@"
"#;

#[test]
fn row_20_a_target_that_is_swapped_all_the_time_is_rejected_or_recorded_as_it_was() {
    let context = TestContext::new();
    context.provider("swapping", SWAPPING);
    let lib = context.bin("").parent().unwrap().to_owned();
    let size_of = |digest: &str| {
        let made = ["a", "b"].map(|it| lib.join(it));
        let it = made.iter().find(|it| rigup::fs::digest::sha256(it).unwrap() == digest);
        it.expect("it is one of the two").metadata().unwrap().len().to_string()
    };
    let (mut tried, mut rejected) = (0, 0);
    while tried < 20 || rejected == 0 {
        tried += 1;
        assert!(tried < 200, "it is swapped all the time");
        let record = context.run(&["install", "x", "--force", "--binproviders", "swapping"]).record();
        if record["status"] == "installed" {
            let fingerprint = record["fingerprint"].as_str().unwrap();
            let size = fingerprint.split(':').nth(2).unwrap();
            assert_eq!(
                size_of(record["sha256"].as_str().unwrap()),
                size,
                "the digest is that of the very file"
            );
        } else {
            let attempt = &record["attempts"][0];
            assert_eq!(attempt["outcome"], "rejected");
            let reason = attempt["reason"].as_str().unwrap();
            assert!(reason.contains("changed while it was verified"), "{reason}");
            rejected += 1;
        }
        fs::remove_file(lib.join("swapping")).unwrap();
        wait_until("nobody swaps it any more", || context.live_processes().is_empty());
    }
}

#[test]
fn row_20_a_file_that_changes_while_its_record_waits_to_be_stored_is_rejected() {
    let context = TestContext::new();
    context.run(&["process", "gc"]).succeeds();
    let tool = context.script("tool", "#!/bin/sh\necho 1.0\n");
    let lock = context.write("data/locks/binary/x", "");
    let held = fs::File::options().write(true).open(&lock).unwrap();
    held.lock().unwrap();
    let args = ["binary", "create", "--name", "x", "--abspath", tool.to_str().unwrap()];
    let waiting = context.start(&args);
    let files = format!("/proc/{}/fd", waiting.id());
    let has_open = |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|it| it == lock);
    wait_until("it is at the lock", || fs::read_dir(&files).unwrap().any(|it| has_open(it.unwrap())));
    context.script("other", "#!/bin/sh\necho 2.0 and longer\n");
    fs::rename(context.path("other"), &tool).unwrap();
    drop(held);
    let output = CommandOutput::new(&args, &waiting.wait_with_output().unwrap()).exits_with(1);
    output.stderr_contains("changed while it was verified");
    assert!(!context.bin("x").is_symlink());
    assert_eq!(context.run(&["binary", "list", "--status", "installed"]).succeeds().stdout, "");
    nothing_is_left(&context);
}

/// One hook finds two programs, and both are checked before either is linked.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn row_20_a_target_that_changes_between_check_and_link_is_rejected() {
    let mut context = TestContext::new();
    for tool in ["one", "two"] {
        context.script(&format!("tools/{tool}"), "#!/bin/sh\necho 1.0\n");
    }
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools").display()));
    let args = ["install", "one", "two", "--binproviders", "env"];
    let swap = |_| {
        context.script("other", "#!/bin/sh\necho 2.0 and longer\n");
        fs::rename(context.path("other"), context.path("tools/two")).unwrap();
    };
    let fate = do_before(&context, &args, 1, |it| it == Change::Link, swap);
    assert_eq!(fate, Fate::Unharmed { calls: 1, code: 1 }, "only the other one is linked");
    assert!(context.bin("one").is_symlink() && !context.bin("two").is_symlink());
    let queued = context.run(&["binary", "show", "two"]).succeeds().record();
    let reason = queued["last_error"].as_str().unwrap();
    assert!(
        reason.contains("env rejected: ") && reason.contains("changed while it was verified"),
        "{reason}"
    );
    context.run(&args).succeeds();
    assert!(context.bin("two").is_symlink());
    nothing_is_left(&context);
}
