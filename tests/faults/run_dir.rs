//! Hooks that change or remove the files that rigup keeps of them, or their own working directory.

use std::fs;
use std::io::{BufRead, BufReader, Read};

use serde_json::{Value, json};

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// A shell script that sets `$run_dir` to the run dir of its hook.
const RUN_DIR: &str = "run_dir=$DATA_DIR/processes/$RIGUP_PROCESS_ID";

/// Runs a foreground and a background hook with this script, each followed by another hook, and calls `check` with the
/// output and the record of the first hook.
fn run_each(script: &str, check: impl Fn(&TestContext, &CommandOutput, &Value)) {
    for kind in ["", ".finite.bg"] {
        let context = TestContext::new();
        let first = format!("#!/bin/sh\n{RUN_DIR}\n{script}\n");
        context.script(&format!("here/plugins/p/on_E__1_a{kind}.sh"), &first);
        context.script("here/plugins/p/on_E__2_b.sh", "#!/bin/sh\necho '{\"type\":\"Next\"}'\n");
        let output = context.run(&["run", "E"]);
        assert!(output.records().iter().any(|record| record["type"] == "Next"), "{kind}: {}", output.stderr);
        check(&context, &output, &context.hook_processes()[0]);
    }
}

/// Returns the number of `Said` records that the hook printed.
fn said(output: &CommandOutput) -> usize {
    output.records().iter().filter(|record| record["type"] == "Said").count()
}

#[test]
fn row_42_a_pipe_in_the_place_of_a_log_blocks_nothing() {
    let script = "for file in stdout.log stderr.log process.pid exit.json; do\n\
        until rm -f \"$run_dir/$file\" && mkfifo \"$run_dir/$file\" 2>/dev/null; do :; done; done\n\
        sleep 0.1; echo '{\"type\":\"Said\"}'; echo why >&2; exit 7";
    run_each(script, |context, output, hook| {
        assert_eq!((said(output), output.code), (1, Some(1)));
        assert_eq!([&hook["exit_code"], &hook["exit_reason"]], [&json!(7), &json!("exited")]);
        assert_eq!([&hook["stdout_tail"], &hook["stderr_tail"]], ["{\"type\":\"Said\"}\n", "why\n"]);
        let id = hook["id"].as_str().unwrap();
        context.run(&["process", "logs", id]).exits_with(1).stderr_contains("it is not a regular file");
        context.run(&["process", "show", id]).succeeds();
        assert_nothing_is_left(context);
    });
}

#[test]
fn row_42_a_sparse_log_of_terabytes_is_cut_and_costs_nothing() {
    let script =
        "echo '{\"type\":\"Said\"}'; truncate -s 15T /proc/self/fd/1 || truncate -s 1T /proc/self/fd/1";
    run_each(&format!("{script}; exit 0"), |context, output, hook| {
        assert_eq!((said(output), output.code), (1, Some(1)));
        // It may exit before rigup notices the size of its log.
        assert_eq!(hook["exit_reason"], "stopped");
        assert!(hook["stderr_tail"].as_str().unwrap().starts_with("it wrote more than 64 MiB"), "{hook}");
        let log = fs::metadata(format!("{}/stdout.log", hook["run_dir"].as_str().unwrap())).unwrap();
        assert!(log.len() <= (64 << 20) * 11 / 10, "{}", log.len());
        assert_nothing_is_left(context);
    });
}

#[test]
fn row_42_what_a_hook_prints_after_truncating_its_log_is_read() {
    let script = "echo '{\"type\":\"Before\",\"text\":\"long\"}'; until [ -e \"$DATA_DIR/read\" ]; do sleep 0.01; done\n\
        : >/dev/stdout; sleep 0.3; echo '{\"type\":\"Said\"}'";
    for kind in ["", ".finite.bg"] {
        let context = TestContext::new();
        context.script(&format!("here/plugins/p/on_E__1_a{kind}.sh"), &format!("#!/bin/sh\n{script}\n"));
        let mut child = context.start(&["run", "E"]);
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains("Before"), "{line}");
        fs::write(context.path("data/read"), "").unwrap();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert!(rest.starts_with("{\"type\":\"Said\""), "{kind}: {rest}");
        assert!(child.wait().unwrap().success());
        let warnings = &context.hook_processes()[0]["warnings"];
        assert!(warnings[0].as_str().unwrap().starts_with("it truncated its stdout"), "{kind}: {warnings}");
        assert_nothing_is_left(&context);
    }
}

