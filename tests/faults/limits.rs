//! No more open files, no more processes, and programs that are still being written.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, chown};

use crate::aftermath::nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, wait_until};
use crate::{RECORD, kernel};

/// A place with a provider `p`, and with hooks of the event `E`, before the others and beside them, which say that they ran.
fn context() -> TestContext {
    let context = TestContext::new();
    let said = ": >\"$DATA_DIR/ran-$RIGUP_PROCESS_ID\"";
    context.provider("p", &format!("#!/bin/sh\n{said}\necho '{RECORD}'\n"));
    for kind in ["", ".finite.bg"] {
        context.script(&format!("here/plugins/q/on_E__1_a{kind}.sh"), &format!("#!/bin/sh\n{said}\n"));
    }
    context
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
    limited: impl Fn(&TestContext, u32, &[&str]) -> CommandOutput,
) {
    for args in COMMANDS {
        let mut limits = limits.clone();
        let is_enough = limits.any(|limit| {
            let mut context = context();
            // Where it is another user who has the limit, root finishes the story as one whom he called by sudo.
            context.set("SUDO_UID", user_with(limit).to_string());
            let output = limited(&context, limit, args);
            let details =
                || format!("{args:?} with {limit}: {:?}\n{}{}", output.code, output.stdout, output.stderr);
            assert!(
                !output.stderr.contains("panicked") && !output.stdout.contains("panicked"),
                "{}",
                details()
            );
            if output.code != Some(0) {
                assert!(matches!(output.code, Some(1 | 3 | 126)), "{}", details());
                assert!(scarce.iter().any(|it| output.stderr.contains(it)), "{}", details());
            }
            wait_until("its waiter is gone", || context.live_processes().is_empty());
            if context.path("data/rigup.sqlite3").exists() {
                // The next command that writes finishes the story.
                context.run(&["exec", "--", "true"]).succeeds();
                nothing_is_left(&context);
            }
            for process in context.processes() {
                let ran_at_all =
                    context.path(&format!("data/ran-{}", process["id"].as_str().unwrap())).exists();
                assert!(!ran_at_all || process["exit_reason"] != "spawn_failed", "{}", details());
            }
            output.code == Some(0)
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
    is_clear_about(&scarce, 4..24, |context, limit, args| {
        let limit = format!("--nofile={limit}");
        let args = [&[limit.as_str(), env!("CARGO_BIN_EXE_rigup")], args].concat();
        CommandOutput::new(&args, &context.command_for(Path::new("prlimit"), &args).output().unwrap())
    });
}

#[test]
fn row_33_with_too_few_processes_nothing_is_half_started() {
    if !kernel::is_root() {
        return;
    }
    let scarce = ["too many processes and threads"];
    is_clear_about(&scarce, 1..8, |context, limit, args| {
        let user = user_with(limit);
        fs::create_dir(context.path("data")).unwrap();
        for folder in ["", "here", "data"] {
            chown(&context.path(folder), Some(Uid::from_raw(user)), None).unwrap();
        }
        let (user, limit) = (format!("--reuid={user}"), format!("--nproc={limit}"));
        let user = [user.as_str(), "--clear-groups", "prlimit", &limit, env!("CARGO_BIN_EXE_rigup")];
        let args = [&user, args].concat();
        let result =
            CommandOutput::new(&args, &context.command_for(Path::new("setpriv"), &args).output().unwrap());
        wait_until("its waiter is gone", || context.live_processes().is_empty());
        // rigup trusts no folder that is somebody else's.
        assert!(Command::new("chown").args(["-Rh", "0"]).arg(context.path("")).status().unwrap().success());
        result
    });
}

#[test]
fn row_27_a_program_that_is_still_being_written_is_tried_again_a_bounded_time() {
    if !kernel::keeps_programs_from_writers() {
        return;
    }
    let context = context();
    let hook = context.path("here/providers/p/on_BinaryRequest__50_p.sh");
    let tool = context.script("tool", "#!/bin/sh\nexit 7\n");
    let open = |path: &Path| File::options().append(true).open(path).unwrap();

    // Written until the end: a clear failure.
    let said = "another process has it open for writing; try again later";
    let writer = open(&hook);
    context.run(&["install", "x", "--binproviders", "p"]).exits_with(1).stderr_contains(said);
    drop(writer);
    let writer = open(&tool);
    context.run(&["exec", "--", tool.to_str().unwrap()]).exits_with(126).stderr_contains(said);
    drop(writer);
    nothing_is_left(&context);

    // Written until its start was tried: it works.
    let context = self::context();
    let writer = open(&context.path("here/providers/p/on_BinaryRequest__50_p.sh"));
    let child = context.start(&["install", "x", "--binproviders", "p"]);
    wait_until("its run dir is made", || {
        let files = walkdir::WalkDir::new(context.path("data")).into_iter().filter_map(Result::ok);
        files.into_iter().any(|it| it.file_name() == "stderr.log")
    });
    drop(writer);
    CommandOutput::new(&["install"], &child.wait_with_output().unwrap()).succeeds();
    nothing_is_left(&context);
}
