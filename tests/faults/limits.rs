//! No more open files, no more processes, and programs that are still being written.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, chown};

use crate::aftermath::nothing_is_left;
use crate::playground::{Playground, Ran, wait_until};
use crate::{RECORD, kernel};

/// A place with a provider `p`, and with hooks of the event `E`, before the others and beside them, which say that they ran.
fn place() -> Playground {
    let place = Playground::new();
    let said = ": >\"$DATA_DIR/ran-$RIGUP_PROCESS_ID\"";
    place.provider("p", &format!("#!/bin/sh\n{said}\necho '{RECORD}'\n"));
    for kind in ["", ".finite.bg"] {
        place.script(&format!("here/plugins/q/on_E__1_a{kind}.sh"), &format!("#!/bin/sh\n{said}\n"));
    }
    place
}

/// What takes open files, processes and threads, and how it ends where there are enough.
const COMMANDS: [&[&str]; 6] = [
    &["install", "x", "--binproviders", "p"],
    &["install", "sh", "--binproviders", "env"],
    &["run", "E"],
    &["exec", "--", "sh", "-c", ": >\"$DATA_DIR/ran-$RIGUP_PROCESS_ID\""],
    &["start", "--slug", "s", "--", "sh", "-c", ": >\"$DATA_DIR/ran-$RIGUP_PROCESS_ID\""],
    &["hook", "binary", "--name", "sh", "--provider", "env"],
];

/// With each limit, lowest first, a command either works or says what there is too little of, and what it could not
/// start it did not start. From some limit on it works.
fn is_clear_about(
    scarce: &[&str],
    limits: std::ops::Range<u32>,
    limited: impl Fn(&Playground, u32, &[&str]) -> Ran,
) {
    for args in COMMANDS {
        let mut limits = limits.clone();
        let is_enough = limits.any(|limit| {
            let mut place = place();
            // Where it is another user who has the limit, root finishes the story as one whom he called by sudo.
            place.set("SUDO_UID", user_with(limit).to_string());
            let ran = limited(&place, limit, args);
            let context = || format!("{args:?} with {limit}: {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
            assert!(!ran.stderr.contains("panicked") && !ran.stdout.contains("panicked"), "{}", context());
            if ran.code != Some(0) {
                assert!(matches!(ran.code, Some(1 | 3 | 126)), "{}", context());
                assert!(scarce.iter().any(|it| ran.stderr.contains(it)), "{}", context());
            }
            wait_until("its waiter is gone", || place.living().is_empty());
            if place.path("data/rigup.sqlite3").exists() {
                // The next command that writes finishes the story.
                place.run(&["exec", "--", "true"]).ok();
                nothing_is_left(&place);
            }
            for process in place.processes() {
                let ran_at_all =
                    place.path(&format!("data/ran-{}", process["id"].as_str().unwrap())).exists();
                assert!(!ran_at_all || process["exit_reason"] != "spawn_failed", "{}", context());
            }
            ran.code == Some(0)
        });
        assert!(is_enough, "with enough of them, {args:?} works");
    }
}

/// A user of one command's own: all that a user runs counts.
fn user_with(limit: u32) -> u32 {
    1_000_000 + std::process::id() * 100 + limit
}

#[test]
fn row_33_with_too_few_descriptors_nothing_is_half_started() {
    let scarce = ["Too many open files", "unable to open database file"];
    is_clear_about(&scarce, 4..24, |place, limit, args| {
        let limit = format!("--nofile={limit}");
        let args = [&[limit.as_str(), env!("CARGO_BIN_EXE_rigup")], args].concat();
        Ran::from(&args, &place.command_of(Path::new("prlimit"), &args).output().unwrap())
    });
}

#[test]
fn row_33_with_too_few_processes_nothing_is_half_started() {
    if !kernel::is_root() {
        return;
    }
    let scarce = ["too many processes and threads"];
    is_clear_about(&scarce, 1..8, |place, limit, args| {
        let user = user_with(limit);
        fs::create_dir(place.path("data")).unwrap();
        for folder in ["", "here", "data"] {
            chown(&place.path(folder), Some(Uid::from_raw(user)), None).unwrap();
        }
        let (user, limit) = (format!("--reuid={user}"), format!("--nproc={limit}"));
        let user = [user.as_str(), "--clear-groups", "prlimit", &limit, env!("CARGO_BIN_EXE_rigup")];
        let args = [&user, args].concat();
        let ran = Ran::from(&args, &place.command_of(Path::new("setpriv"), &args).output().unwrap());
        wait_until("its waiter is gone", || place.living().is_empty());
        // rigup trusts no folder that is somebody else's.
        assert!(Command::new("chown").args(["-Rh", "0"]).arg(place.path("")).status().unwrap().success());
        ran
    });
}

#[test]
fn row_27_a_program_that_is_still_being_written_is_tried_again_a_bounded_time() {
    if !kernel::keeps_programs_from_writers() {
        return;
    }
    let place = place();
    let hook = place.path("here/providers/p/on_BinaryRequest__50_p.sh");
    let tool = place.script("tool", "#!/bin/sh\nexit 7\n");
    let open = |path: &Path| File::options().append(true).open(path).unwrap();

    // Written until the end: a clear failure.
    let said = "another process has it open for writing; try again once it is done";
    let writer = open(&hook);
    place.run(&["install", "x", "--binproviders", "p"]).exits(1).says(said);
    drop(writer);
    let writer = open(&tool);
    place.run(&["exec", "--", tool.to_str().unwrap()]).exits(126).says(said);
    drop(writer);
    nothing_is_left(&place);

    // Written until its start was tried: it works.
    let place = self::place();
    let writer = open(&place.path("here/providers/p/on_BinaryRequest__50_p.sh"));
    let child = place.start(&["install", "x", "--binproviders", "p"]);
    wait_until("its run dir is made", || {
        let files = walkdir::WalkDir::new(place.path("data")).into_iter().filter_map(Result::ok);
        files.into_iter().any(|it| it.file_name() == "stderr.log")
    });
    drop(writer);
    Ran::from(&["install"], &child.wait_with_output().unwrap()).ok();
    nothing_is_left(&place);
}
