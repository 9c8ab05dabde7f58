//! What hooks write, however broken and however much, and who reads what rigup writes.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::RECORD;
use crate::aftermath::nothing_is_left;
use crate::test_context::{CommandOutput, TestContext};

/// A place with one hook of the event `E`.
fn context_with(kind: &str, script: &str) -> TestContext {
    let context = TestContext::new();
    context.script(&format!("here/plugins/p/on_E__1_a{kind}.sh"), &format!("#!/bin/sh\n{script}\n"));
    context
}

/// The records that the hook printed, without what rigup added.
fn printed(output: &CommandOutput) -> Vec<Value> {
    let mut records = output.records();
    records.retain(|it| it["type"] != "Process");
    for record in &mut records {
        record.as_object_mut().unwrap().retain(|key, _| key != "plugin" && key != "hook_name");
    }
    records
}

#[test]
fn row_13_a_last_line_that_was_cut_is_named_and_the_records_before_it_count() {
    let cut =
        r#"echo '{"type":"Said","n":1}'; echo log; printf '{"type":"Said","n":2,"text":"cu'; kill -KILL $$"#;
    for kind in ["", ".finite.bg"] {
        let context = context_with(kind, cut);
        let output = context.run(&["run", "E"]).exits_with(1);
        assert_eq!(printed(&output), [json!({"type": "Said", "n": 1})]);
        output.stderr_contains("line 3 is not JSON").stderr_contains(r#"{"type":"Said","n":2,"text":"cu"#);
        nothing_is_left(&context);
    }

    let context = TestContext::new();
    context.provider("p", &format!("#!/bin/sh\necho '{RECORD}'\nprintf '{{\"type\":\"Bin'\n"));
    let output = context.run(&["install", "x", "--binproviders", "p"]).succeeds();
    assert_eq!(output.record()["abspath"], "/bin/sh");
    output.stderr_contains("line 2 is not JSON").stderr_contains("{\"type\":\"Bin");
    nothing_is_left(&context);
}

#[test]
fn row_14_however_the_bytes_come_each_line_is_read_or_named() {
    // A byte order mark, glued objects, CRLF, a NUL on either side, a character of four bytes, a bad byte, what is cut in
    // the middle of a line, and a last line without its end.
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
            nothing_is_left(&context);
        }
    }
}

/// So many bytes of memory rigup may take, whatever its hooks write: less than one of the streams.
const FLAT: u64 = 40 << 20;

/// Runs rigup as a command of `rigup exec`, which measures it.
fn measured(context: &TestContext, args: &[&str]) -> CommandOutput {
    // Should the cap not hold, the file system is not to be filled: 256 MiB in blocks of 512 bytes.
    let limited = "ulimit -f 524288; exec \"$RIGUP\" \"$@\"";
    let exec = ["exec", "--", "sh", "-c", limited, "sh"];
    let output = context.run(&[&exec[..], args].concat());
    let processes = context.processes();
    let rigup = processes.iter().find(|it| it["process_type"] == "binary").unwrap();
    let max_rss = rigup["max_rss"].as_u64().unwrap();
    assert!(max_rss < FLAT, "{args:?} took {max_rss} bytes");
    output
}

/// Writes lines without end; `yes` would put some hundred megabytes on the disk between two looks.
const ENDLESS: &str = "lines=$(yes | head -n 256)\nwhile :; do echo \"$lines\"; done";

#[test]
fn row_15_output_without_end_is_stopped_at_the_cap_and_memory_stays_flat() {
    for (kind, limit, stream) in
        [("", "1", ""), (".finite.bg", "1", ""), ("", "1", " >&2"), (".finite.bg", "", " >&2")]
    {
        let mut context = context_with(kind, &format!("{ENDLESS}{stream}"));
        context.set("RIGUP_OUTPUT_LIMIT", limit);
        let said = format!("it wrote more than {} MiB", if limit.is_empty() { "64" } else { limit });
        measured(&context, &["run", "E"]).exits_with(1).stderr_contains(&said);
        assert_eq!(context.hook_processes()[0]["exit_reason"], "stopped");
        nothing_is_left(&context);
    }

    let context = TestContext::new();
    context.provider("p", &format!("#!/bin/sh\n{ENDLESS}\n"));
    let record = measured(&context, &["install", "x", "--binproviders", "p"]).exits_with(1).record();
    assert_eq!(
        record["attempts"][0]["reason"],
        "terminated on request: it wrote more than 64 MiB and was terminated"
    );
    nothing_is_left(&context);
}

#[test]
fn row_15_what_was_written_faster_than_it_is_read_is_not_read_beyond_the_cap() {
    // A hole in the log takes no time to write, and no room.
    let hole = "truncate -s 64M /proc/$$/fd/1\necho '\n{\"type\":\"Late\"}'\nexec sleep 600";
    let mut context = context_with("", hole);
    context.set("RIGUP_OUTPUT_LIMIT", "1");
    let output = measured(&context, &["run", "E"]).exits_with(1);
    assert_eq!(printed(&output), [] as [Value; 0]);
    output.stderr_contains("it wrote more than 1 MiB");
    nothing_is_left(&context);
}

#[test]
fn row_16_a_line_of_50_megabytes_is_dropped_with_a_warning_and_memory_stays_flat() {
    let line =
        "{ printf '{\"type\":\"Long\",\"text\":\"'; head -c 50000000 /dev/zero | tr '\\0' x; echo '\"}'; }";
    for kind in ["", ".finite.bg"] {
        let context =
            context_with(kind, &format!("echo '{{\"type\":\"A\"}}'\n{line}\necho '{{\"type\":\"B\"}}'"));
        let output = measured(&context, &["run", "E"]).succeeds();
        assert_eq!(printed(&output), [json!({"type": "A"}), json!({"type": "B"})]);
        output.stderr_contains("line 2 is longer than 1048576 bytes");
        nothing_is_left(&context);
    }

    let context = TestContext::new();
    context.provider("p", &format!("#!/bin/sh\n{line}\necho '{RECORD}'\n"));
    let output = measured(&context, &["install", "x", "--binproviders", "p"]).succeeds();
    assert_eq!(output.record()["abspath"], "/bin/sh");
    output.stderr_contains("line 1 is longer than 1048576 bytes");
    nothing_is_left(&context);
}

#[test]
fn row_35_a_reader_that_goes_away_is_a_quiet_end() {
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
    nothing_is_left(&context);
}

#[test]
fn row_35_a_reader_that_goes_away_takes_neither_the_errors_nor_the_exit_code_of_an_install_along() {
    let context = TestContext::new();
    context.fixture("failing");
    let mut child = context.start(&["install", "x", "--binproviders", "failing"]);
    drop(child.stdout.take());
    let output = CommandOutput::new(&["install"], &child.wait_with_output().unwrap());
    output.exits_with(1).stderr_contains("error: cannot install x: ");
    nothing_is_left(&context);

    // Nobody reads the errors either: no panic, which would be 101.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = context.command(&["install", "x", "--binproviders", "failing"]);
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    assert_eq!(command.status().unwrap().code(), Some(1));
    nothing_is_left(&context);
}
