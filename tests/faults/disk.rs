//! A full disk, and a file system that is mounted noexec.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::kernel::Namespaces;
use crate::test_context::{CommandOutput, TestContext};

/// Creates a context with a separate file system mounted at this path.
fn context_with(path: &str, options: &str) -> Option<(TestContext, Namespaces)> {
    let context = TestContext::new();
    context.fixture("good");
    let namespaces = Namespaces::new(&["--mount"])?;
    let path = context.path(path);
    namespaces.sh(
        &context,
        &format!("mkdir -p {0} && mount -t tmpfs -o mode=755,{options} none {0}", path.display()),
    );
    Some((context, namespaces))
}

fn check_error(output: CommandOutput, path: &Path) {
    let text = output.stderr.to_lowercase();
    assert!(text.contains("no space left") || text.contains("disk is full"), "{text}");
    output.stderr_contains(path.to_str().unwrap());
}

fn assert_nothing_is_left(context: &TestContext, namespaces: &Namespaces) {
    assert_eq!(context.live_processes(), []);
    let processes = namespaces.run(context, &["process", "list"]).succeeds().records();
    assert!(processes.iter().all(|process| process["status"] == "exited"), "{processes:?}");
    let incomplete = namespaces
        .sh(context, "find \"$RIGUP_DATA_DIR\" -name '.new*' -o -name '.rigup-new' -o -name '*.new*'");
    assert_eq!(incomplete.stdout, "");
}

const INSTALL: &[&str] = &["install", "one", "--binproviders", "good"];

#[test]
fn row_18_a_lib_bin_dir_that_cannot_be_written_is_the_cause() {
    let Some((mut context, namespaces)) = context_with("ro/bin", "ro") else { return };
    context.set("LIB_BIN_DIR", context.path("ro/bin"));
    let output = namespaces.run(&context, INSTALL).exits_with(1);
    let cause = format!(
        "{} is on a read-only file system; choose another LIB_BIN_DIR",
        context.path("ro/bin").display()
    );
    output.stderr_contains(&cause);
}

#[test]
fn row_25_a_disk_too_small_for_the_store_is_reported() {
    let Some((context, namespaces)) = context_with("data", "size=64k") else { return };
    check_error(namespaces.run(&context, INSTALL).exits_with(3), &context.path("data"));
    namespaces.sh(&context, "mount -o remount,size=16m \"$RIGUP_DATA_DIR\"");
    let findings = namespaces.run(&context, &["doctor"]).succeeds().records();
    let space = findings.iter().find(|finding| finding["check"] == "space").unwrap();
    assert!(space["message"].as_str().unwrap().ends_with(" MiB left"), "{space}");
    namespaces.run(&context, INSTALL).succeeds();
    assert_nothing_is_left(&context, &namespaces);
}

