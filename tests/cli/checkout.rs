//! A checkout that belongs to another user, or that others can write to, as in containers and CI jobs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::kernel;
use crate::test_context::{CommandOutput, TestContext};
use crate::trust::{context, set_mode};

/// Returns the command in the last advice of a message.
fn advised_command(stderr: &str) -> String {
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let (_, rest) = errors.last().unwrap().split_once('`').unwrap();
    rest.split_once('`').unwrap().0.to_owned()
}

/// As GitLab's docker executor leaves a checkout, and as it is in a container that another user runs in.
#[test]
fn the_advice_about_a_checkout_works_at_once() {
    let checkout = |context: &TestContext| {
        context.run(&["lock"]).succeeds();
        context.write("here/rigup.toml", "");
        context.write("here/plugins/q/binaries.jsonl", "");
        fs::remove_dir_all(context.path("data")).unwrap();
    };
    let open = |context: &TestContext| {
        let command = format!("chmod -R a+rwX {}", context.path("here").display());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    };
    let give_away = |context: &TestContext| {
        let mut chown = Command::new("chown");
        chown.args(["-R", "12345:12345"]).arg(context.path("here"));
        assert!(chown.status().unwrap().success());
    };
    for (is_ci, is_foreign, is_open) in
        [(true, false, true), (true, true, true), (false, false, true), (false, true, false)]
    {
        if is_foreign && !kernel::is_root() {
            continue; // only root can give files away
        }
        let mut context = context();
        checkout(&context);
        if is_open {
            open(&context);
        }
        if is_foreign {
            give_away(&context);
        }
        if is_ci {
            context.set("CI", "true");
        }
        let here = context.path("here").display().to_string();
        let untrusted = context.run(&["install", "--locked"]).exits_with(3);
        let command = advised_command(&untrusted.stderr);
        let expected = match (is_ci, is_foreign) {
            (false, false) => format!("chmod -R o-w {here}"),
            _ => format!("export RIGUP_TRUST_DIR={here}"),
        };
        assert_eq!(command, expected, "{}", untrusted.stderr);
        let script = format!("{command} && \"$0\" install --locked && \"$0\" load && \"$0\" lock --check");
        let rigup = env!("CARGO_BIN_EXE_rigup");
        let output = context.command_for(Path::new("/bin/sh"), &["-c", &script, rigup]).output().unwrap();
        CommandOutput::new(&["install"], &output).succeeds();
    }
}

#[test]
fn the_advice_in_ci_keeps_what_is_trusted_already() {
    let mut context = context();
    let elsewhere = context.write("elsewhere/q/binaries.jsonl", "");
    for path in ["elsewhere", "here/plugins"] {
        set_mode(&context.path(path), 0o777);
    }
    let elsewhere = elsewhere.parent().unwrap().parent().unwrap().display().to_string();
    context.set("CI", "true").set("RIGUP_TRUST_DIR", &elsewhere).set("RIGUP_PLUGINS_DIR", &elsewhere);
    let untrusted = context.run(&["install"]).exits_with(1);
    let command = advised_command(&untrusted.stderr);
    let here = context.path("here").display().to_string();
    assert_eq!(command, format!("export RIGUP_TRUST_DIR=\"$RIGUP_TRUST_DIR\":{here}"));
    let script = format!("{command} && \"$0\" install");
    let rigup = env!("CARGO_BIN_EXE_rigup");
    let output = context.command_for(Path::new("/bin/sh"), &["-c", &script, rigup]).output().unwrap();
    CommandOutput::new(&["install"], &output).succeeds();
}