#[test]
fn row_43_a_hook_that_removes_its_run_dir_keeps_its_record_and_exit() {
    // rigup may be writing into it.
    let script = "rm -r \"$run_dir\" 2>/dev/null || rm -rf \"$run_dir\"; sleep 0.1; echo '{\"type\":\"Said\"}'; exit 7";
    run_each(script, |context, output, hook| {
        assert_eq!((said(output), output.code), (1, Some(1)));
        assert!(output.stderr.contains("was removed: the store has its exit"), "{}", output.stderr);
        assert_eq!([&hook["exit_code"], &hook["exit_reason"]], [&json!(7), &json!("exited")]);
        assert_eq!(hook["stdout_tail"], "{\"type\":\"Said\"}\n");
        assert_nothing_is_left(context);
    });
}

#[test]
fn row_43_a_hook_that_empties_or_removes_its_folder_keeps_its_record() {
    for remove in ["touch x y; rm -r ./*", "sleep 0.1; rm -r \"$PWD\""] {
        run_each(&format!("{remove}; echo '{{\"type\":\"Said\"}}'; exit 7"), |context, output, hook| {
            assert_eq!((said(output), output.code), (1, Some(1)));
            assert_eq!([&hook["exit_code"], &hook["exit_reason"]], [&json!(7), &json!("exited")]);
            assert_eq!(hook["stdout_tail"], "{\"type\":\"Said\"}\n");
            assert_nothing_is_left(context);
        });

        let context = TestContext::new();
        context.provider("p", &format!("#!/bin/sh\n{remove}\necho '{}'\n", crate::RECORD));
        let record = context.run(&["install", "x", "--binproviders", "p"]).succeeds().record();
        assert_eq!(record["status"], "installed");
        assert_nothing_is_left(&context);
    }
}

#[test]
fn row_21_no_spelling_of_a_record_keeps_its_environment_in_a_file() {
    let context = TestContext::new();
    let lines = [
        &b"{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"/bin/sh\",\"note\":\"\xff\",\"env\":{\"A\":\"canary\"}}"[..],
        br#"{"\u0065nv":{"A":"canary"},"type":"Bin\u0061ry","name":"x"}"#,
        br#"{"env":{"A":"canary"},"env":{"A":"canary"},"type":"Binary"}"#,
        br#"{"type":"Binary","env":{"A":"canary"#,
    ];
    let lines = context.write("lines", lines.join(&b'\n'));
    context.provider("p", &format!("#!/bin/sh\ncat {}\n", lines.display()));
    let output = context.run(&["install", "x", "--binproviders", "p"]).succeeds();
    assert!(output.stderr.contains("line 3 is refused (repeated key"), "{}", output.stderr);
    assert!(!output.stderr.contains("canary"), "{}", output.stderr);
    let found = std::process::Command::new("grep").args(["-r", "canary"]).arg(context.path("data")).output();
    let found = found.unwrap();
    assert_eq!((found.status.code(), &*found.stdout), (Some(1), &b""[..]), "{found:?}");
    assert_nothing_is_left(&context);
}

#[test]
fn row_21_an_environment_in_a_record_of_a_hook_is_blanked_in_place() {
    let line = r#"{"type":"Binary","name":"x","abspath":"/bin/sh","env":{"A_TOKEN":"canary"},"n":1.50}"#;
    let blank = line.replace("{\"A_TOKEN\":\"canary\"}", &format!("{{{}}}", " ".repeat(18)));
    let context = TestContext::new();
    context.provider("p", &format!("#!/bin/sh\necho '{line}'\necho after\n"));
    context.run(&["install", "x", "--binproviders", "p"]).succeeds();
    let run = context.run(&["start", "--slug", "s", "--", "echo", line]).succeeds().record();
    context.run(&["process", "wait", run["id"].as_str().unwrap()]).succeeds();
    let log = |process: &Value| {
        let tail = process["stdout_tail"].as_str().unwrap().to_owned();
        let path = format!("{}/stdout.log", process["run_dir"].as_str().unwrap());
        assert_eq!(fs::read_to_string(path).unwrap(), tail);
        tail
    };
    let processes = context.processes();
    let of_type = |kind: &str| processes.iter().find(|process| process["process_type"] == kind).unwrap();
    assert_eq!(log(of_type("hook")), format!("{blank}\nafter\n"));
    assert_eq!(log(of_type("binary")), format!("{line}\n"), "the output of a run is its own");
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    assert_nothing_is_left(&context);
}