#[test]
fn row_25_a_disk_that_fills_up_during_an_install_loses_no_finished_work() {
    let Some((context, namespaces)) = context_with("data", "size=2m") else { return };
    context.provider(
        "last",
        "#!/bin/sh\n[ -e \"$HOME\" ] || cat /dev/zero >\"$DATA_DIR/filler\" 2>/dev/null\n\
        echo '{\"type\":\"Binary\",\"name\":\"two\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}'\n",
    );
    let request =
        |name: &str, provider: &str| json!({"type": "Binary", "name": name, "binproviders": provider});
    context.plugin("p", &[request("one", "good"), request("three", "good"), request("two", "last")]);
    let output = namespaces.run(&context, &["install", "-j", "1"]).exits_with(3);
    let statuses = |output: &CommandOutput| -> Vec<String> {
        output.records().iter().map(|record| format!("{} {}", record["name"], record["status"])).collect()
    };
    assert_eq!(statuses(&output), [r#""one" "installed""#, r#""three" "installed""#, r#""two" "queued""#]);
    check_error(output, &context.path("data/rigup.sqlite3"));
    let store = namespaces.run(&context, &["binary", "list", "--status", "installed"]).succeeds();
    assert_eq!(store.records().len(), 2, "the finished installs are recorded");

    // Without space, rigup cannot even record its own command.
    check_error(namespaces.run(&context, &["install"]).exits_with(3), &context.path("data/rigup.sqlite3"));
    namespaces.sh(&context, "rm \"$RIGUP_DATA_DIR/filler\" && mkdir \"$HOME\"");
    let output = namespaces.run(&context, &["install"]).succeeds();
    assert_eq!(statuses(&output), [r#""one" "installed""#, r#""three" "installed""#, r#""two" "installed""#]);
    assert_nothing_is_left(&context, &namespaces);
}

#[test]
fn row_25_an_install_without_space_for_the_store_keeps_earlier_links() {
    let Some((context, namespaces)) = context_with("data", "size=2m") else { return };
    context.plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    // Create the files of the store before the disk is full.
    namespaces.run(&context, &["install"]).succeeds();
    namespaces.sh(&context, "cat /dev/zero >\"$RIGUP_DATA_DIR/filler\" 2>/dev/null || :");
    let output = namespaces.run(&context, &["install", "--force"]).exits_with(3);
    check_error(output, &context.path("data"));
    assert!(namespaces.path(&context.bin("one")).exists(), "the old link works");
    namespaces.sh(&context, "rm \"$RIGUP_DATA_DIR/filler\"");
    namespaces.run(&context, &["install", "--force"]).succeeds();
    assert_nothing_is_left(&context, &namespaces);
}

#[test]
fn row_25_a_full_disk_for_the_run_dirs_is_reported() {
    let Some((context, namespaces)) = context_with("data/processes", "size=64k") else { return };
    namespaces.sh(&context, "cat /dev/zero >\"$RIGUP_DATA_DIR/processes/filler\" 2>/dev/null || :");
    check_error(namespaces.run(&context, INSTALL).exits_with(3), &context.path("data/processes"));
    assert!(!context.bin("one").is_symlink());
    namespaces.sh(&context, "rm \"$RIGUP_DATA_DIR/processes/filler\"");
    namespaces.run(&context, INSTALL).succeeds();
    assert_nothing_is_left(&context, &namespaces);
}

#[test]
fn row_25_a_hook_without_space_in_lib_dir_fails_and_links_stay() {
    let Some((mut context, namespaces)) = context_with("lib", "size=64k") else { return };
    context.set("LIB_DIR", context.path("lib"));
    namespaces.run(&context, INSTALL).succeeds();
    namespaces.sh(&context, "cat /dev/zero >\"$LIB_DIR/filler\" 2>/dev/null || :");
    let force_install = [INSTALL, &["--force"]].concat();
    let record = namespaces.run(&context, &force_install).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "failed", "{record}");
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    let expected = format!("; no space left in {}", context.path("lib").display());
    assert!(reason.ends_with(&expected), "{reason}");
    assert_eq!(namespaces.sh(&context, "\"$LIB_DIR/bin/one\"").stdout, "one 2.0.1\n", "the old link works");
    namespaces.sh(&context, "rm \"$LIB_DIR/filler\"");
    namespaces.run(&context, &force_install).succeeds();
    assert_nothing_is_left(&context, &namespaces);
}

#[test]
fn row_25_a_full_temporary_folder_loses_no_version() {
    let Some((mut context, namespaces)) = context_with("tmp", "size=64k") else { return };
    context.set("TMPDIR", context.path("tmp"));
    namespaces.sh(&context, "cat /dev/zero >\"$TMPDIR/filler\" 2>/dev/null || :");
    let tool = context.script("tool", "#!/bin/sh\necho tool 1.2\n");
    let record = namespaces.run(&context, &["install", tool.to_str().unwrap()]).succeeds().record();
    assert_eq!(record["version"], "1.2");
    let writer =
        context.script("writer", "#!/bin/sh\nset -e\necho x >\"$TMPDIR/x\" 2>/dev/null\necho writer 3.4\n");
    let install = ["install", writer.to_str().unwrap()];
    let record = namespaces.run(&context, &install).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "failed", "{record}");
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    assert!(reason.ends_with(&format!("no space left in {}", context.path("tmp").display())), "{reason}");
    namespaces.sh(&context, "rm \"$TMPDIR/filler\"");
    assert_eq!(namespaces.run(&context, &install).succeeds().record()["version"], "3.4");
    assert_nothing_is_left(&context, &namespaces);
}

#[test]
fn row_25_a_program_that_cannot_be_probed_without_space_is_not_installed() {
    let Some((mut context, namespaces)) = context_with("tmp", "nr_inodes=20") else { return };
    context.set("TMPDIR", context.path("tmp"));
    namespaces.sh(&context, "i=0; while true >\"$TMPDIR/$i\"; do i=$((i + 1)); done 2>/dev/null || :");
    let tool = context.script("tool", "#!/bin/sh\necho tool 1.2\n");
    let record = format!(r#"{{"type":"Binary","name":"tool","abspath":"{}"}}"#, tool.display());
    context.provider("p", &format!("#!/bin/sh\necho '{record}'\n"));
    for name in [tool.to_str().unwrap(), "tool"] {
        let install = ["install", name, "--binproviders", "env,p"];
        let record = namespaces.run(&context, &install).exits_with(1).record();
        let attempts = record["attempts"].as_array().unwrap();
        let failed = attempts.iter().find(|attempt| attempt["outcome"] == "failed").expect("one failed");
        let reason = failed["reason"].as_str().unwrap();
        assert!(reason.contains("cannot probe") && reason.contains("No space left"), "{reason}");
    }
    namespaces.sh(&context, "rm \"$TMPDIR\"/*");
    assert_nothing_is_left(&context, &namespaces);
}

#[test]
fn row_25_a_link_without_space_is_reported_and_the_old_link_stays() {
    let Some((mut context, namespaces)) = context_with("bin", "nr_inodes=7") else { return };
    context.set("LIB_BIN_DIR", context.path("bin"));
    namespaces.run(&context, INSTALL).succeeds();
    let link = namespaces.path(&context.path("bin/one"));
    let old = fs::read_link(&link).unwrap();
    namespaces.sh(&context, ": >../bin/filler; : >../bin/the-last-inode");

    context.set("RIGUP_DATA_DIR", context.path("other"));
    let force_install = [INSTALL, &["--force"]].concat();
    let output = namespaces.run(&context, &force_install).exits_with(1).stderr_contains("cannot link ");
    check_error(output, &context.path("bin"));
    assert_eq!(fs::read_link(&link).unwrap(), old);
    namespaces.sh(&context, "rm ../bin/filler ../bin/the-last-inode");
    namespaces.run(&context, &force_install).succeeds();
    assert_ne!(fs::read_link(&link).unwrap(), old);
    assert_eq!(namespaces.sh(&context, "ls -A ../bin").stdout, ".rigup-links\none\n");
    assert_nothing_is_left(&context, &namespaces);
}

#[test]
fn row_37_a_prefix_that_comes_from_a_container_image_is_replaced() {
    let context = TestContext::new();
    let Some(namespaces) = Namespaces::new(&["--mount"]) else { return };
    context.provider("p", crate::BUILDING);
    let install = ["install", "x", "--binproviders", "p", "--force"];
    namespaces.run(&context, &install).succeeds();
    let layer = "mkdir ../layer && mount -t tmpfs none ../layer && mkdir ../layer/upper ../layer/work && mount -t \
        overlay none \"$RIGUP_DATA_DIR\" -o \"lowerdir=$RIGUP_DATA_DIR,upperdir=$PWD/../layer/upper,workdir=$PWD/../layer/work\"";
    namespaces.sh(&context, layer);
    namespaces.run(&context, &install).succeeds();
    let bin = context.bin("x");
    assert_eq!(namespaces.sh(&context, bin.to_str().unwrap()).stdout, "1.0\n");
}

#[test]
fn row_28_a_hook_on_a_noexec_file_system_fails_with_that_reason() {
    let Some((context, namespaces)) = context_with("here/providers/noexec", "noexec") else { return };
    namespaces.sh(&context, "cp providers/good/*good.sh providers/noexec/on_BinaryRequest__50_noexec.sh");
    let record =
        namespaces.run(&context, &["install", "one", "--binproviders", "noexec"]).exits_with(1).record();
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("mounted noexec") && !reason.contains("denied"), "{reason}");
    assert_nothing_is_left(&context, &namespaces);
}

#[test]
fn row_28_a_binary_on_a_noexec_file_system_is_rejected_with_that_reason() {
    let Some((context, namespaces)) = context_with("lib", "noexec") else { return };
    let mut context = context;
    context.set("LIB_DIR", context.path("lib"));
    let reason = |provider: &str| {
        let record =
            namespaces.run(&context, &["install", "one", "--binproviders", provider]).exits_with(1).record();
        record["attempts"][0]["reason"].as_str().unwrap().to_owned()
    };
    let from_hook_binary = reason("good");
    assert!(from_hook_binary.contains("mounted noexec"), "{from_hook_binary}");
    context.provider(
        "lib",
        "#!/bin/sh\ncp /bin/true \"$LIB_DIR/one\"\n\
        printf '{\"type\":\"Binary\",\"name\":\"one\",\"abspath\":\"%s/one\",\"version\":\"1\"}\\n' \"$LIB_DIR\"\n",
    );
    let from_own_record = reason("lib");
    assert!(from_own_record.contains("mounted noexec"), "{from_own_record}");
    let findings = namespaces.run(&context, &["doctor"]).exits_with(1).records();
    assert_eq!((&findings[0]["level"], &findings[0]["check"]), (&json!("fault"), &json!("lib_dir")));
    assert!(findings[0]["message"].as_str().unwrap().contains("mounted noexec"), "{findings:?}");
    assert!(!fs::exists(context.path("lib/bin/one")).unwrap());
    assert_nothing_is_left(&context, &namespaces);
}
