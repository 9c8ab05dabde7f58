//! Exit codes of hooks and commands, in the foreground, in the background and after rigup was killed; `process kill`.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::test_context::{CommandOutput, TestContext, died_of, signal, wait_until};

/// The last lines of scripts, each with its exit code.
const EXITS: [(&str, i32); 6] = [
    ("exit 0", 0),
    ("exit 1", 1),
    ("exit 10", 10),
    ("exit 127", 127),
    ("kill -TERM $$; sleep 600", 143),
    ("kill -KILL $$; sleep 600", 137),
];

/// Creates a hook of this kind for each exit. `before` is the first line of each script.
fn context_with_exits(kind: &str, before: &str) -> TestContext {
    let context = TestContext::new();
    for (n, (exit, _)) in EXITS.iter().enumerate() {
        let body = format!("#!/bin/sh\n{before}\n{exit}\n");
        context.script(&format!("here/plugins/p/on_E__{n}_x{kind}.sh"), &body);
    }
    context
}

fn codes(context: &TestContext) -> Vec<Value> {
    context.hook_processes().iter().map(|hook| hook["exit_code"].clone()).collect()
}

fn expected() -> Vec<Value> {
    EXITS.iter().map(|(_, code)| json!(code)).collect()
}

#[test]
fn records_the_exit_codes_of_foreground_and_background_hooks() {
    for kind in ["", ".finite.bg", ".daemon.bg"] {
        let context = context_with_exits(kind, "");
        context.run(&["run", "E"]).exits_with(1);
        assert_eq!(codes(&context), expected(), "{kind}");
        let reasons: Vec<Value> =
            context.hook_processes().iter().map(|hook| hook["exit_reason"].clone()).collect();
        assert_eq!(reasons, ["exited", "exited", "exited", "exited", "signalled", "signalled"]);
    }
}

