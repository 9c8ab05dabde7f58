//! What the launcher of rigup leaves to it: ignored signals, limits, non-blocking streams, and a folder that was removed.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, signal, wait_until};
use crate::{RECORD, in_parallel};

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
fn row_07_term_ends_a_command_that_waits_even_if_it_was_ignored() {
    let context = TestContext::new();
    let start = context.run(&["start", "--slug", "s", "--", "sleep", "600"]).succeeds();
    let id = start.record()["id"].as_str().unwrap().to_owned();
    for wait in [&["process", "wait", &id][..], &["process", "logs", "-f", &id]] {
        let args = [&["--ignore-signal=TERM", env!("CARGO_BIN_EXE_rigup")], wait].concat();
        let mut rigup = context.command_for(Path::new("env"), &args).spawn().unwrap();
        let status = format!("/proc/{}/status", rigup.id());
        let ignores_term = || {
            let status = fs::read_to_string(&status).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
            u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << 14) != 0
        };
        let name = || fs::read_to_string(format!("/proc/{}/comm", rigup.id())).unwrap();
        wait_until("rigup runs", || name() == "rigup\n" && !ignores_term());
        signal(rigup.id(), Signal::SIGTERM);
        assert_eq!(rigup.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
    }
    context.run(&["process", "kill", &id]).succeeds();
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
    for (ignored, expected) in [("", 0), ("XFSZ,USR1,INT,TERM", (1 << 24) | (1 << 9) | (1 << 1))] {
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

#[test]
fn row_45_without_a_reader_signals_and_timeouts_still_count() {
    let records = "seq 3000 | sed 's/.*/{\"type\":\"Said\",\"text\":\"&                              \"}/'";
    for (stream, timeout) in [("stdout", "600"), ("stderr", "600"), ("stdout", "1")] {
        let context = TestContext::new();
        let redirect = if stream == "stdout" { "" } else { "| sed 's/Said/Warning/; s/text/message/'" };
        let hook = format!("#!/bin/sh\n{records} {redirect}\nexec sleep 600\n");
        context.script("here/plugins/p/on_E__1_a.sh", &hook);
        let mut rigup = context.start(&["run", "--timeout", timeout, "E"]);
        wait_until("the hook has written", || context.count_live("sleep 600") == 1);
        if timeout == "1" {
            wait_until("the hook was terminated", || context.count_live("sleep 600") == 0);
            let printed = rigup.wait_with_output().unwrap();
            assert_eq!(printed.status.code(), Some(1));
            let said = String::from_utf8(printed.stdout).unwrap();
            assert_eq!(said.lines().filter(|line| line.starts_with("{\"type\":\"Said\"")).count(), 3000);
        } else {
            signal(rigup.id(), Signal::SIGTERM);
            assert_eq!(rigup.wait().unwrap().signal(), Some(Signal::SIGTERM as i32), "{stream}");
        }
        assert_nothing_is_left(&context);
    }
}

/// Returns the path of a file of records for `apply`: a request that takes no time, and more others than a pipe holds.
fn many_records(context: &TestContext) -> String {
    let other = format!("{{\"type\":\"Said\",\"text\":\"{}\"}}\n", "x".repeat(1000));
    let request = "{\"type\":\"BinaryRequest\",\"name\":\"sh\",\"binproviders\":\"env\"}\n";
    let path = context.write("records", request.to_owned() + &other.repeat(200));
    path.to_str().unwrap().to_owned()
}

#[test]
fn row_45_a_signal_counts_while_rigup_waits_only_for_its_reader() {
    let commands = [("run", Signal::SIGTERM), ("run", Signal::SIGHUP), ("apply", Signal::SIGINT)];
    in_parallel(commands, |(command, number)| {
        let context = TestContext::new();
        let records = many_records(&context);
        context.script("here/plugins/p/on_E__1_a.sh", &format!("#!/bin/sh\ncat '{records}'\n"));
        let mut rigup = context.start(&[command, if command == "run" { "E" } else { &records }]);
        let stdout = rigup.stdout.take().unwrap();
        wait_until("the pipe is full", || rustix::io::ioctl_fionread(&stdout).unwrap() > 40_000);
        wait_until("the hook has exited", || {
            context.hook_processes().iter().any(|hook| hook["status"] == "exited")
        });
        signal(rigup.id(), number);
        let status = rigup.wait().unwrap();
        assert_eq!(status.signal(), Some(number as i32), "{command}: {status}");
        let process = &context.processes()[0];
        assert_eq!((&process["process_type"], &process["exit_reason"]), (&"cli".into(), &"stopped".into()));
        assert_eq!(process["exit_code"], 128 + number as i32);
        assert_nothing_is_left(&context);
    });
}

#[test]
fn row_45_each_write_to_a_pipe_has_whole_lines() {
    let context = TestContext::new();
    let record = |length: usize| format!("{{\"type\":\"Said\",\"text\":\"{}\"}}\n", "x".repeat(length));
    let lines = record(500).repeat(100) + &record(9000) + &record(500).repeat(100);
    context.write("records", &lines);
    context.script("here/plugins/p/on_E__1_a.sh", "#!/bin/sh\ncat \"$DATA_DIR/../records\"\n");
    // Each read returns what was written at once.
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_DIRECT).unwrap();
    let mut command = context.command(&["run", "E"]);
    let mut rigup = command.stdout(writer).spawn().unwrap();
    drop(command);
    // First what is written at once, and then what waits for the reader.
    wait_until("the pipe is full", || rustix::io::ioctl_fionread(&reader).unwrap() > 8_000);
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match rustix::io::read(&reader, &mut buffer).unwrap() {
            0 => break,
            count => packets.push(buffer[..count].to_vec()),
        }
    }
    assert!(rigup.wait().unwrap().success());
    assert_eq!(String::from_utf8(packets.concat()).unwrap().lines().count(), 202);
    let torn: Vec<usize> = packets.iter().filter(|packet| !packet.ends_with(b"\n")).map(Vec::len).collect();
    // Two begin the long record, and one the record of the hook, which has the end of its output.
    assert_eq!(torn, [4096; 3]);
    let has_lines = |packet: &Vec<u8>| packet.split(|byte| *byte == b'\n').nth(2).is_some();
    assert!(packets.iter().any(has_lines), "lines that wait are written together");
    assert_nothing_is_left(&context);
}

