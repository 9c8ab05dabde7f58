//! Too few descriptors or processes, programs that are still open for writing, and hooks that use too much memory.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, chown};
use serde_json::json;

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, wait_until};
use crate::{RECORD, kernel};

/// Creates a context with a provider `p`, and a foreground and a background hook for the event `E`. Each of them
/// creates a file when it runs.
fn context() -> TestContext {
    let context = TestContext::new();
    let mark = ": >\"$DATA_DIR/ran-$RIGUP_PROCESS_ID\"";
    context.provider("p", &format!("#!/bin/sh\n{mark}\necho '{RECORD}'\n"));
    for kind in ["", ".finite.bg"] {
        context.script(&format!("here/plugins/q/on_E__1_a{kind}.sh"), &format!("#!/bin/sh\n{mark}\n"));
    }
    context
}

/// Commands that need descriptors, processes and threads.
const COMMANDS: [&[&str]; 6] = [
    &["install", "x", "--binproviders", "p"],
    &["install", "sh", "--binproviders", "env"],
    &["run", "E"],
    &["exec", "--", "sh", "-c", ": >\"$RIGUP_DATA_DIR/ran-$RIGUP_PROCESS_ID\""],
    &["start", "--slug", "s", "--", "sh", "-c", ": >\"$RIGUP_DATA_DIR/ran-$RIGUP_PROCESS_ID\""],
    &["hook", "binary", "--name", "sh", "--provider", "env"],
];

/// Runs each command with each limit, lowest first, until it succeeds. Asserts that each failure contains one of these
/// messages, and that no process that is recorded as not started has run.
fn check_limits(
    messages: &[&str],
    limits: std::ops::Range<u32>,
    run_limited: impl Fn(&TestContext, u32, &[&str]) -> CommandOutput,
) {
    for args in COMMANDS {
        let mut limits = limits.clone();
        let is_enough = limits.any(|limit| {
            let mut context = context();
            // The limit may apply to another user, whose records root later repairs, as with sudo.
            context.set("SUDO_UID", user_with(limit).to_string());
            let output = run_limited(&context, limit, args);
            let details =
                || format!("{args:?} with {limit}: {:?}\n{}{}", output.code, output.stdout, output.stderr);
            assert!(
                !output.stderr.contains("panicked") && !output.stdout.contains("panicked"),
                "{}",
                details()
            );
            if output.code != Some(0) {
                assert!(matches!(output.code, Some(1 | 3 | 126)), "{}", details());
                assert!(messages.iter().any(|message| output.stderr.contains(message)), "{}", details());
            }
            wait_until("the waiter has exited", || context.live_processes().is_empty());
            if context.path("data/rigup.sqlite3").exists() {
                // The next command that writes to the store completes the records.
                context.run(&["exec", "--", "true"]).succeeds();
                assert_nothing_is_left(&context);
            }
            for process in context.processes() {
                let has_run = context.path(&format!("data/ran-{}", process["id"].as_str().unwrap())).exists();
                assert!(!has_run || process["exit_reason"] != "spawn_failed", "{}", details());
            }
            output.code == Some(0)
        });
        assert!(is_enough, "{args:?} succeeds with the highest limit");
    }
}

/// Returns a uid that only one command runs as, because the limit applies to all processes of a user.
fn user_with(limit: u32) -> u32 {
    1_000_000 + std::process::id() * 100 + limit
}

#[test]
fn row_33_nothing_is_half_started_without_enough_descriptors() {
    let messages = ["Too many open files", "unable to open database file"];
    check_limits(&messages, 4..32, |context, limit, args| {
        let limit = format!("--nofile={limit}");
        let args = [&[limit.as_str(), env!("CARGO_BIN_EXE_rigup")], args].concat();
        CommandOutput::new(&args, &context.command_for(Path::new("prlimit"), &args).output().unwrap())
    });
}

#[test]
fn row_33_too_few_descriptors_are_named_as_the_cause() {
    let context = context();
    context.run(&["run", "E"]).succeeds();
    for limit in 5..10 {
        let limit = format!("--nofile={limit}");
        let args = [&limit, env!("CARGO_BIN_EXE_rigup"), "run", "E"];
        let output = context.command_for(Path::new("prlimit"), &args).output().unwrap();
        CommandOutput::new(&args, &output).stderr_contains("Too many open files");
    }
    assert_nothing_is_left(&context);
}

#[test]
fn row_33_nothing_is_half_started_without_enough_processes() {
    if !kernel::is_root() {
        return;
    }
    // The other user may not be able to reach the folder that rigup was built in.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let rigup = folder.path().join("rigup");
    fs::copy(env!("CARGO_BIN_EXE_rigup"), &rigup).unwrap();
    let messages = ["too many processes or threads"];
    check_limits(&messages, 1..13, |context, limit, args| {
        let user = user_with(limit);
        fs::create_dir(context.path("data")).unwrap();
        for folder in ["", "here", "data"] {
            chown(&context.path(folder), Some(Uid::from_raw(user)), None).unwrap();
        }
        let (user, limit) = (format!("--reuid={user}"), format!("--nproc={limit}"));
        let user = [user.as_str(), "--clear-groups", "prlimit", &limit, rigup.to_str().unwrap()];
        let args = [&user, args].concat();
        let result =
            CommandOutput::new(&args, &context.command_for(Path::new("setpriv"), &args).output().unwrap());
        wait_until("the waiter has exited", || context.live_processes().is_empty());
        // As root, rigup does not trust another user's folders.
        assert!(Command::new("chown").args(["-Rh", "0"]).arg(context.path("")).status().unwrap().success());
        result
    });
}

