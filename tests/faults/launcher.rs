//! What the launcher of rigup leaves to it: ignored signals, limits, non-blocking streams, and a folder that was removed.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::RECORD;
use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Runs rigup by another program with these arguments in front.
fn run_by(context: &TestContext, launcher: &[&str], args: &[&str]) -> CommandOutput {
    let (program, options) = launcher.split_first().unwrap();
    let all = [options, &[env!("CARGO_BIN_EXE_rigup")], args].concat();
    CommandOutput::new(args, &context.command_for(Path::new(program), &all).output().unwrap())
}

#[test]
fn row_38_a_launcher_that_ignores_chld_changes_nothing() {
    let context = TestContext::new();
    context.provider("p", &format!("#!/bin/sh\necho '{RECORD}'\n"));
    context.script("here/plugins/q/on_E__1_a.sh", "#!/bin/sh\nexit 0\n");
    context.script("here/plugins/q/on_E__2_a.finite.bg.sh", "#!/bin/sh\nexit 0\n");
    for signals in ["--ignore-signal=CHLD", "--block-signal=CHLD"] {
        let launcher = ["env", signals];
        run_by(&context, &launcher, &["install", "x", "--force", "--binproviders", "p"]).succeeds();
        run_by(&context, &launcher, &["run", "E"]).succeeds();
        run_by(&context, &launcher, &["load", "sh"]).succeeds();
        run_by(&context, &launcher, &["exec", "--", "sh", "-c", "true & wait $! && exit 7"]).exits_with(7);
        run_by(&context, &launcher, &["start", "--slug", "s", "--", "true"]).succeeds();
    }
    wait_until("the waiters have exited", || context.live_processes().is_empty());
    for process in context.processes() {
        assert_eq!(process["exit_reason"], "exited", "{process}");
    }
    assert_nothing_is_left(&context);
}

#[test]
fn row_39_a_write_beyond_the_limit_of_file_sizes_is_an_error() {
    let context = TestContext::new();
    let out = context.path("out");
    let config = [env!("CARGO_BIN_EXE_rigup"), "config"];
    let args = [&["-c", "ulimit -f 1 && exec \"$0\" \"$@\""], &config[..]].concat();
    let mut command = context.command_for(Path::new("sh"), &args);
    let output = command.stdout(File::create(&out).unwrap()).stderr(Stdio::piped()).output().unwrap();
    let failed = CommandOutput::new(&args, &output).exits_with(3);
    failed.stderr_contains("cannot write to standard output: File too large");
    assert_eq!(fs::metadata(&out).unwrap().len(), 512);

    let launcher = ["sh", "-c", "ulimit -f 8 && exec \"$0\" \"$@\""];
    let failed = run_by(&context, &launcher, &["load", "sh"]).exits_with(3);
    failed.stderr_contains("rigup.sqlite3: file too large; raise the limit with `ulimit -f`");
    context.run(&["load", "sh"]).succeeds();
    assert_nothing_is_left(&context);
}

#[test]
fn row_39_a_command_of_exec_ignores_only_what_the_launcher_ignores() {
    let context = TestContext::new();
    for (ignored, expected) in [("", 0), ("XFSZ,USR1,INT", (1 << 24) | (1 << 9) | (1 << 1))] {
        let launcher = ["env", &format!("--ignore-signal={ignored}")];
        let launcher = if ignored.is_empty() { &launcher[..1] } else { &launcher };
        let output = run_by(&context, launcher, &["exec", "--", "grep", "SigIgn", "/proc/self/status"]);
        let mask = output.succeeds().stdout;
        let mask = u64::from_str_radix(mask.trim_start_matches("SigIgn:").trim(), 16).unwrap();
        // Two of the realtime signals belong to libc, which may leave them ignored.
        assert_eq!(mask & ((1 << 31) - 1), expected, "{mask:x}");
    }
}

/// Runs rigup with one non-blocking pipe for its output and errors, which is read only after it is full.
fn run_with_full_pipe(context: &TestContext, args: &[&str], input: Stdio) -> String {
    let (mut reader, writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let mut command = context.command(args);
    let command = command.stdin(input).stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut rigup = command.spawn().unwrap();
    // The command has the last copies of the writer.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    wait_until("the pipe is full", || {
        rustix::io::ioctl_fionread(&reader).unwrap() > 60_000 || rigup.try_wait().unwrap().is_some()
    });
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    rigup.wait().unwrap();
    output
}

#[test]
fn row_45_a_slow_reader_of_a_non_blocking_pipe_receives_everything() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_E__1_a.sh", "#!/bin/sh\nseq 1 40000\n");
    context.run(&["run", "E"]).succeeds();
    let id = context.hook_processes()[0]["id"].as_str().unwrap().to_owned();
    for follow in [&[][..], &["-f"]] {
        let logs = [&["process", "logs", "--stream", "stdout", &id][..], follow].concat();
        let lines = run_with_full_pipe(&context, &logs, Stdio::null());
        assert!(lines.lines().eq((1..=40_000).map(|n| n.to_string())), "{} lines", lines.lines().count());
    }
    // Each invalid record is an error on stderr.
    let input = context.write("input", "{\"type\":\"Process\",\"id\":\"1\"}\n".repeat(2_000));
    let errors = run_with_full_pipe(&context, &["apply"], File::open(input).unwrap().into());
    assert_eq!(errors.lines().count(), 2_000);
    assert!(errors.contains("standard input:2000: the record has no"));
    assert_nothing_is_left(&context);
}
