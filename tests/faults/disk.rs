//! A disk that is full, and one from which nothing may be executed.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::kernel::Namespaces;
use crate::playground::{Playground, Ran};

/// A place with a file system of its own at this path.
fn place_with(path: &str, options: &str) -> Option<(Playground, Namespaces)> {
    let place = Playground::new();
    place.fixture("good");
    let inside = Namespaces::new(&["--mount"])?;
    let path = place.path(path);
    inside.sh(
        &place,
        &format!("mkdir -p {0} && mount -t tmpfs -o mode=755,{options} none {0}", path.display()),
    );
    Some((place, inside))
}

fn says_where_and_why(ran: Ran, path: &Path) {
    let text = ran.stderr.to_lowercase();
    assert!(text.contains("no space left") || text.contains("disk is full"), "{text}");
    ran.says(path.to_str().unwrap());
}

fn nothing_is_left(place: &Playground, inside: &Namespaces) {
    assert_eq!(place.living(), []);
    let processes = inside.run(place, &["process", "list"]).ok().records();
    assert!(processes.iter().all(|it| it["status"] == "exited"), "{processes:?}");
    let aside =
        inside.sh(place, "find \"$RIGUP_DATA_DIR\" -name '.new*' -o -name '.rigup*' -o -name '*.new*'");
    assert_eq!(aside.stdout, "");
}

const INSTALL: &[&str] = &["install", "one", "--binproviders", "good"];

#[test]
fn row_25_a_disk_too_small_for_the_store_is_named_and_once_there_is_room_all_works() {
    let Some((place, inside)) = place_with("data", "size=64k") else { return };
    says_where_and_why(inside.run(&place, INSTALL).exits(3), &place.path("data"));
    inside.sh(&place, "mount -o remount,size=16m \"$RIGUP_DATA_DIR\"");
    inside.run(&place, INSTALL).ok();
    nothing_is_left(&place, &inside);
}