#[test]
fn row_33_no_live_process_is_lost_without_enough_descriptors() {
    let mut context = TestContext::new();
    context.set("GO", context.path("go"));
    let wait = "until [ -e \"$GO\" ]; do sleep 0.05; done; exit 4";
    context.script("here/plugins/q/on_E__1_a.finite.bg.sh", &format!("#!/bin/sh\necho up\n{wait}\n"));
    let run = context.run(&["start", "--slug", "s", "--", "sh", "-c", wait]).succeeds().record();
    let exec = context.start(&["exec", "--", "sh", "-c", wait]);
    let event = context.start(&["run", "E"]);
    wait_until("all commands run", || {
        context.processes().iter().filter(|process| process["status"] == "running").count() == 4
    });
    for limit in 3..16 {
        let limit = format!("--nofile={limit}");
        let args = [&limit, env!("CARGO_BIN_EXE_rigup"), "exec", "--", "true"];
        context.command_for(Path::new("prlimit"), &args).output().unwrap();
    }
    let lost = context.processes().into_iter().filter(|process| process["exit_reason"] == "lost");
    assert_eq!(lost.collect::<Vec<_>>(), [] as [serde_json::Value; 0]);
    fs::write(context.path("go"), "").unwrap();
    assert_eq!(exec.wait_with_output().unwrap().status.code(), Some(4));
    assert_eq!(event.wait_with_output().unwrap().status.code(), Some(1));
    context.run(&["process", "wait", run["id"].as_str().unwrap()]).exits_with(4);
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    assert_nothing_is_left(&context);
}

#[test]
fn row_27_starting_a_program_that_is_open_for_writing_is_retried() {
    if !kernel::refuses_open_programs() {
        return;
    }
    let context = context();
    let hook = context.path("here/providers/p/on_BinaryRequest__50_p.sh");
    let tool = context.script("tool", "#!/bin/sh\nexit 7\n");
    let open = |path: &Path| File::options().append(true).open(path).unwrap();

    // If the program stays open for writing, the error says so.
    let expected = "another process has it open for writing; try again later";
    let writer = open(&hook);
    context.run(&["install", "x", "--binproviders", "p"]).exits_with(1).stderr_contains(expected);
    drop(writer);
    let writer = open(&tool);
    context.run(&["exec", "--", tool.to_str().unwrap()]).exits_with(126).stderr_contains(expected);
    drop(writer);
    assert_nothing_is_left(&context);

    // If it is closed while rigup retries, the start succeeds.
    let context = self::context();
    let writer = open(&context.path("here/providers/p/on_BinaryRequest__50_p.sh"));
    let child = context.start(&["install", "x", "--binproviders", "p"]);
    wait_until("the run dir exists", || {
        let files = walkdir::WalkDir::new(context.path("data")).into_iter().filter_map(Result::ok);
        files.into_iter().any(|file| file.file_name() == "stderr.log")
    });
    drop(writer);
    CommandOutput::new(&["install"], &child.wait_with_output().unwrap()).succeeds();
    assert_nothing_is_left(&context);
}

/// A hook that uses 100 MiB of memory in a process of its own, and waits.
const HUNGRY: &str = "#!/bin/sh\npython3 -c 'import time; x = b\"x\" * (100 << 20); time.sleep(60)'\n";

#[test]
fn row_50_a_hook_over_its_memory_limit_is_killed_with_its_processes() {
    let mut context = TestContext::new();
    let config =
        json!({"type": "object", "properties": {"Q_MEMORY_LIMIT": {"type": "integer", "default": 0}}});
    context.write("here/plugins/q/config.json", config.to_string());
    context.script("here/plugins/q/on_E__1_q.sh", "#!/bin/sh\npython3 -c 'x = b\"x\" * (100 << 20)'\n");
    context.script(
        "here/plugins/p/on_E__2_p.finite.bg.sh",
        &HUNGRY.replace("\npython3", "\necho ready\npython3"),
    );
    context.script("here/plugins/p/on_E__3_p.sh", HUNGRY);
    // Even a process that has left the tree counts.
    context.script(
        "here/plugins/p/on_E__4_p.py",
        "#!/usr/bin/env python3\nimport os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  \
         x = b'x' * (100 << 20)\n  time.sleep(60)\n os._exit(0)\nos.wait()\ntime.sleep(60)\n",
    );
    context.set("MEMORY_LIMIT", "60000000").set("TIMEOUT", "30");
    let output = context.run(&["run", "E"]).exits_with(1);
    let output = output.stderr_contains("error: p/on_E__3_p.sh: over its memory limit (137)");
    let warning = "of memory, more than its limit of 57 MiB, and was killed";
    assert_eq!(output.stderr.matches(warning).count(), 3, "{}", output.stderr);
    let hooks = context.hook_processes();
    let reasons: Vec<&str> = hooks.iter().map(|hook| hook["exit_reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["exited", "memory", "memory", "memory"]);
    assert_nothing_is_left(&context);

    context.set("P_MEMORY_LIMIT", "2G");
    context.run(&["run", "E"]).exits_with(3).stderr_contains("P_MEMORY_LIMIT=2G is not a memory limit");
}
