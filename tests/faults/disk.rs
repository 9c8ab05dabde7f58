//! A disk that is full, and one from which nothing may be executed.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::kernel::Namespaces;
use crate::test_context::{CommandOutput, TestContext};

/// A place with a file system of its own at this path.
fn context_with(path: &str, options: &str) -> Option<(TestContext, Namespaces)> {
    let context = TestContext::new();
    context.fixture("good");
    let inside = Namespaces::new(&["--mount"])?;
    let path = context.path(path);
    inside.sh(
        &context,
        &format!("mkdir -p {0} && mount -t tmpfs -o mode=755,{options} none {0}", path.display()),
    );
    Some((context, inside))
}

fn says_where_and_why(output: CommandOutput, path: &Path) {
    let text = output.stderr.to_lowercase();
    assert!(text.contains("no space left") || text.contains("disk is full"), "{text}");
    output.stderr_contains(path.to_str().unwrap());
}

fn nothing_is_left(context: &TestContext, inside: &Namespaces) {
    assert_eq!(context.live_processes(), []);
    let processes = inside.run(context, &["process", "list"]).succeeds().records();
    assert!(processes.iter().all(|it| it["status"] == "exited"), "{processes:?}");
    let aside =
        inside.sh(context, "find \"$RIGUP_DATA_DIR\" -name '.new*' -o -name '.rigup*' -o -name '*.new*'");
    assert_eq!(aside.stdout, "");
}

const INSTALL: &[&str] = &["install", "one", "--binproviders", "good"];

#[test]
fn row_25_a_disk_too_small_for_the_store_is_named_and_once_there_is_room_all_works() {
    let Some((context, inside)) = context_with("data", "size=64k") else { return };
    says_where_and_why(inside.run(&context, INSTALL).exits_with(3), &context.path("data"));
    inside.sh(&context, "mount -o remount,size=16m \"$RIGUP_DATA_DIR\"");
    inside.run(&context, INSTALL).succeeds();
    nothing_is_left(&context, &inside);
}

