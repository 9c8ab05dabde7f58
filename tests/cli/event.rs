//! `rigup run`: the foreground and background hooks of an event.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bash_and_node::put_only_on_path;
use crate::test_context::{CommandOutput, TestContext, died_of, signal, wait_until};

/// Creates hooks of the plugin `p`, each from a file name without `on_E__` and a shell script.
pub(crate) fn context_with(hooks: &[(&str, &str)]) -> TestContext {
    let context = TestContext::new();
    for (name, body) in hooks {
        context.script(&format!("here/plugins/p/on_E__{name}"), &format!("#!/bin/sh\n{body}\n"));
    }
    context
}

/// A daemon that prints a record when it starts and another one on TERM.
pub(crate) const DAEMON: &str = "trap 'echo \"{\\\"type\\\":\\\"Bye\\\"}\"; exit 0' TERM\n\
    echo '{\"type\":\"Hello\"}'\nwhile :; do sleep 600 & wait $!; done";

/// Returns a shell command that prints a record.
fn record(kind: &str, n: usize) -> String {
    format!("echo '{{\"type\":\"{kind}\",\"n\":{n}}}'")
}

/// Returns the printed records in order: `HOOK=EXIT_CODE` for a process, and the type for any other record.
fn printed(output: &CommandOutput) -> Vec<String> {
    let format = |record: &Value| match record["type"].as_str().unwrap() {
        "Process" => format!("{}={}", record["hook_name"].as_str().unwrap(), record["exit_code"]),
        other => other.to_owned(),
    };
    output.records().iter().map(format).collect()
}

#[test]
fn runs_foreground_hooks_in_order_and_continues_after_a_failure() {
    let context =
        context_with(&[("10_b.sh", &record("B", 1)), ("2_a.sh", "exit 3"), ("30_c.sh", &record("C", 1))]);
    let output = context.run(&["run", "E"]).exits_with(1).stderr_contains("error: p/on_E__2_a.sh: exit 3");
    assert_eq!(printed(&output), ["on_E__2_a.sh=3", "B", "on_E__10_b.sh=0", "C", "on_E__30_c.sh=0"]);
    assert!(context.processes().iter().all(|process| process["status"] == "exited"), "each exit is stored");
}

#[test]
fn resolves_the_shim_of_a_version_manager_once_for_all_hooks() {
    let mut context = TestContext::new();
    let real = fs::canonicalize("/usr/bin/python3").unwrap();
    let shim =
        format!("#!/bin/sh\npwd >>{}\nexec {} \"$@\"\n", context.path("log").display(), real.display());
    context.script("shims/python3", &shim);
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("shims").display()));
    for (n, shebang) in ["", "#!/usr/bin/env python3\n", ""].iter().enumerate() {
        context.script(
            &format!("here/plugins/p/on_E__{n}_a.py"),
            &format!("{shebang}print('{{\"type\":\"A\"}}')\n"),
        );
    }
    let output = context.run(&["run", "E"]).succeeds();
    assert_eq!(output.records().iter().filter(|record| record["type"] == "A").count(), 3);
    let starts = fs::read_to_string(context.path("log")).unwrap();
    assert_eq!(starts, "/\n", "no version file of the current folder counts");
    for hook in context.hook_processes() {
        let program = fs::canonicalize(hook["cmd"][0].as_str().unwrap()).unwrap();
        assert_eq!(program, real, "the record has the real program: {hook}");
    }
}

#[test]
fn adds_plugin_and_hook_name_to_records_that_lack_them() {
    let context = context_with(&[(
        "1_a.sh",
        "echo '{\"type\":\"A\"}'; echo '{\"type\":\"A\",\"plugin\":\"mine\"}'; echo noise; printf '{\"type\":\"Last\"}'",
    )]);
    let records = context.run(&["run", "E"]).succeeds().records();
    assert_eq!(records[0]["plugin"], "p");
    assert_eq!(records[0]["hook_name"], "on_E__1_a.sh");
    assert_eq!(records[1]["plugin"], "mine");
    assert_eq!(records[2]["type"], "Last");
    assert_eq!(records[3]["type"], "Process");
}