#[test]
fn row_45_rigups_that_append_to_one_file_write_whole_lines() {
    let context = TestContext::new();
    let record = format!("{{\"type\":\"Said\",\"text\":\"{}\"}}\n", "x".repeat(200_000));
    context.write("records", record.repeat(8));
    context.script("here/plugins/p/on_E__1_a.sh", "#!/bin/sh\ncat \"$DATA_DIR/../records\"\n");
    let out = context.path("out");
    let file = || File::options().append(true).create(true).open(&out).unwrap();
    let rigups: Vec<_> =
        (0..4).map(|_| context.command(&["run", "E"]).stdout(file()).spawn().unwrap()).collect();
    for mut rigup in rigups {
        assert!(rigup.wait().unwrap().success());
    }
    let text = fs::read_to_string(out).unwrap();
    let is_record = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert_eq!((text.lines().count(), text.lines().filter(is_record).count()), (36, 36));
    assert_nothing_is_left(&context);
}

/// Runs rigup in a folder that was removed.
fn run_in_removed_folder(context: &TestContext, args: &[&str]) -> CommandOutput {
    let folder = context.path("removed");
    fs::create_dir_all(&folder).unwrap();
    let script = "cd \"$0\" && rmdir \"$0\" && exec \"$@\"";
    run_by(context, &["sh", "-c", script, folder.to_str().unwrap()], args)
}

#[test]
fn row_48_commands_that_need_no_current_folder_work_in_a_removed_one() {
    let mut context = TestContext::new();
    for (folder, variable) in [("here/plugins", "RIGUP_PLUGINS_DIR"), ("here/none", "RIGUP_TRUST_DIR")] {
        context.set(variable, format!("relative:{}", context.path(folder).display()));
    }
    context.script("here/plugins/q/on_E__1_a.sh", "#!/bin/sh\npwd\n");
    let messages = "mkdir gone && cd gone && rmdir ../gone && \"$RIGUP\" post up && \"$RIGUP\" result 7";
    let run = context.run(&["start", "--slug", "s", "--", "sh", "-c", messages]).succeeds().record();
    let id = run["id"].as_str().unwrap();
    context.run(&["process", "wait", id]).succeeds();
    let shown = context.run(&["process", "show", id]).succeeds().record();
    assert_eq!((&shown["messages"][0]["text"], &shown["result"]), (&"up".into(), &7.into()));
    wait_until("the waiter has exited", || context.live_processes().is_empty());

    let commands: [&[&str]; 15] = [
        &["install", "sh"],
        &["load", "sh"],
        &["run", "E"],
        &["config"],
        &["apply"],
        &["plugin", "list"],
        &["hook", "list"],
        &["binary", "list"],
        &["binary", "show", "sh"],
        &["process", "list"],
        &["process", "show", id],
        &["process", "logs", id],
        &["machine", "show"],
        &["start", "--slug", "s", "--cwd", "/", "--", "true"],
        &["start", "--slug", "s", "--", "true"],
    ];
    for args in commands {
        let output = run_in_removed_folder(&context, args).succeeds();
        assert!(!output.stderr.contains("folder"), "{args:?}: {}", output.stderr);
    }
    run_in_removed_folder(&context, &["exec", "--", "sh", "-c", "exit 5"]).exits_with(5);
    run_in_removed_folder(&context, &["exec", "--", "none"]).exits_with(127).stderr_contains("not on PATH");
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    assert_nothing_is_left(&context);
}

#[test]
fn row_48_a_relative_path_in_a_removed_folder_is_an_error() {
    let context = TestContext::new();
    for flag in ["--data-dir", "--lib-dir", "--lib-bin-dir", "--plugins-dir"] {
        let failed = run_in_removed_folder(&context, &[flag, "data", "load", "sh"]).exits_with(3);
        failed
            .stderr_contains("cannot use data: the path is relative, and the current folder does not exist");
    }
    let start = ["start", "--slug", "s", "--cwd", "here", "--", "true"];
    let failed = run_in_removed_folder(&context, &start).exits_with(3);
    failed.stderr_contains("change to an existing folder, or use an absolute path");
}