#[test]
fn records_the_exit_codes_of_background_hooks_of_a_killed_rigup() {
    let until_term = "trap term=1 TERM; echo up; until [ -n \"$term\" ]; do sleep 0.05; done; trap - TERM";
    let context = context_with_exits(".finite.bg", until_term);
    let mut child = context.start(&["run", "E"]);
    wait_until("all hooks run", || {
        context.hook_processes().iter().filter(|hook| hook["status"] == "running").count() == EXITS.len()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let ids: Vec<String> =
        context.hook_processes().iter().map(|hook| hook["id"].as_str().unwrap().to_owned()).collect();
    for (id, (_, code)) in ids.iter().zip(EXITS) {
        context.run(&["process", "wait", id]).exits_with(code);
    }
    assert_eq!(codes(&context), expected());
    assert!(context.hook_processes().iter().all(|hook| hook["exit_reason"] == "stopped"));
    wait_until("the waiters have exited", || context.live_processes().is_empty());
}

#[test]
fn exec_passes_on_the_exit_code_and_records_its_caller() {
    let context = TestContext::new();
    for (exit, code) in EXITS {
        context.run(&["exec", "--", "sh", "-c", exit]).exits_with(code);
    }
    let recorded: Vec<Value> =
        context.processes().iter().map(|process| process["exit_code"].clone()).collect();
    assert_eq!(recorded, expected());
    context.run(&["exec", "--", "no-such-program"]).exits_with(127).stderr_contains("it is not on PATH");
    let text = context.write("here/text", "no program");
    let output = context.run(&["exec", "--", text.to_str().unwrap()]).exits_with(126);
    output.stderr_contains("it has no exec bit, and does not begin like a program; name another file");

    let context = TestContext::new();
    context.script(
        "here/plugins/p/on_E__1_a.sh",
        "#!/bin/sh\n\"$RIGUP\" exec -- sh -c '\"$RIGUP\" exec -- true'\n",
    );
    context.run(&["run", "E"]).succeeds();
    let tree = context.run(&["process", "tree"]).succeeds().records();
    let depths: Vec<u64> = tree.iter().map(|process| process["depth"].as_u64().unwrap()).collect();
    assert_eq!(depths, [0, 1, 2, 3]);
    let leaf = tree[3]["id"].as_str().unwrap();
    let from_below = context.run(&["process", "tree", leaf]).succeeds().records();
    assert_eq!(from_below.len(), 4, "the tree includes all ancestors");
}

#[test]
fn a_command_of_exec_has_a_run_dir_without_logs() {
    let context = TestContext::new();
    context
        .run(&["exec", "--", "sh", "-c", "ls \"$RIGUP_DATA_DIR/processes/$RIGUP_PROCESS_ID\"; exit 7"])
        .exits_with(7);
    let processes = context.processes();
    let run_dir = Path::new(processes[0]["run_dir"].as_str().unwrap());
    let exit: Value = serde_json::from_slice(&fs::read(run_dir.join("exit.json")).unwrap()).unwrap();
    assert_eq!((&exit["exit_code"], &exit["exit_reason"]), (&json!(7), &json!("exited")));
    assert!(run_dir.join("cmd.sh").exists() && !run_dir.join("process.pid").exists());
    let id = processes[0]["id"].as_str().unwrap();
    context
        .run(&["process", "logs", id])
        .exits_with(1)
        .stderr_contains("has no logs: it wrote to the terminal");
    fs::remove_file(context.path("data/rigup.sqlite3")).unwrap();
    context.run(&["process", "gc"]).succeeds();
    assert_eq!(
        context.run(&["process", "show", id]).succeeds().record()["exit_code"],
        7,
        "a rebuild restores the record"
    );
}

#[test]
fn exec_passes_on_a_signal_and_waits_for_its_command() {
    let context = TestContext::new();
    let command = "trap 'exit 5' TERM; touch \"$RIGUP_DATA_DIR/ready\"; while :; do sleep 0.05; done";
    let child = context.start(&["exec", "--", "sh", "-c", command]);
    wait_until("the command runs", || context.path("data/ready").exists());
    signal(child.id(), Signal::SIGTERM);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(5));
    assert_eq!(context.processes()[0]["exit_code"], 5);
}

#[test]
fn process_kill_terminates_the_tree_of_a_hook_and_records_it() {
    let context = TestContext::new();
    context.script(
        "here/plugins/p/on_E__1_a.sh",
        "#!/bin/sh\nsetsid sleep 600 &\nsh -c 'trap \"\" TERM; sleep 600' &\nexec sleep 600\n",
    );
    let child = context.start(&["run", "E"]);
    wait_until("all processes run", || {
        context.count_live("sleep") == 3 && context.hook_processes()[0]["status"] == "running"
    });
    let id = context.hook_processes()[0]["id"].as_str().unwrap().to_owned();
    let killed = context.run(&["process", "kill", "--grace", "1", &id]).succeeds().record();
    assert_eq!((&killed["exit_code"], &killed["signal"]), (&json!(143), &json!(15)));
    assert_eq!((&killed["exit_reason"], &killed["state"]), (&json!("stopped"), &json!("killed")));
    CommandOutput::new(&["run"], &child.wait_with_output().unwrap()).exits_with(1);
    assert_eq!(context.live_processes(), []);
    context.run(&["process", "kill", &id]).succeeds().stderr_contains("has already exited");
    context
        .run(&["process", "kill", "01230123"])
        .exits_with(1)
        .stderr_contains("no process has the id 01230123");
}

#[test]
fn process_kill_tree_terminates_rigup_and_its_hooks() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_E__1_d.bg.sh", "#!/bin/sh\necho up\nexec sleep 600\n");
    context.script("here/plugins/p/on_E__2_a.sh", "#!/bin/sh\n\"$RIGUP\" exec -- sleep 600\n");
    let child = context.start(&["run", "E"]);
    wait_until("all processes run", || {
        context.processes().iter().filter(|process| process["status"] == "running").count() == 4
    });
    let root = context.processes()[0]["id"].as_str().unwrap().to_owned();
    context.run(&["process", "kill", "--tree", &root]).succeeds();
    assert!(died_of(child.wait_with_output().unwrap().status, Signal::SIGTERM));
    assert_eq!(context.live_processes(), []);
    assert!(context.processes().iter().all(|process| process["status"] == "exited"));
}