#[test]
fn hooks_receive_the_arguments_unchanged_and_run_in_their_own_folder() {
    let context = context_with(&[("1_a.sh", "printf '%s\\n' \"$@\" >args; pwd >&2")]);
    let out = context.path("here/out");
    let arguments = ["--timeout=never", "--a_b= x\n'y\" $(z)_", "--json", "--n=0"];
    context.run(&[&["run", "--output-dir", "out", "EEvent"], &arguments[..]].concat()).succeeds();
    let expected = "--timeout=never\n--a-b= x\n'y\" $(z)_\n--json\n--n=0\n";
    assert_eq!(fs::read_to_string(out.join("p/args")).unwrap(), expected);
    context.run(&["run", "E", "url=x"]).exits_with(2).stderr_contains("write --key=value");
    context
        .run(&["run", "--url=x", "E"])
        .exits_with(2)
        .stderr_contains("put arguments for hooks after the event");
}

#[test]
fn a_binary_request_without_providers_asks_no_open_registry() {
    let mut context = TestContext::new();
    // Without the package managers of this machine.
    put_only_on_path(&mut context, &["sh"]);
    let hook = "#!/bin/sh\nprintf '{\"type\":\"Asked\",\"arguments\":\"%s\"}\\n' \"$*\"\n";
    for provider in ["env", "npm", "pip", "brew", "apt"] {
        context.provider(provider, hook);
    }
    let arguments = |args: &[&str]| {
        let records = context.run(&[&["run", "BinaryRequest"], args].concat()).records();
        records.iter().find(|record| record["type"] == "Asked").unwrap()["arguments"].clone()
    };
    assert_eq!(arguments(&["--name=x"]), "--name=x --binproviders=apt,brew,env");
    assert_eq!(arguments(&["--name=x", "--binproviders=npm"]), "--name=x --binproviders=npm");
}

#[test]
fn prints_the_records_that_a_daemon_writes_on_term() {
    let context = context_with(&[("1_d.daemon.bg.sh", DAEMON), ("2_a.sh", &record("A", 1))]);
    let output = context.run(&["run", "E"]).succeeds();
    assert_eq!(printed(&output), ["Hello", "A", "on_E__2_a.sh=0", "Bye", "on_E__1_d.daemon.bg.sh=0"]);
    let daemon = &context.hook_processes()[0];
    assert_eq!((&daemon["exit_reason"], &daemon["status"]), (&"stopped".into(), &"exited".into()));
    assert_eq!(context.live_processes(), []);
}

