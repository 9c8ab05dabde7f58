//! Commands in messages, which work when they are pasted.

use serde_json::json;

use crate::test_context::{CommandOutput, TestContext};
use crate::unreadable_records::PROVIDER;

/// Returns the last command in backquotes in what a command printed to stderr.
fn hint(output: &CommandOutput) -> String {
    output.stderr.split('`').nth_back(1).unwrap().to_owned()
}

/// Runs a command of a message as a shell does.
fn paste(context: &TestContext, command: &str) {
    let rigup = env!("CARGO_BIN_EXE_rigup");
    let script = format!("rigup() {{ {rigup} \"$@\"; }}; {command}");
    let output = context.command_for("/bin/sh".as_ref(), &["-c", &script]).output().unwrap();
    CommandOutput::new(&[command], &output).succeeds();
}

fn context() -> TestContext {
    let context = TestContext::new();
    context
        .provider("p", PROVIDER)
        .plugin("one", &[json!({"type": "Binary", "name": "a", "binproviders": "p"})]);
    context
}

#[test]
fn a_hint_about_another_lock_file_names_it() {
    let commands: [&[&str]; 4] = [
        &["lock", "--check", "--lockfile", "no lock"],
        &["install", "--locked", "--lockfile", "no lock"],
        &["upgrade", "--lock", "--lockfile", "no lock"],
        &["install", "a", "--locked", "--lockfile", "no lock"],
    ];
    for (args, has_file) in commands.into_iter().zip([false, false, false, true]) {
        let context = context();
        context.run(&["install"]).succeeds();
        if has_file {
            context.write("here/no lock", "{\"type\":\"Lockfile\",\"version\":1}\n");
        }
        let output = context.run(args);
        assert_ne!(output.code, Some(0), "{args:?}");
        let command = hint(&output);
        assert!(command.starts_with("rigup lock --lockfile 'no lock'"), "{args:?}: {command}");
        paste(&context, &command);
        assert!(!context.path("here/rigup.lock").exists(), "{args:?}");
        context.run(args).succeeds();
    }
}

#[test]
fn an_upgrade_says_how_to_update_the_lock_file_that_it_was_given() {
    let context = context();
    context.run(&["lock", "--lockfile", "l2.lock"]).succeeds();
    context.provider("p", &PROVIDER.replace("echo 1.0", "echo 2.0"));
    let output = context.run(&["upgrade", "a", "--lockfile", "l2.lock"]).succeeds();
    assert_eq!(hint(&output), "rigup upgrade --lock --lockfile l2.lock a");
    paste(&context, &hint(&output));
    context.run(&["lock", "--check", "--lockfile", "l2.lock"]).succeeds();
}

#[test]
fn a_hint_to_install_a_binary_is_what_an_install_accepts() {
    let context = context();
    let unknown = context.run(&["which", "nosuch:b"]).exits_with(1);
    let problem = "there is no provider nosuch; `rigup hook list BinaryRequest` shows all providers";
    assert_eq!(unknown.stderr, format!("error: cannot find nosuch:b: {problem}\n"));
    for (args, command) in [
        (["which", "p:b"], "rigup install p:b"),
        (["upgrade", "p:c@1.0"], "rigup install p:c@1.0"),
        (["upgrade", "p:d"], "rigup install p:d"),
    ] {
        let output = context.run(&args).exits_with(1);
        assert_eq!(hint(&output), command);
        paste(&context, command);
        context.run(&args).succeeds();
    }
}

#[test]
fn an_id_that_is_empty_is_shown_as_a_shell_writes_it() {
    let context = context();
    context.run(&["install"]).succeeds();
    let replay = context.run(&["process", "replay", ""]).exits_with(1);
    replay.stderr_contains("no process has the id ''; `rigup process list`");
}
