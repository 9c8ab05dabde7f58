//! The names of binaries, and their links.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, wait_until};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::tracer::{Change, TracedExit, act_before};

#[test]
fn row_17_a_name_that_cannot_be_a_folder_or_a_link_is_rejected() {
    for name in ["", " ", ".", "..", "a/b", "../x", "-rf", "x\ny", "x\0y", &"x".repeat(64), &"x".repeat(300)]
    {
        let context = TestContext::new();
        context.plugin("p", &[json!({"type": "Binary", "name": name})]);
        context.run(&["install"]).exits_with(1).stderr_contains("binaries.jsonl:1: the name");
        assert!(!context.path("data/machines").exists(), "{name:?}");
        assert!(!context.bin("").exists(), "{name:?}");
        // An argument cannot contain a NUL.
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
            assert_nothing_is_left(&context);
        }
    }
}

/// Creates a context with a plugin that requires the binary `one`.
fn context_with_one() -> TestContext {
    let context = TestContext::new();
    context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    fs::create_dir_all(context.bin("")).unwrap();
    context
}

fn names_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name != ".rigup-links").collect()
}

#[test]
fn row_18_only_force_replaces_a_foreign_file_at_the_path_of_a_link() {
    let context = context_with_one();
    fs::write(context.bin("one"), "mine").unwrap();
    let output = context.run(&["install"]).exits_with(1);
    assert_eq!(output.record()["status"], "installed");
    output
        .stderr_contains("cannot link")
        .stderr_contains(context.bin("one").to_str().unwrap())
        .stderr_contains("--force replaces it");
    assert_eq!(fs::read_to_string(context.bin("one")).unwrap(), "mine");
    assert_eq!(names_in(&context.bin("")), ["one"]);
    context.run(&["install", "--force"]).succeeds();
    assert!(context.bin("one").is_symlink());
    assert_eq!(names_in(&context.bin("")), ["one"]);
    assert_nothing_is_left(&context);
}

#[test]
fn row_18_a_folder_at_the_path_of_a_link_is_never_replaced() {
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
fn row_18_only_force_replaces_a_foreign_link_outside_lib_dir() {
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
    assert_nothing_is_left(&context);
}

#[test]
fn row_19_eight_commands_replace_one_link_at_once_without_a_gap() {
    let mut context = context_with_one();
    let shared = context.path("shared");
    context.set("LIB_BIN_DIR", shared.clone());
    // Commands with different data dirs do not share the lock of a name, so the link keeps changing.
    let data = ["one", "two"].map(|name| context.path(name).to_str().unwrap().to_owned());
    for data in &data {
        context.run(&["--data-dir", data, "install", "--force"]).succeeds();
    }
    let have_exited = AtomicBool::new(false);
    let link_works = || fs::read_link(shared.join("one")).is_ok_and(|path| path.is_file());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !have_exited.load(Ordering::Relaxed) {
                assert!(link_works());
                reads += 1;
            }
            reads
        });
        let commands: Vec<_> = (0..8).map(|n| ["--data-dir", &data[n % 2], "install", "--force"]).collect();
        let children: Vec<_> = commands.iter().map(|args| (args, context.start(args))).collect();
        for (args, child) in children {
            CommandOutput::new(args, &child.wait_with_output().unwrap()).succeeds();
        }
        have_exited.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    assert_eq!(names_in(&shared), ["one"], "no temporary link is left");
    assert_eq!(context.live_processes(), []);
}

/// A provider whose program keeps changing: a process outside its group replaces it with one of a different size.
const SWAPPING: &str = r#"#!/bin/sh
set -eu
mkdir -p "$LIB_DIR" && cd "$LIB_DIR"
printf '#!/bin/sh\necho 1.0\n' >a
printf '#!/bin/sh\necho 2.0 and longer\n' >b
chmod +x a b
cp -p a x
: >swapping
setsid sh -c 'while [ -e swapping ]; do for file in a b; do cp -p $file x.new && mv x.new x; done; done' &
"$RIGUP" hook binary --provider swapping --abspath "$PWD/x" -- "$@"
"#;

