//! Invalid and excessive output of hooks, and readers that close rigup's stdout.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, died_of, signal, wait_until};
use crate::{RECORD, in_parallel};

/// Creates a context with one hook for the event `E`.
fn context_with(kind: &str, script: &str) -> TestContext {
    let context = TestContext::new();
    context.script(&format!("here/plugins/p/on_E__1_a{kind}.sh"), &format!("#!/bin/sh\n{script}\n"));
    context
}

/// Returns the records that the hook printed, without the fields that rigup adds.
fn printed(output: &CommandOutput) -> Vec<Value> {
    let mut records = output.records();
    records.retain(|record| record["type"] != "Process");
    for record in &mut records {
        record.as_object_mut().unwrap().retain(|key, _| key != "plugin" && key != "hook_name");
    }
    records
}

#[test]
fn row_13_a_truncated_last_line_is_reported_and_earlier_records_count() {
    let truncated =
        r#"echo '{"type":"Said","n":1}'; echo log; printf '{"type":"Said","n":2,"text":"cu'; kill -KILL $$"#;
    for kind in ["", ".finite.bg"] {
        let context = context_with(kind, truncated);
        let output = context.run(&["run", "E"]).exits_with(1);
        assert_eq!(printed(&output), [json!({"type": "Said", "n": 1})]);
        output.stderr_contains("line 3 is not JSON").stderr_contains(r#"{"type":"Said","n":2,"text":"cu"#);
        assert_nothing_is_left(&context);
    }

    let context = TestContext::new();
    context.provider("p", &format!("#!/bin/sh\necho '{RECORD}'\nprintf '{{\"type\":\"Bin'\n"));
    let output = context.run(&["install", "x", "--binproviders", "p"]).succeeds();
    assert_eq!(output.record()["abspath"], "/bin/sh");
    output.stderr_contains("line 2 is not JSON").stderr_contains("{\"type\":\"Bin");
    assert_nothing_is_left(&context);
}

#[test]
fn row_14_each_line_is_read_or_reported_whatever_its_bytes() {
    // A byte order mark, two objects on one line, CRLF, a NUL before and after an object, a character of four bytes, an
    // invalid byte, an incomplete line, and a last line without a newline.
    let bytes = b"\xef\xbb\xbf{\"type\":\"A\"}\r\n{\"type\":\"B\"}{\"type\":\"C\"}\r\n\0{\"type\":\"D\"}\0\n\
        {\"type\":\"E\",\"text\":\"\xf0\x9f\x98\x80\"}\n{\"type\":\"F\",\"text\":\"\xff\"}\n{\"type\":\"cu\n{\"type\":\"G\"}";
    let expected = [
        json!({"type": "A"}),
        json!({"type": "B"}),
        json!({"type": "C"}),
        json!({"type": "D"}),
        json!({"type": "E", "text": "\u{1f600}"}),
        json!({"type": "F", "text": "\u{fffd}"}),
        json!({"type": "G"}),
    ];
    for kind in ["", ".finite.bg"] {
        for write in ["cat", "dd bs=1 status=none"] {
            let context = context_with(kind, &format!("{write} <\"$DATA_DIR/../bytes\""));
            context.write("bytes", bytes);
            let output = context.run(&["run", "E"]).succeeds();
            assert_eq!(printed(&output), expected, "{kind} {write}");
            output.stderr_contains("line 6 is not JSON").stderr_contains("{\"type\":\"cu");
            assert_nothing_is_left(&context);
        }
    }
}

/// The maximum memory use of rigup, in bytes: less than the output of one hook.
const MAX_MEMORY: u64 = 40 << 20;

/// Runs rigup as the command of `rigup exec`, which records its memory use, and asserts that it does not exceed the
/// maximum.
fn run_in_little_memory(context: &TestContext, args: &[&str]) -> CommandOutput {
    // 256 MiB in blocks of 512 bytes, so that the file system does not fill up if rigup's own limit does not work.
    let limited = "ulimit -f 524288; exec \"$RIGUP\" \"$@\"";
    let exec = ["exec", "--", "sh", "-c", limited, "sh"];
    let output = context.run(&[&exec[..], args].concat());
    let processes = context.processes();
    let rigup = processes.iter().find(|process| process["process_type"] == "binary").unwrap();
    let max_rss = rigup["max_rss"].as_u64().unwrap();
    assert!(max_rss < MAX_MEMORY, "{args:?} used {max_rss} bytes");
    output
}

/// A shell script that writes lines without end. `yes` alone would write hundreds of megabytes between two checks of
/// the log's size.
const ENDLESS: &str = "lines=$(yes | head -n 256)\nwhile :; do echo \"$lines\"; done";

#[test]
fn row_15_a_hook_is_terminated_when_it_exceeds_the_output_limit() {
    for (kind, limit, stream) in
        [("", "1", ""), (".finite.bg", "1", ""), ("", "1", " >&2"), (".finite.bg", "", " >&2")]
    {
        let mut context = context_with(kind, &format!("{ENDLESS}{stream}"));
        context.set("RIGUP_OUTPUT_LIMIT", limit);
        let expected = format!("it wrote more than {} MiB", if limit.is_empty() { "64" } else { limit });
        run_in_little_memory(&context, &["run", "E"]).exits_with(1).stderr_contains(&expected);
        assert_eq!(context.hook_processes()[0]["exit_reason"], "stopped");
        assert_nothing_is_left(&context);
    }

    let context = TestContext::new();
    context.provider("p", &format!("#!/bin/sh\n{ENDLESS}\n"));
    let record =
        run_in_little_memory(&context, &["install", "x", "--binproviders", "p"]).exits_with(1).record();
    assert_eq!(
        record["attempts"][0]["reason"],
        "terminated on request: it wrote more than 64 MiB and was terminated"
    );
    assert_nothing_is_left(&context);
}

#[test]
fn row_15_rigup_reads_no_output_beyond_the_limit() {
    // A sparse log takes no time to write and no space.
    let hole = "truncate -s 64M /proc/$$/fd/1\necho '\n{\"type\":\"Late\"}'\nexec sleep 600";
    let mut context = context_with("", hole);
    context.set("RIGUP_OUTPUT_LIMIT", "1");
    let output = run_in_little_memory(&context, &["run", "E"]).exits_with(1);
    assert_eq!(printed(&output), [] as [Value; 0]);
    output.stderr_contains("it wrote more than 1 MiB");
    assert_nothing_is_left(&context);
}

#[test]
fn row_15_the_size_of_a_log_is_checked_while_its_lines_are_read() {
    // Short lines take much longer to read than to write at once.
    let write = "mkfifo \"$DATA_DIR/go\"\n{ echo '{\"type\":\"First\"}'; yes | head -c 15M; echo '{\"type\":\"Last\"}'; } >\"$DATA_DIR/lines\"\n\
        write() { dd if=\"$DATA_DIR/lines\" bs=32M status=none; }\nwrite; read -r go <\"$DATA_DIR/go\"; write\nexec sleep 600";
    let mut context = context_with("", write);
    context.set("RIGUP_OUTPUT_LIMIT", "16");
    let mut rigup = context.start(&["run", "E"]);
    let mut lines = BufReader::new(rigup.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("First")));
    fs::write(context.path("data/go"), "\n").unwrap();
    assert!(lines.any(|line| line.contains("Last")));
    let live: Vec<u32> = context.live_processes().into_iter().map(|(pid, _)| pid).collect();
    assert_eq!(live, [rigup.id()], "the hook ends before its lines are read");
    lines.for_each(drop);
    let output = rigup.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("it wrote more than 16 MiB"), "{output:?}");
    assert_nothing_is_left(&context);
}