#[test]
fn row_25_a_disk_that_fills_up_in_the_middle_loses_no_report_and_no_record_of_what_was_done_before() {
    let Some((context, inside)) = context_with("data", "size=2m") else { return };
    context.provider(
        "last",
        "#!/bin/sh\n[ -e \"$HOME\" ] || cat /dev/zero >\"$DATA_DIR/filling\" 2>/dev/null\n\
        echo '{\"type\":\"Binary\",\"name\":\"two\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}'\n",
    );
    let request =
        |name: &str, provider: &str| json!({"type": "Binary", "name": name, "binproviders": provider});
    context.plugin("p", &[request("one", "good"), request("three", "good"), request("two", "last")]);
    let output = inside.run(&context, &["install", "-j", "1"]).exits_with(3);
    let said = |output: &CommandOutput| -> Vec<String> {
        output.records().iter().map(|it| format!("{} {}", it["name"], it["status"])).collect()
    };
    assert_eq!(said(&output), [r#""one" "installed""#, r#""three" "installed""#, r#""two" "queued""#]);
    says_where_and_why(output, &context.path("data/rigup.sqlite3"));
    let store = inside.run(&context, &["binary", "list", "--status", "installed"]).succeeds();
    assert_eq!(store.records().len(), 2, "what was done before is recorded");

    // Not even the beginning of a run can be recorded.
    says_where_and_why(inside.run(&context, &["install"]).exits_with(3), &context.path("data/rigup.sqlite3"));
    inside.sh(&context, "rm \"$RIGUP_DATA_DIR/filling\" && mkdir \"$HOME\"");
    let output = inside.run(&context, &["install"]).succeeds();
    assert_eq!(said(&output), [r#""one" "installed""#, r#""three" "installed""#, r#""two" "installed""#]);
    nothing_is_left(&context, &inside);
}

#[test]
fn row_25_a_store_without_room_is_named_and_what_was_linked_before_stays() {
    let Some((context, inside)) = context_with("data", "size=2m") else { return };
    context.plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    // The store has what it writes to by now.
    inside.run(&context, &["install"]).succeeds();
    inside.sh(&context, "cat /dev/zero >\"$RIGUP_DATA_DIR/filling\" 2>/dev/null || :");
    let output = inside.run(&context, &["install", "--force"]).exits_with(3);
    says_where_and_why(output, &context.path("data"));
    let link = inside.path(&context.bin("one"));
    assert!(inside.path(&fs::read_link(link).unwrap()).exists(), "the old link is whole");
    inside.sh(&context, "rm \"$RIGUP_DATA_DIR/filling\"");
    inside.run(&context, &["install", "--force"]).succeeds();
    nothing_is_left(&context, &inside);
}

#[test]
fn row_25_logs_without_room_are_named_by_their_path() {
    let Some((context, inside)) = context_with("data/processes", "size=64k") else { return };
    inside.sh(&context, "cat /dev/zero >\"$RIGUP_DATA_DIR/processes/filling\" 2>/dev/null || :");
    says_where_and_why(inside.run(&context, INSTALL).exits_with(3), &context.path("data/processes"));
    assert!(!context.bin("one").is_symlink());
    inside.sh(&context, "rm \"$RIGUP_DATA_DIR/processes/filling\"");
    inside.run(&context, INSTALL).succeeds();
    nothing_is_left(&context, &inside);
}

#[test]
fn row_25_a_hook_that_finds_no_room_in_lib_dir_fails_and_what_was_linked_before_stays() {
    let Some((mut context, inside)) = context_with("lib", "size=64k") else { return };
    context.set("LIB_DIR", context.path("lib"));
    inside.run(&context, INSTALL).succeeds();
    inside.sh(&context, "cat /dev/zero >\"$LIB_DIR/filling\" 2>/dev/null || :");
    let again = [INSTALL, &["--force"]].concat();
    let record = inside.run(&context, &again).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "failed", "{record}");
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    let said = format!("; no space left in {}", context.path("lib").display());
    assert!(reason.ends_with(&said), "{reason}");
    assert_eq!(
        inside.sh(&context, "\"$LIB_DIR/bin/one\"").stdout,
        "one 2.0.1\n",
        "the link of before leads to what was there"
    );
    inside.sh(&context, "rm \"$LIB_DIR/filling\"");
    inside.run(&context, &again).succeeds();
    nothing_is_left(&context, &inside);
}

#[test]
fn row_25_a_link_that_finds_no_room_is_a_warning_with_its_path_and_the_old_link_stays() {
    let Some((mut context, inside)) = context_with("bin", "nr_inodes=3") else { return };
    context.set("LIB_BIN_DIR", context.path("bin"));
    inside.run(&context, INSTALL).succeeds();
    let link = inside.path(&context.path("bin/one"));
    let old = fs::read_link(&link).unwrap();
    inside.sh(&context, ": >../bin/the-last-inode");

    context.set("RIGUP_DATA_DIR", context.path("other"));
    let again = [INSTALL, &["--force"]].concat();
    let output = inside.run(&context, &again).succeeds().stderr_contains("warning: one: cannot link ");
    says_where_and_why(output, &context.path("bin"));
    assert_eq!(fs::read_link(&link).unwrap(), old);
    inside.sh(&context, "rm ../bin/the-last-inode");
    inside.run(&context, &again).succeeds();
    assert_ne!(fs::read_link(&link).unwrap(), old);
    assert_eq!(inside.sh(&context, "ls -A ../bin").stdout, "one\n");
    nothing_is_left(&context, &inside);
}

#[test]
fn row_28_a_hook_on_a_noexec_file_system_is_told_so() {
    let Some((context, inside)) = context_with("here/providers/there", "noexec") else { return };
    inside.sh(&context, "cp providers/good/*good.sh providers/there/on_BinaryRequest__50_there.sh");
    let record = inside.run(&context, &["install", "one", "--binproviders", "there"]).exits_with(1).record();
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("mounted noexec") && !reason.contains("denied"), "{reason}");
    nothing_is_left(&context, &inside);
}

#[test]
fn row_28_a_binary_on_a_noexec_file_system_is_rejected_with_that_reason() {
    let Some((context, inside)) = context_with("lib", "noexec") else { return };
    let mut context = context;
    context.set("LIB_DIR", context.path("lib"));
    let reason = |provider: &str| {
        let record =
            inside.run(&context, &["install", "one", "--binproviders", provider]).exits_with(1).record();
        record["attempts"][0]["reason"].as_str().unwrap().to_owned()
    };
    let by_rigup = reason("good");
    assert!(by_rigup.contains("mounted noexec"), "{by_rigup}");
    context.provider(
        "lib",
        "#!/bin/sh\ncp /bin/true \"$LIB_DIR/one\"\n\
        printf '{\"type\":\"Binary\",\"name\":\"one\",\"abspath\":\"%s/one\",\"version\":\"1\"}\\n' \"$LIB_DIR\"\n",
    );
    let by_itself = reason("lib");
    assert!(by_itself.contains("mounted noexec"), "{by_itself}");
    assert!(!fs::exists(context.path("lib/bin/one")).unwrap());
    nothing_is_left(&context, &inside);
}