#[test]
#[ignore = "takes half a minute"]
fn row_20_a_file_that_keeps_changing_is_rejected_or_recorded_correctly() {
    let context = TestContext::new();
    context.provider("swapping", SWAPPING);
    let lib = context.bin("").parent().unwrap().to_owned();
    let size_of = |digest: &str| {
        let programs = ["a", "b"].map(|name| lib.join(name));
        let recorded = programs.iter().find(|path| rigup::internal::sha256(path).unwrap() == digest);
        recorded.expect("the digest is that of one of the two programs").metadata().unwrap().len().to_string()
    };
    let (mut attempts, mut rejected) = (0, 0);
    while attempts < 20 || rejected == 0 {
        attempts += 1;
        assert!(attempts < 200, "no attempt was rejected");
        let record = context.run(&["install", "x", "--force", "--binproviders", "swapping"]).record();
        if record["status"] == "installed" {
            let fingerprint = record["fingerprint"].as_str().unwrap();
            let size = fingerprint.split(':').nth(1).unwrap();
            assert_eq!(
                size_of(record["sha256"].as_str().unwrap()),
                size,
                "the digest and the size are of the same file"
            );
        } else {
            let attempt = &record["attempts"][0];
            assert_eq!(attempt["outcome"], "rejected", "{attempt}");
            let reason = attempt["reason"].as_str().unwrap();
            assert!(reason.contains("changed while it was verified"), "{reason}");
            rejected += 1;
        }
        fs::remove_file(lib.join("swapping")).unwrap();
        wait_until("the replacing process has exited", || context.live_processes().is_empty());
    }
}

#[test]
fn row_20_a_file_that_changes_before_its_record_is_stored_is_rejected() {
    let context = TestContext::new();
    context.run(&["process", "gc"]).succeeds();
    let tool = context.script("tool", "#!/bin/sh\necho 1.0\n");
    let lock = context.write("data/locks/binary/x", "");
    let held = fs::File::options().write(true).open(&lock).unwrap();
    held.lock().unwrap();
    let args = ["binary", "create", "--name", "x", "--abspath", tool.to_str().unwrap()];
    let waiting = context.start(&args);
    let files = format!("/proc/{}/fd", waiting.id());
    let is_lock = |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|path| path == lock);
    wait_until("rigup waits for the lock", || {
        fs::read_dir(&files).unwrap().any(|file| is_lock(file.unwrap()))
    });
    context.script("other", "#!/bin/sh\necho 2.0 and longer\n");
    fs::rename(context.path("other"), &tool).unwrap();
    drop(held);
    let output = CommandOutput::new(&args, &waiting.wait_with_output().unwrap()).exits_with(1);
    output.stderr_contains("changed while it was verified");
    assert!(!context.bin("x").is_symlink());
    assert_eq!(context.run(&["binary", "list", "--status", "installed"]).succeeds().stdout, "");
    assert_nothing_is_left(&context);
}

/// One hook finds two programs, and rigup verifies both before it creates either link.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn row_20_a_file_that_changes_before_its_link_is_made_is_rejected() {
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
    let exit = act_before(&context, &args, 1, |change| change == Change::Link, swap);
    assert_eq!(exit, TracedExit::Exited { calls: 1, code: 1 }, "only `one` is linked");
    assert!(context.bin("one").is_symlink() && !context.bin("two").is_symlink());
    let queued = context.run(&["binary", "show", "two"]).succeeds().record();
    let reason = queued["last_error"].as_str().unwrap();
    assert!(
        reason.contains("env rejected: ") && reason.contains("changed while it was verified"),
        "{reason}"
    );
    context.run(&args).succeeds();
    assert!(context.bin("two").is_symlink());
    assert_nothing_is_left(&context);
}
