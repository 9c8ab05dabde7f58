//! `rigup process logs`: headings, several processes, names of binaries, failures and terminals.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::appearance::run_on_terminal;
use crate::test_context::TestContext;

impl TestContext {
    /// Starts a run of a script, waits until its logs are complete, and returns its id.
    fn run_of_script(&self, script: &str) -> String {
        let id = self.start_run(&["--slug", "s"], script);
        self.wait_for_waiters();
        id
    }

    /// Returns what `rigup logs` shows on a terminal.
    fn logs_on_terminal(&self, args: &[&str]) -> String {
        let rigup = Path::new(env!("CARGO_BIN_EXE_rigup"));
        run_on_terminal(self, 80, rigup, &[&["logs"], args].concat())
    }
}

#[test]
fn logs_that_a_program_reads_are_exactly_what_was_written() {
    let context = TestContext::new();
    let id = context.run_of_script("printf '\\033[2J\\000\\377\\r1'; printf '\\033]0;x\\007e' >&2");
    let output = context.command(&["logs", &id]).output().unwrap();
    assert_eq!(output.stdout, b"\x1b[2J\0\xff\r1\x1b]0;x\x07e");
    assert_eq!(output.stderr, b"");
}

#[test]
fn headings_are_shown_on_a_terminal_if_both_logs_have_lines() {
    let context = TestContext::new();
    let both = context.run_of_script("printf out; printf err >&2");
    assert_eq!(context.logs_on_terminal(&[&both]), "==> stdout <==\nout\n==> stderr <==\nerr\n");
    assert_eq!(context.logs_on_terminal(&[&both, "-f"]), "==> stdout <==\nout\n==> stderr <==\nerr\n");
    assert_eq!(context.logs_on_terminal(&[&both, "--stream", "stderr"]), "err\n");
    let one = context.run_of_script("echo out");
    assert_eq!(context.logs_on_terminal(&[&one]), "out\n");
    let none = context.run_of_script("exit 0");
    let expected = format!("process {} wrote nothing\n", &none[28..]);
    assert_eq!(context.logs_on_terminal(&[&none]), expected);
    assert_eq!(context.run(&["logs", &none]).succeeds().stderr, expected);
}

#[test]
fn escapes_do_not_reach_a_terminal_but_colors_do() {
    let context = TestContext::new();
    let script =
        "printf '\\033]0;title\\007\\033[31mred\\033[2J\\302\\23331m \\342\\200\\256x\\n50%%\\r100%%\\n'";
    let id = context.run_of_script(script);
    let text = "\u{fffd}]0;title\u{fffd}red\u{fffd}[2J\u{fffd}31m \u{fffd}x\n50%\n100%\n";
    assert_eq!(context.logs_on_terminal(&[&id]), text);
    let colored = text.replace("red", "\u{1b}[31mred") + "\u{1b}[0m";
    assert_eq!(context.logs_on_terminal(&[&id, "--color", "always"]), colored);
}

#[test]
fn several_processes_have_a_heading_each_and_an_unknown_one_is_reported() {
    let context = TestContext::new();
    let first = context.run_of_script("printf one");
    let second = context.run_of_script("echo two; echo err >&2");
    let output = context.run(&["logs", &first, "ffffffff", &second, &first]).exits_with(1);
    assert_eq!(output.stdout, "onetwo\nerr\n");
    let [unknown, one, two] = &output.stderr.lines().collect::<Vec<_>>()[..] else {
        panic!("{}", output.stderr)
    };
    assert_eq!(
        *unknown,
        "error: no process has the id ffffffff, and no daemon or binary has that name; `rigup process list` shows the ids"
    );
    assert_eq!(*one, format!("==> {} s: sh -c printf one <==", &first[28..]));
    assert_eq!(*two, format!("==> {} s: sh -c echo two; echo err >&2 <==", &second[28..]));
    let screen = context.logs_on_terminal(&[&first, &second]);
    let (one, two) = (&first[28..], &second[28..]);
    assert_eq!(
        screen,
        format!(
            "==> {one} s: sh -c printf one: stdout <==\none\n==> {two} s: sh -c echo two; echo err >&2: stdout <==\ntwo\n\
             ==> {two} s: sh -c echo two; echo err >&2: stderr <==\nerr\n"
        )
    );
}