#[test]
fn row_25_a_disk_that_fills_up_in_the_middle_loses_no_report_and_no_record_of_what_was_done_before() {
    let Some((place, inside)) = place_with("data", "size=2m") else { return };
    place.provider(
        "last",
        "#!/bin/sh\n[ -e \"$HOME\" ] || cat /dev/zero >\"$DATA_DIR/filling\" 2>/dev/null\n\
        echo '{\"type\":\"Binary\",\"name\":\"two\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}'\n",
    );
    let request =
        |name: &str, provider: &str| json!({"type": "Binary", "name": name, "binproviders": provider});
    place.plugin("p", &[request("one", "good"), request("three", "good"), request("two", "last")]);
    let ran = inside.run(&place, &["install", "-j", "1"]).exits(3);
    let said = |ran: &Ran| -> Vec<String> {
        ran.records().iter().map(|it| format!("{} {}", it["name"], it["status"])).collect()
    };
    assert_eq!(said(&ran), [r#""one" "installed""#, r#""three" "installed""#, r#""two" "queued""#]);
    says_where_and_why(ran, &place.path("data/rigup.sqlite3"));
    let store = inside.run(&place, &["binary", "list", "--status", "installed"]).ok();
    assert_eq!(store.records().len(), 2, "what was done before is recorded");

    // Not even the beginning of a run can be recorded.
    says_where_and_why(inside.run(&place, &["install"]).exits(3), &place.path("data/rigup.sqlite3"));
    inside.sh(&place, "rm \"$RIGUP_DATA_DIR/filling\" && mkdir \"$HOME\"");
    let ran = inside.run(&place, &["install"]).ok();
    assert_eq!(said(&ran), [r#""one" "installed""#, r#""three" "installed""#, r#""two" "installed""#]);
    nothing_is_left(&place, &inside);
}

#[test]
fn row_25_a_store_without_room_is_named_and_what_was_linked_before_stays() {
    let Some((place, inside)) = place_with("data", "size=2m") else { return };
    place.plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    // The store has what it writes to by now.
    inside.run(&place, &["install"]).ok();
    inside.sh(&place, "cat /dev/zero >\"$RIGUP_DATA_DIR/filling\" 2>/dev/null || :");
    let ran = inside.run(&place, &["install", "--force"]).exits(3);
    says_where_and_why(ran, &place.path("data"));
    let link = inside.path(&place.bin("one"));
    assert!(inside.path(&fs::read_link(link).unwrap()).exists(), "the old link is whole");
    inside.sh(&place, "rm \"$RIGUP_DATA_DIR/filling\"");
    inside.run(&place, &["install", "--force"]).ok();
    nothing_is_left(&place, &inside);
}

#[test]
fn row_25_logs_without_room_are_named_by_their_path() {
    let Some((place, inside)) = place_with("data/machines", "size=64k") else { return };
    inside.sh(&place, "cat /dev/zero >\"$RIGUP_DATA_DIR/machines/filling\" 2>/dev/null || :");
    says_where_and_why(inside.run(&place, INSTALL).exits(3), &place.path("data/machines"));
    assert!(!place.bin("one").is_symlink());
    inside.sh(&place, "rm \"$RIGUP_DATA_DIR/machines/filling\"");
    inside.run(&place, INSTALL).ok();
    nothing_is_left(&place, &inside);
}

#[test]
fn row_25_a_hook_that_finds_no_room_in_lib_dir_fails_and_what_was_linked_before_stays() {
    let Some((mut place, inside)) = place_with("lib", "size=64k") else { return };
    place.set("LIB_DIR", place.path("lib"));
    inside.run(&place, INSTALL).ok();
    inside.sh(&place, "cat /dev/zero >\"$LIB_DIR/filling\" 2>/dev/null || :");
    let again = [INSTALL, &["--force"]].concat();
    let record = inside.run(&place, &again).exits(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "failed", "{record}");
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    let said = format!("; no space is left in {}", place.path("lib").display());
    assert!(reason.ends_with(&said), "{reason}");
    assert_eq!(
        inside.sh(&place, "\"$LIB_DIR/bin/one\"").stdout,
        "one 2.0.1\n",
        "the link of before leads to what was there"
    );
    inside.sh(&place, "rm \"$LIB_DIR/filling\"");
    inside.run(&place, &again).ok();
    nothing_is_left(&place, &inside);
}

#[test]
fn row_25_a_link_that_finds_no_room_is_a_warning_with_its_path_and_the_old_link_stays() {
    let Some((mut place, inside)) = place_with("bin", "nr_inodes=3") else { return };
    place.set("LIB_BIN_DIR", place.path("bin"));
    inside.run(&place, INSTALL).ok();
    let link = inside.path(&place.path("bin/one"));
    let old = fs::read_link(&link).unwrap();
    inside.sh(&place, ": >../bin/the-last-inode");

    place.set("RIGUP_DATA_DIR", place.path("other"));
    let again = [INSTALL, &["--force"]].concat();
    let ran = inside.run(&place, &again).ok().says("warning: one: the link");
    says_where_and_why(ran, &place.path("bin"));
    assert_eq!(fs::read_link(&link).unwrap(), old);
    inside.sh(&place, "rm ../bin/the-last-inode");
    inside.run(&place, &again).ok();
    assert_ne!(fs::read_link(&link).unwrap(), old);
    assert_eq!(inside.sh(&place, "ls -A ../bin").stdout, "one\n");
    nothing_is_left(&place, &inside);
}

#[test]
fn row_28_a_hook_on_a_noexec_file_system_is_told_so() {
    let Some((place, inside)) = place_with("here/providers/there", "noexec") else { return };
    inside.sh(&place, "cp providers/good/*good.sh providers/there/on_BinaryRequest__50_there.sh");
    let record = inside.run(&place, &["install", "one", "--binproviders", "there"]).exits(1).record();
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("mounted noexec") && !reason.contains("denied"), "{reason}");
    nothing_is_left(&place, &inside);
}

#[test]
fn row_28_a_binary_on_a_noexec_file_system_is_rejected_with_that_reason() {
    let Some((place, inside)) = place_with("lib", "noexec") else { return };
    let mut place = place;
    place.set("LIB_DIR", place.path("lib"));
    let reason = |provider: &str| {
        let record = inside.run(&place, &["install", "one", "--binproviders", provider]).exits(1).record();
        record["attempts"][0]["reason"].as_str().unwrap().to_owned()
    };
    let by_rigup = reason("good");
    assert!(by_rigup.contains("mounted noexec"), "{by_rigup}");
    place.provider(
        "lib",
        "#!/bin/sh\ncp /bin/true \"$LIB_DIR/one\"\n\
        printf '{\"type\":\"Binary\",\"name\":\"one\",\"abspath\":\"%s/one\",\"version\":\"1\"}\\n' \"$LIB_DIR\"\n",
    );
    let by_itself = reason("lib");
    assert!(by_itself.contains("mounted noexec"), "{by_itself}");
    assert!(!fs::exists(place.path("lib/bin/one")).unwrap());
    nothing_is_left(&place, &inside);
}