#[test]
fn row_15_the_log_of_a_fast_writer_is_cut_even_on_a_busy_machine() {
    let write = "yes \"$(head -c 4000 /dev/zero | tr '\\0' y)\"";
    let writers = ["", "trap '' TERM\n", "setsid "].map(|before| format!("{before}{write}"));
    let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let busy: Vec<_> = (0..6).map(|_| spin()).collect();
    in_parallel(writers, |writer| {
        let mut context = context_with("", &format!("echo '{{\"type\":\"A\"}}'\n{writer}"));
        context.set("RIGUP_OUTPUT_LIMIT", "4");
        let output = context.run(&["run", "E"]).exits_with(1);
        assert_eq!(printed(&output), [json!({"type": "A"})], "{writer}");
        let hook = &context.hook_processes()[0];
        let log = fs::metadata(format!("{}/stdout.log", hook["run_dir"].as_str().unwrap())).unwrap();
        assert!(log.len() <= (4 << 20) * 11 / 10, "{writer}: {}", log.len());
        assert_nothing_is_left(&context);
    });
    for mut child in busy {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn row_09_ctrl_c_counts_while_the_rest_of_an_output_is_read() {
    let context = context_with("", "yes '{}' | head -c 20M");
    let rigup = context.start(&["run", "E"]);
    let run_dirs = || fs::read_dir(context.path("data/processes")).into_iter().flatten().flatten();
    wait_until("the hook has exited", || run_dirs().any(|run_dir| run_dir.path().join("exit.json").exists()));
    signal(rigup.id(), Signal::SIGINT);
    let output = rigup.wait_with_output().unwrap();
    assert!(died_of(output.status, Signal::SIGINT), "{output:?}");
    let warnings = &context.hook_processes()[0]["warnings"];
    let warning = warnings[0].as_str().unwrap();
    assert!(warning.starts_with("rigup was interrupted before it read the last "), "{warnings}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(warning), "{output:?}");
    assert_eq!(warnings[1], Value::Null, "{warnings}");
    assert_nothing_is_left(&context);
}

#[test]
fn row_16_a_line_of_50_megabytes_is_dropped_with_a_warning() {
    let line =
        "{ printf '{\"type\":\"Long\",\"text\":\"'; head -c 50000000 /dev/zero | tr '\\0' x; echo '\"}'; }";
    for kind in ["", ".finite.bg"] {
        let context =
            context_with(kind, &format!("echo '{{\"type\":\"A\"}}'\n{line}\necho '{{\"type\":\"B\"}}'"));
        let output = run_in_little_memory(&context, &["run", "E"]).succeeds();
        assert_eq!(printed(&output), [json!({"type": "A"}), json!({"type": "B"})]);
        output.stderr_contains("line 2 is longer than 1048576 bytes");
        assert_nothing_is_left(&context);
    }

    let context = TestContext::new();
    context.provider("p", &format!("#!/bin/sh\n{line}\necho '{RECORD}'\n"));
    let output = run_in_little_memory(&context, &["install", "x", "--binproviders", "p"]).succeeds();
    assert_eq!(output.record()["abspath"], "/bin/sh");
    output.stderr_contains("line 1 is longer than 1048576 bytes");
    assert_nothing_is_left(&context);
}

#[test]
fn row_35_rigup_exits_quietly_if_its_stdout_is_closed() {
    let context = TestContext::new();
    context.fixture("failing");
    for _ in 0..3 {
        context.run(&["install", "x", "--binproviders", "failing"]).exits_with(1);
    }
    for args in [
        &["process", "list"][..],
        &["process", "tree"],
        &["plugin", "list"],
        &["hook", "list"],
        &["binary", "list"],
        &["config"],
        &["--help"],
    ] {
        let mut command = context.command(args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let result = CommandOutput::new(args, &output);
        assert!(matches!(result.code, Some(0 | 141)), "{args:?}: {:?}", result.code);
        assert_eq!(result.stderr, "", "{args:?}");
    }
    assert_nothing_is_left(&context);
}

#[test]
fn row_35_a_closed_stdout_changes_neither_errors_nor_the_exit_code() {
    let context = TestContext::new();
    context.fixture("failing");
    let mut child = context.start(&["install", "x", "--binproviders", "failing"]);
    drop(child.stdout.take());
    let output = CommandOutput::new(&["install"], &child.wait_with_output().unwrap());
    output.exits_with(1).stderr_contains("error: cannot install x: ");
    assert_nothing_is_left(&context);

    // If stderr is closed too, rigup must not panic: the exit code would be 101.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = context.command(&["install", "x", "--binproviders", "failing"]);
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    assert_eq!(command.status().unwrap().code(), Some(1));
    assert_nothing_is_left(&context);
}