#[test]
fn the_name_of_a_binary_means_its_last_attempt() {
    let context = TestContext::new();
    context.fixture("good");
    context.provider("bad", "#!/bin/sh\necho \"no $*\" >&2\nexit 3\n");
    context.run(&["install", "fd", "--binproviders", "good,bad"]).succeeds();
    let good = context.run(&["logs", "fd"]).succeeds();
    assert!(good.stdout.contains("\"name\":\"fd\""), "{}", good.stdout);
    context.run(&["install", "--force", "fd", "--binproviders", "bad"]).exits_with(1);
    assert!(context.run(&["logs", "fd"]).succeeds().stdout.starts_with("no --name=fd"));
    // An attempt that starts no process has no log.
    context.store().execute("UPDATE attempt SET process_id = NULL WHERE provider = 'bad'", ()).unwrap();
    let earlier =
        context.run(&["logs", "fd"]).succeeds().stderr_contains("the last attempt at fd (bad failed)");
    assert_eq!(earlier.stdout, good.stdout);
    context.run(&["binary", "create", "--name", "sh", "--abspath", "/bin/sh"]).succeeds();
    context.run(&["logs", "sh"]).exits_with(1).stderr_contains("no hook was run for sh");
    context.run(&["logs", "nosuch"]).exits_with(1).stderr_contains("no daemon or binary has that name");
}

#[test]
fn shows_the_logs_of_what_failed_in_the_last_command() {
    let context = TestContext::new();
    context.run(&["logs", "--failed"]).exits_with(1).stderr_contains("no command that ran hooks is recorded");
    context.fixture("good");
    context.provider("bad", "#!/bin/sh\necho \"bad $1\" >&2\nexit 3\n");
    context.provider("wrong", "#!/bin/sh\necho '{\"type\":\"Binary\",\"name\":\"other\"}'\n");
    context.plugin(
        "p",
        &[
            json!({"type": "Binary", "name": "one", "binproviders": "bad,good"}),
            json!({"type": "Binary", "name": "two", "binproviders": "wrong,bad"}),
        ],
    );
    context.run(&["install", "-j", "1"]).exits_with(1);
    context.run(&["exec", "--", "false"]).exits_with(1);
    let failed = context.run(&["logs", "--failed"]).succeeds();
    assert_eq!(failed.stdout, "bad --name=one\n{\"type\":\"Binary\",\"name\":\"other\"}\nbad --name=two\n");
    assert_eq!(failed.stderr.matches("==> ").count(), 3, "{}", failed.stderr);
    context.run(&["install", "one", "--force", "--binproviders", "good"]).succeeds();
    let none = context.run(&["logs", "--failed"]).succeeds();
    assert_eq!(none.stdout, "");
    assert!(none.stderr.starts_with("no process failed in `"), "{}", none.stderr);
    context.run(&["logs", "--failed", "one"]).exits_with(2);
    context.run(&["process", "logs"]).exits_with(2);
}

#[test]
fn following_ends_for_a_process_whose_exit_nobody_will_record() {
    let context = TestContext::new();
    for status in ["queued", "running"] {
        let id = context.run_of_script("echo one");
        let run_dir = context.show(&id)["run_dir"].as_str().unwrap().to_owned();
        fs::remove_file(format!("{run_dir}/exit.json")).unwrap();
        let started = if status == "queued" {
            "pid = NULL, start_ticks = NULL, boot_id = NULL, started_at = NULL, "
        } else {
            ""
        };
        let lost = format!(
            "UPDATE process SET {started} status = '{status}', ended_at = NULL, exit_code = NULL, exit_reason = NULL WHERE id = ?1"
        );
        context.store().execute(&lost, [&id]).unwrap();
        assert_eq!(context.run(&["logs", "-f", &id]).succeeds().stdout, "one\n", "{status}");
    }
}
