//! What the commands for daemons say about manifests and arguments that they cannot use.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::test_context::TestContext;

#[test]
fn a_misspelled_table_of_daemons_is_an_error_in_every_file() {
    for (file, expected) in [
        ("rigup.toml", "rigup.toml: unknown setting daemon; write daemons"),
        ("own.toml", "own.toml:1: unknown key \"daemon\"; write \"daemons\""),
    ] {
        let context = TestContext::new();
        context.write(&format!("here/{file}"), "[daemon.a]\ncommand = 'sleep 600'\n");
        let files: &[&str] = if file == "rigup.toml" { &[] } else { &["-f", file] };
        context.run(&[&["up", "-d"], files].concat()).exits_with(3).stderr_contains(expected);
        assert!(context.live_processes().is_empty());
    }
}

#[test]
fn start_without_arguments_explains_both_of_its_forms() {
    let context = TestContext::new();
    let expected = "cannot start: no daemon and no command is named; use `rigup start NAME...` for daemons, or \
        `rigup start --slug NAME -- CMD` for a run";
    context.run(&["start"]).exits_with(2).stderr_contains(expected);
    for (args, missing) in [(&["--slug", "x"][..], "<CMD>..."), (&["--", "true"], "--slug <NAME>")] {
        let output = context.run(&[&["start"], args].concat()).exits_with(2);
        output
            .stderr_contains(missing)
            .stderr_contains("rigup start <DAEMON>...\n       rigup start [OPTIONS] --slug");
    }
    assert!(context.live_processes().is_empty());
}

#[test]
fn no_deps_without_the_name_of_a_daemon_is_refused() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d", "--no-deps"]).exits_with(2).stderr_contains("<NAME>...");
    assert!(context.live_processes().is_empty());
}

#[test]
fn a_data_dir_that_others_can_write_to_is_one_error_with_the_remedy() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    let data_dir = context.path("data");
    fs::create_dir_all(&data_dir).unwrap();
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o777)).unwrap();
    for args in [&["up", "-d"][..], &["up", "--dry-run"], &["graph"], &["generate", "systemd"]] {
        let output = context.run(args).exits_with(3);
        let folder = data_dir.display();
        let expected = format!(
            "error: cannot use the data dir {folder}: {folder}: others can write to it (mode 0777); fix it with \
             `chmod o-w {folder}`"
        );
        let output = output.stderr_contains(&expected);
        assert_eq!(output.stderr.matches("error: ").count(), 1, "{}", output.stderr);
    }
    assert!(context.live_processes().is_empty());
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o700)).unwrap();
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.down();
}

#[test]
fn a_plugin_that_others_can_write_to_is_a_warning_of_up() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'true'\n");
    context.write("here/plugins/p/daemons.jsonl", r#"{"type":"Daemon","name":"b","command":"true"}"#);
    let plugin = context.path("here/plugins/p");
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o777)).unwrap();
    let expected = format!("warning: {}: others can write to it (mode 0777)", plugin.display());
    let output = context.run(&["up", "--dry-run"]).succeeds().stderr_contains(&expected);
    assert_eq!(output.record()["name"], "a");
}