#[test]
fn a_daemon_that_exits_on_term_succeeds_and_one_that_must_be_killed_fails() {
    let context = context_with(&[("1_d.bg.sh", "echo up; exec sleep 600")]);
    context.run(&["run", "E"]).succeeds();
    assert_eq!(context.hook_processes()[0]["exit_code"], 143);
    let skip = "trap 'exit 10' TERM; echo up; while :; do sleep 600 & wait $!; done";
    let context = context_with(&[("1_d.bg.sh", skip)]);
    context.run(&["run", "E"]).succeeds();
    assert_eq!(context.run(&["process", "list", "--failed"]).succeeds().stdout, "");
    let context = context_with(&[("1_d.bg.sh", "trap '' TERM; echo up; while :; do sleep 600; done")]);
    context.run(&["run", "E"]).exits_with(1).stderr_contains("stopped (137)");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn waits_for_finite_hooks_and_records_their_exit_codes() {
    let context = context_with(&[
        (
            "1_f.finite.bg.sh",
            "echo started; until [ -e \"$DATA_DIR/go\" ]; do :; done; echo '{\"type\":\"F\"}'; exit 7",
        ),
        ("2_a.sh", "touch \"$DATA_DIR/go\""),
    ]);
    let output = context.run(&["run", "E"]).exits_with(1);
    assert_eq!(printed(&output), ["on_E__2_a.sh=0", "F", "on_E__1_f.finite.bg.sh=7"]);
}

#[test]
fn waits_for_the_first_line_of_a_background_hook() {
    let context = context_with(&[
        (
            "1_d.bg.sh",
            "until [ -e \"$DATA_DIR/go\" ]; do :; done; touch \"$DATA_DIR/up\"; echo up; exec sleep 600",
        ),
        ("2_a.sh", "[ -e \"$DATA_DIR/up\" ]"),
    ]);
    let child = context.start(&["run", "E"]);
    wait_until("the daemon runs", || {
        context.path("data/events").exists() && context.live_processes().len() >= 3
    });
    assert_eq!(context.hook_processes().len(), 1, "the next hook has no record yet");
    fs::write(context.path("data/go"), "").unwrap();
    CommandOutput::new(&["run", "E"], &child.wait_with_output().unwrap()).succeeds();
}

#[test]
fn waits_no_longer_than_the_ready_timeout_or_the_exit_of_the_hook() {
    let context = context_with(&[("1_d.bg.sh", "exec sleep 600"), ("2_a.sh", &record("A", 1))]);
    let output = context.run(&["run", "--ready-timeout", "0", "E"]).exits_with(1).stderr_contains(
        "warning: p/on_E__1_d.bg.sh: it was not ready: it did not print a line within 0 s\n",
    );
    assert_eq!(printed(&output)[0], "A");
    let context = context_with(&[("1_f.finite.bg.sh", "exit 0"), ("2_a.sh", &record("A", 1))]);
    let began = std::time::Instant::now();
    context.run(&["run", "E"]).succeeds();
    assert!(began.elapsed().as_secs() < 25, "rigup does not wait for a hook that has exited");
}

#[test]
fn the_ready_timeout_option_overrides_the_timeout_of_the_plugin() {
    let context = context_with(&[("1_d.bg.sh", "exec sleep 600")]);
    let schema = r#"{"type": "object", "properties": {"P_TIMEOUT": {"type": "integer", "default": 60}}}"#;
    context.write("here/plugins/p/config.json", schema);
    let began = std::time::Instant::now();
    let output = context.run(&["run", "--ready-timeout", "0.1", "E"]).exits_with(1);
    output.stderr_contains("it was not ready");
    assert!(began.elapsed().as_secs() < 25);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn exit_code_10_of_a_hook_is_a_skip_and_no_failure() {
    let context = context_with(&[("1_a.sh", "exit 10"), ("2_b.finite.bg.sh", "echo no feed >&2; exit 10")]);
    let output = context.run(&["run", "--junit", "j.xml", "--show-logs", "E"]).succeeds();
    assert!(output.stderr.contains("\n0 of 2 hooks succeeded, 2 skipped in "), "{}", output.stderr);
    assert!(output.stderr.contains("no feed\n"), "a hook that ran has a log: {}", output.stderr);
    let junit = fs::read_to_string(context.path("here/j.xml")).unwrap();
    assert!(junit.contains(" failures=\"0\" errors=\"0\" skipped=\"2\" "), "{junit}");
    for reason in ["exit code 10", "no feed"] {
        assert!(junit.contains(&format!("<skipped message=\"{reason}\"/>")), "{junit}");
    }
    context.run(&["report", "--html", "r.html"]).succeeds();
    let page = fs::read_to_string(context.path("here/r.html")).unwrap();
    assert_eq!(page.matches("<div class=\"bar skipped").count(), 2, "{page}");
    assert!(
        context.hook_processes().iter().all(|hook| hook["state"] == "finished" && hook["exit_code"] == 10)
    );
}

#[test]
fn a_hook_that_cannot_be_started_fails_and_the_others_run() {
    let context = TestContext::new();
    for name in ["1_a.sh", "2_b.finite.bg.sh"] {
        context.script(&format!("here/plugins/p/on_E__{name}"), "#!/no/such/interpreter\n");
    }
    context.script("here/plugins/p/on_E__3_c.sh", "#!/bin/sh\necho '{\"type\":\"C\"}'\n");
    let output = context.run(&["run", "E"]).exits_with(1).stderr_contains("which does not exist");
    let mut printed = printed(&output);
    // Nothing waits for a finite hook before the end.
    printed.sort();
    assert_eq!(printed, ["C", "on_E__1_a.sh=null", "on_E__2_b.finite.bg.sh=null", "on_E__3_c.sh=0"]);
}

#[test]
fn the_hooks_before_one_without_a_folder_run() {
    let context = context_with(&[("1_a.sh", &record("A", 1)), ("3_c.sh", &record("C", 3))]);
    context.script("here/plugins/q/on_E__2_b.sh", "#!/bin/sh\n");
    context.write("here/out/q", "a file in the place of the hook's folder");
    let output = context
        .run(&["run", "--output-dir", "out", "E"])
        .exits_with(3)
        .stderr_contains("here/out: cannot create the folder")
        .stderr_contains("cannot use the output dir ");
    assert_eq!(printed(&output), ["A", "on_E__1_a.sh=0"]);
    assert_eq!(context.hook_processes().len(), 1);
}

#[test]
fn the_timeout_option_overrides_the_plugins_timeout_and_the_default() {
    let hang = [("1_a.sh", "exec sleep 600"), ("2_b.finite.bg.sh", "echo up; exec sleep 600")];
    let mut context = context_with(&hang);
    let timeouts = |context: &TestContext| -> Vec<Value> {
        context.hook_processes().iter().map(|hook| hook["timeout"].clone()).collect()
    };
    context.run(&["run", "--timeout", "1", "E"]).exits_with(1).stderr_contains(": timed out after 1 s (143)");
    assert_eq!(timeouts(&context), [1, 1]);
    assert!(context.hook_processes().iter().all(|hook| hook["exit_reason"] == "timeout"));
    context.set("P_TIMEOUT", "2").set("TIMEOUT", "600");
    context.run(&["run", "E"]).exits_with(1);
    assert_eq!(timeouts(&context), [1, 1, 2, 2]);
    context.set("P_TIMEOUT", "0");
    context.run(&["run", "E"]).exits_with(3).stderr_contains("P_TIMEOUT=0 is not a timeout");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn runs_only_selected_plugins_and_accepts_an_event_without_hooks() {
    let context = context_with(&[("1_a.sh", &record("A", 1))]);
    context.script("here/plugins/other/on_E__1_o.sh", "#!/bin/sh\necho '{\"type\":\"O\"}'\n");
    let output = context.run(&["run", "--plugins", "other", "E"]).succeeds();
    assert_eq!(printed(&output), ["O", "on_E__1_o.sh=0"]);
    context
        .run(&["run", "--plugins", "nosuch", "E"])
        .exits_with(3)
        .stderr_contains("there is no plugin named nosuch");
    let nothing = context
        .run(&["run", "Nothing"])
        .succeeds()
        .stderr_contains("no hooks found for the event Nothing in ")
        .stderr_contains("/here/plugins or /")
        .stderr_contains("/here/providers; `rigup hook list` shows the hooks\n");
    assert_eq!(nothing.stdout, "");
    context.run(&["run", "../x"]).exits_with(2);
}

#[test]
fn without_a_plugin_folder_an_event_has_one_error() {
    let context = TestContext::new();
    let output = context.run(&["run", "Snapshot"]).exits_with(3);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    output.stderr_contains("error: there is no plugin folder at ");
}

#[test]
fn an_interrupt_terminates_all_hooks_and_starts_no_other() {
    let context = context_with(&[
        ("1_d.bg.sh", DAEMON),
        ("2_f.finite.bg.sh", "echo up; exec sleep 600"),
        ("3_a.sh", "exec sleep 600"),
        ("4_b.sh", "touch \"$DATA_DIR/started\""),
        ("5_c.sh", "touch \"$DATA_DIR/started\""),
    ]);
    let child = context.start(&["run", "E"]);
    wait_until("the last hook runs", || context.count_live("sleep") == 3);
    signal(child.id(), Signal::SIGINT);
    let output = CommandOutput::new(&["run"], &child.wait_with_output().unwrap()).dies_of(Signal::SIGINT);
    assert!(printed(&output).contains(&"Bye".to_owned()));
    assert_eq!(context.live_processes(), []);
    assert!(!context.path("data/started").exists());
    assert!(
        context.processes().iter().all(|process| process["exit_reason"] == "stopped"),
        "{:?}",
        context.processes()
    );
}

#[test]
fn a_second_interrupt_kills_background_hooks_at_once() {
    let context = context_with(&[("1_f.finite.bg.sh", "trap '' TERM; echo up; while :; do sleep 600; done")]);
    let mut child = context.start(&["run", "E"]);
    wait_until("the hook runs", || context.count_live("sleep") > 0);
    let began = std::time::Instant::now();
    // The kernel may deliver two pending signals as one.
    wait_until("rigup has exited", || {
        signal(child.id(), Signal::SIGINT);
        child.try_wait().unwrap().is_some()
    });
    assert!(died_of(child.wait().unwrap(), Signal::SIGINT));
    assert!(began.elapsed() < rigup::internal::GRACE, "the second interrupt cuts the grace period short");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn terminates_a_hook_whose_waiter_was_killed_after_the_event() {
    let context = context_with(&[
        ("1_d.bg.sh", "echo up; exec sleep 600"),
        ("2_a.sh", "until [ -e \"$DATA_DIR/go\" ]; do :; done"),
    ]);
    let child = context.start(&["run", "E"]);
    wait_until("both hooks run", || context.hook_processes().len() == 2);
    let waiter =
        context.live_processes().into_iter().find(|(_, command)| command.contains(" waiter ")).unwrap().0;
    signal(waiter, Signal::SIGKILL);
    fs::write(context.path("data/go"), "").unwrap();
    CommandOutput::new(&["run"], &child.wait_with_output().unwrap()).exits_with(1).stderr_contains("lost");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn prints_the_records_of_a_hook_that_kills_its_waiter_at_once() {
    let hook = format!("trap '' TERM\nkill -9 $PPID\n{}", record("A", 1));
    let context = context_with(&[("1_f.finite.bg.sh", &hook)]);
    let output = context.run(&["run", "E"]).exits_with(1);
    assert_eq!(printed(&output), ["A", "on_E__1_f.finite.bg.sh=null"]);
    assert_eq!(context.hook_processes()[0]["exit_reason"], "lost");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn runs_the_remaining_hooks_after_the_reader_closes_stdout() {
    let context = context_with(&[("1_a.sh", &record("A", 1)), ("2_b.sh", "touch \"$DATA_DIR/ran\"; exit 1")]);
    let mut child = context.start(&["run", "E"]);
    drop(child.stdout.take());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(1));
    assert!(context.path("data/ran").exists());
}

#[test]
fn a_rigup_that_a_hook_calls_finds_the_same_plugins() {
    let context = TestContext::new();
    context.script("elsewhere/q/on_E__1_a.sh", "#!/bin/sh\n\"$RIGUP\" run F\n");
    context.script("elsewhere/q/on_F__1_b.sh", "#!/bin/sh\necho '{\"type\":\"F\"}'\n");
    let dir = context.path("elsewhere");
    let output = context.run(&["--plugins-dir", dir.to_str().unwrap(), "run", "E"]).succeeds();
    assert_eq!(printed(&output)[0], "F");
}

#[test]
fn quiet_hides_no_warning_about_the_output_of_a_hook() {
    let context = context_with(&[("1_a.sh", "echo '{\"type\":\"Cut'\n")]);
    let output = context.run(&["run", "-q", "E"]).succeeds();
    output.stderr_contains("warning: ").stderr_contains("line 1 is not JSON");
}

#[test]
fn an_output_dir_that_cannot_be_used_is_named() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_E__1_a.sh", "#!/bin/sh\n");
    let output = context.run(&["run", "--output-dir", "/dev/null", "E"]).exits_with(3);
    output.stderr_contains("cannot use the output dir /dev/null: cannot create the folder /dev/null/p: ");
}
