//! Bad input: a clear error with path and line, and nothing half-made.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use serde_json::json;

use crate::playground::{Playground, Ran};

#[test]
fn a_line_that_cannot_be_read_is_named_and_the_other_plugins_go_on() {
    let place = Playground::new();
    place.fixture("good");
    place.plugin("a", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    let bad = place.write("here/plugins/b/binaries.jsonl", "\n{\"type\":\"Binary\",\"name\":\"../x\"}\n");
    let ran = place.run(&["install"]).exits(1);
    assert_eq!(ran.record()["status"], "installed");
    ran.says(&format!("error: {}:2: the name `../x` contains a `/`", bad.display()));
    place.run(&["install", "--dry-run"]).exits(1).says(":2: ");
    place.run(&["install"]).exits(1).says(":2: ");
}

#[test]
fn what_a_plugin_is_called_or_says_cannot_steer_the_terminal() {
    let place = Playground::new();
    place.plugin("bell\x07\u{9b}31m", &[json!({"type": "\u{9b}2J\u{7f}", "name": "x"})]);
    let ran = place.run(&["install"]).exits(1).says("cannot name a plugin");
    assert!(!ran.stderr.replace('\n', "").contains(char::is_control), "{:?}", ran.stderr);
}

#[test]
fn what_is_said_comes_whole_so_that_others_who_say_something_there_do_not_get_into_it() {
    let place = Playground::new();
    place.write("here/plugins/p/binaries.jsonl", "x\n\n{}\n");
    // What is written at once comes as one piece.
    let (pieces, stderr) = UnixDatagram::pair().unwrap();
    let mut command = place.command(&["install"]);
    command.stdout(Stdio::null()).stderr(OwnedFd::from(stderr));
    assert_eq!(command.status().unwrap().code(), Some(1));
    drop(command);
    pieces.set_nonblocking(true).unwrap();
    let mut piece = [0; 4096];
    for line in [1, 3] {
        let size = pieces.recv(&mut piece).unwrap();
        let said = std::str::from_utf8(&piece[..size]).unwrap();
        assert!(said.contains(&format!("binaries.jsonl:{line}: ")) && said.ends_with('\n'), "{said:?}");
    }
}

#[test]
fn random_bytes_are_no_requirements_and_no_panic() {
    let place = Playground::new();
    let noise: Vec<u8> = (0..100_000_u32).map(|it| it.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let bad = place.write("here/plugins/a/binaries.jsonl", noise);
    place.run(&["install"]).exits(1).says(&format!("error: {}:1: not a JSON object", bad.display()));
}

#[test]
fn a_data_dir_that_is_a_file_is_unusable() {
    let place = Playground::new();
    place.write("data", "");
    for args in [&["install"][..], &["process", "list"], &["binary", "list"], &["machine", "show"]] {
        let ran = place.run(args).exits(3);
        ran.says(&format!("the data dir {}", place.path("data").display())).says("--data-dir");
    }
}

#[test]
fn a_data_dir_that_no_record_can_hold_is_refused_before_anything_is_made() {
    let mut place = Playground::new();
    for name in [&b"d\xff"[..], b"d:x", b"a $x b"] {
        let folder = place.path("").join(std::ffi::OsStr::from_bytes(name));
        place.set("RIGUP_DATA_DIR", &folder);
        place.run(&["install", "sh"]).exits(3).says("cannot use the").says("choose another with --data-dir");
        assert!(!folder.exists());
    }
}

#[test]
fn wrong_use_exits_2() {
    let place = Playground::new();
    for args in [
        &["instal"][..],
        &["install", "--timeout", "0"],
        &["install", "--timeout", "43201"],
        &["install", "-j", "0"],
        &[],
    ] {
        place.run(args).exits(2);
    }
}

/// Runs a copy of rigup as a user who may read less than root.
pub(crate) fn run_as_nobody(place: &Playground, args: &[&str]) -> Ran {
    const NOBODY: u32 = 65534;
    let rigup = place.path("rigup");
    // By another process: what is forked while this one has the copy open for writing would keep it busy.
    assert_cmd::Command::new("cp")
        .args([env!("CARGO_BIN_EXE_rigup").as_ref(), rigup.as_os_str()])
        .assert()
        .success();
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o1777)).unwrap();
    let mut command = place.command_of(&rigup, args);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Ran::from(args, &command.output().unwrap())
}

#[test]
fn a_plugin_folder_that_may_not_be_read_is_an_error_and_the_others_go_on() {
    let place = Playground::new();
    place.plugin("a", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    place.plugin("b", &[json!({"type": "Binary", "name": "ls", "binproviders": "env"})]);
    let closed = place.path("here/plugins/a");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let ran = run_as_nobody(&place, &["install"]).exits(1);
    assert_eq!(ran.record()["name"], "ls");
    ran.says(&format!("error: {}: cannot be read", closed.display()));
    run_as_nobody(&place, &["install", "--plugins", "a"]).exits(3).says("cannot use the plugin a");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_data_dir_that_may_not_be_written_is_unusable() {
    let place = Playground::new();
    fs::create_dir(place.path("locked")).unwrap();
    fs::set_permissions(place.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    let data = place.path("locked/data");
    run_as_nobody(&place, &["--data-dir", data.to_str().unwrap(), "install", "sh"])
        .exits(3)
        .says("cannot create the folder");
}

#[test]
fn a_nul_in_a_requirement_is_named_with_its_line() {
    for (key, value) in [("min_version", "1\0"), ("binproviders", "good,\0")] {
        let place = Playground::new();
        place.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "x", key: value})]);
        place.run(&["install"]).exits(1).says(&format!("binaries.jsonl:1: \"{key}\" must be"));
    }
}

#[test]
fn the_longest_name_of_the_widest_characters_is_as_good_as_any() {
    let place = Playground::new();
    let name = "\u{1f600}".repeat(63);
    let program = place.script(&name, "#!/bin/sh\n");
    place.run(&["install", program.to_str().unwrap()]).ok();
    assert!(place.bin(&name).exists());
}

#[test]
fn a_folder_of_plugins_that_is_named_and_is_none_is_unusable() {
    let place = Playground::new();
    place.write("here/file", "");
    for dir in ["nosuch", "file"] {
        place.run(&["--plugins-dir", dir, "plugin", "list"]).exits(3).says("no such folder");
    }
}

#[test]
fn a_lowest_version_that_is_none_is_wrong_use() {
    let place = Playground::new();
    place.run(&["install", "sh", "--min-version", "abc"]).exits(2).says("is not a version; write it like");
    place.run(&["load", "sh", "--min-version", "latest"]).exits(2);
    assert!(!place.path("data").exists());
}