#[test]
fn a_process_that_handles_a_signal_stays_recorded_as_running() {
    let context = TestContext::new();
    context.script(
        "here/plugins/p/on_E__1_a.sh",
        "#!/bin/sh\ntrap 'touch \"$DATA_DIR/hup\"' HUP\ntouch \"$DATA_DIR/up\"\nuntil [ -e \"$DATA_DIR/go\" ]; do sleep 0.05; done\n",
    );
    let child = context.start(&["run", "E"]);
    wait_until("the hook runs", || {
        context.path("data/up").exists() && context.hook_processes()[0]["status"] == "running"
    });
    let id = context.hook_processes()[0]["id"].as_str().unwrap().to_owned();
    context.run(&["process", "kill", "-s", "HUP", &id]).succeeds();
    wait_until("the signal is handled", || context.path("data/hup").exists());
    assert_eq!(context.hook_processes()[0]["status"], "running");
    fs::write(context.path("data/go"), "").unwrap();
    CommandOutput::new(&["run"], &child.wait_with_output().unwrap()).succeeds();
    assert_eq!(context.hook_processes()[0]["exit_reason"], "exited");
    context.run(&["process", "kill", "-s", "HUP", &id]).exits_with(1).stderr_contains("is not running");
}

#[test]
fn a_process_of_another_machine_is_not_signalled_or_recorded_as_lost() {
    let context = TestContext::new();
    context.run(&["start", "--slug", "s", "--", "true"]).succeeds();
    let id = context.processes()[0]["id"].as_str().unwrap().to_owned();
    context.run(&["process", "wait", &id]).succeeds();
    let other = "00000000-0000-7000-8000-000000000000";
    let store = context.store();
    store
        .execute_batch(&format!(
            "INSERT INTO machine SELECT '{other}', 'elsewhere', guid_source, hostname, hw_in_docker, hw_in_vm, \
             hw_manufacturer, hw_product, hw_uuid, os_arch, os_family, os_platform, os_release, os_kernel, stats, \
             config, facts_at, created_at, modified_at, 0, 0 FROM machine; \
             UPDATE process SET machine_id = '{other}', status = 'running', ended_at = NULL, exit_code = NULL, \
             exit_reason = NULL"
        ))
        .unwrap();
    for args in [&["process", "kill", &id][..], &["process", "wait", &id]] {
        context.run(args).exits_with(1).stderr_contains("runs on another machine");
    }
    context.run(&["process", "gc"]).succeeds();
    assert_eq!(context.processes()[0]["status"], "running");
}

#[test]
fn a_run_that_a_hook_starts_outlives_the_timeout_of_the_hook() {
    let context = TestContext::new();
    context.script(
        "here/plugins/p/on_E__1_a.sh",
        "#!/bin/sh\n\"$RIGUP\" start --slug s -- sleep 600 >&2\nexec sleep 600\n",
    );
    context.run(&["run", "--timeout", "1", "E"]).exits_with(1);
    let run = context.processes().into_iter().find(|process| process["slug"] == "s").unwrap();
    assert_eq!(run["status"], "running");
    assert_eq!(run["parent_id"], context.hook_processes()[0]["id"]);
    context.run(&["process", "kill", run["id"].as_str().unwrap()]).succeeds();
    wait_until("its waiter has exited", || context.live_processes().is_empty());
}

#[test]
fn terminates_a_background_hook_with_endless_output() {
    let mut context = TestContext::new();
    context.set("RIGUP_OUTPUT_LIMIT", "2");
    context.script("here/plugins/p/on_E__1_a.finite.bg.sh", "#!/bin/sh\nexec yes\n");
    context.run(&["run", "E"]).exits_with(1).stderr_contains("it wrote more than 2 MiB");
    assert_eq!(context.hook_processes()[0]["exit_reason"], "stopped");
}

#[test]
fn help_that_cannot_be_written_is_a_setup_error() {
    let context = TestContext::new();
    for args in [&["--help"][..], &["--version"], &["help", "install"], &["install", "-h"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = CommandOutput::new(args, &context.command(args).stdout(full).output().unwrap());
        let problem = "error: cannot write to standard output: No space left on device";
        output.exits_with(3).stderr_contains(problem);
    }
}
