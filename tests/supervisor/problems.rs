//! What `rigup up` says about a manifest that it cannot use.

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
