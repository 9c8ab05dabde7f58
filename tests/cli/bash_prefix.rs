//! What the provider bash does to a prefix that has an earlier version.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::bash_and_node::{INSTALL, lib, names_in, require_with_command};
use crate::test_context::{TestContext, signal, wait_until};

#[test]
fn a_published_requirement_may_use_the_python_of_abxpkg_and_state_a_page() {
    let context = TestContext::new();
    let install = r##""$ABXPKG_PYTHON" -c 'print("#!/bin/sh"); print("echo 1.5")' >"$BIN_DIR/x" && chmod +x "$BIN_DIR/x""##;
    let overrides =
        json!({"bash": {"install": install, "install_args": ["x@1.5"], "docs_url": "https://x.example"}});
    let line = json!({"type": "Binary", "name": "x", "binproviders": "env,bash", "overrides": overrides});
    context.plugin("p", &[line]);
    assert_eq!(context.run(&["install"]).succeeds().record()["version"], "1.5");
}

#[test]
fn two_bash_commands_can_share_a_prefix() {
    let context = TestContext::new();
    let line = |name: &str, command: &str| {
        let overrides = json!({"bash": {"install": command, "install_root": "both"}});
        json!({"type": "Binary", "name": name, "binproviders": "bash", "overrides": overrides})
    };
    context.plugin("p", &[line("x", INSTALL), line("y", "[ -x bin/x ]; cp bin/x bin/y; touch of-y")]);
    context.run(&["install", "x"]).succeeds();
    context.run(&["install", "y"]).succeeds();
    assert_eq!(names_in(&lib(&context, "bash/both")), ["bin", "made-here", "of-y"]);
    context.plugin("p", &[line("x", "rm -rf ./*; false"), line("y", "true")]);
    context.run(&["install", "x", "--force"]).exits_with(1);
    assert_eq!(names_in(&lib(&context, "bash/both/bin")), ["x", "y"]);
    let half = lib(&context, "bash/both.part/half");
    context.plugin("p", &[line("x", "rm -rf bin/y; touch half; exec tail -f /dev/null"), line("y", "true")]);
    let rigup = context.start(&["install", "x", "--force"]);
    wait_until("the command has created a file", || half.exists());
    context.kill_all(rigup);
    assert!(Command::new(context.bin("y")).status().unwrap().success(), "the other binary still runs");
    context.plugin("p", &[line("x", INSTALL), line("y", "true")]);
    context.run(&["install", "x", "--force"]).succeeds();
    assert_eq!(names_in(&lib(&context, "bash/both")), ["bin", "made-here", "of-y"]);
    assert_eq!(names_in(&lib(&context, "bash")), ["both"]);
}

#[test]
fn a_terminated_or_killed_bash_command_leaves_no_partial_installation() {
    let context = TestContext::new();
    require_with_command(&context, INSTALL);
    context.run(&["install"]).succeeds();
    let start = || {
        require_with_command(&context, &format!("{INSTALL}; touch half; exec tail -f /dev/null"));
        let rigup = context.start(&["install", "--force"]);
        wait_until("the command has created a file", || lib(&context, "bash/x.part/half").exists());
        rigup
    };
    let mut rigup = start();
    signal(rigup.id(), Signal::SIGTERM);
    rigup.wait().unwrap();
    assert_eq!(context.live_processes(), []);
    assert_eq!(names_in(&lib(&context, "bash")), ["x"]);
    assert_eq!(names_in(&lib(&context, "bash/x")), ["bin", "made-here"], "the earlier version is restored");

    let rigup = start();
    let runs = || Command::new(context.bin("x")).output().is_ok_and(|output| output.stdout == b"x 1.5\n");
    assert!(runs(), "the earlier version runs meanwhile");
    context.kill_all(rigup);
    assert!(runs(), "the earlier version runs after a kill");
    context.run(&["uninstall", "--orphaned", "--yes"]).succeeds();
    assert!(runs());
    assert_eq!(names_in(&lib(&context, "bash")), ["x"]);
    require_with_command(&context, INSTALL);
    context.run(&["install", "--force"]).succeeds();
    assert_eq!(names_in(&lib(&context, "bash")), ["x"]);
}

#[test]
fn bash_builds_in_place_what_stores_its_path() {
    let context = TestContext::new();
    let command = format!("{INSTALL}; echo $INSTALL_ROOT >stored; echo run >>../../runs");
    require_with_command(&context, &command);
    context.run(&["install"]).succeeds();
    let stored = || fs::read_to_string(lib(&context, "bash/x/stored")).unwrap_or_default();
    let prefix = format!("{}\n", lib(&context, "bash/x").display());
    assert_eq!(stored(), prefix);
    assert_eq!(fs::read_to_string(lib(&context, "runs")).unwrap(), "run\nrun\n");
    assert_eq!(names_in(&lib(&context, "bash")), ["x"]);

    // The second run fails.
    require_with_command(
        &context,
        &format!("{command}; case $PWD in *.part) ;; *) rm -rf bin; false;; esac"),
    );
    context.run(&["install", "--force"]).exits_with(1);
    assert_eq!((stored(), names_in(&lib(&context, "bash"))), (prefix.clone(), vec!["x".to_owned()]));

    // The second run is killed.
    let wait = "case $PWD in *.part) ;; *) touch half; exec tail -f /dev/null;; esac";
    require_with_command(&context, &format!("{command}; {wait}"));
    let rigup = context.start(&["install", "--force"]);
    wait_until("the command runs in place", || lib(&context, "bash/x/half").exists());
    context.kill_all(rigup);
    context.run(&["uninstall", "--orphaned", "--yes"]).succeeds();
    assert!(lib(&context, "bash/x.part/.rigup-old/bin/x").exists(), "the only copy is not waste");
    require_with_command(&context, "false");
    context.run(&["install", "--force"]).exits_with(1);
    assert_eq!(names_in(&lib(&context, "bash")), ["x"]);
    let names = [".rigup-built-path", "bin", "made-here", "stored"];
    assert_eq!(names_in(&lib(&context, "bash/x")), names, "it is restored");
    context.run(&["uninstall", "x", "--force"]).succeeds();
    assert!(names_in(&lib(&context, "bash")).is_empty());
}

#[test]
fn what_contains_the_path_of_its_prefix_is_built_again_after_a_move() {
    let context = TestContext::new();
    require_with_command(&context, &format!("{INSTALL}; echo $INSTALL_ROOT >stored"));
    context.run(&["install"]).succeeds();
    let (data, moved) = (context.path("data"), context.path("moved"));
    let run = |command: &str| context.run(&["--data-dir", moved.to_str().unwrap(), command]);
    fs::rename(&data, &moved).unwrap();
    let stderr = run("load").exits_with(1).stderr;
    assert!(stderr.contains(&format!("was built in {}", lib(&context, "bash/x").display())), "{stderr}");
    fs::rename(&moved, &data).unwrap();
    context.run(&["load"]).succeeds();
    fs::rename(&data, &moved).unwrap();
    run("install").succeeds();
    run("load").succeeds();
    let prefix = moved.join(lib(&context, "bash/x").strip_prefix(&data).unwrap());
    assert_eq!(fs::read_to_string(prefix.join("stored")).unwrap(), format!("{}\n", prefix.display()));

    // It states nothing, and must not block.
    let file = prefix.join(".rigup-built-path");
    fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    run("load").succeeds();
}
