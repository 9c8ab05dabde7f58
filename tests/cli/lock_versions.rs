//! Lock files, and binaries that were installed in another version or with another policy than their lines.

use std::fs;

use serde_json::{Value, json};

use crate::outdated;
use crate::test_context::TestContext;

/// Creates a context in which a plugin requires `a`, of which 1.0.0 is old and 2.0.0 too young, and 1.0.0 is pinned.
fn context(keys: &Value) -> TestContext {
    let context = outdated::context(&json!([
        {"version": "1.0.0", "released_at": "2024-01-01T00:00:00Z"},
        {"version": "2.0.0", "released_at": "9999-01-01T00:00:00Z"},
    ]));
    let mut line = json!({"type": "Binary", "name": "a", "binproviders": "shop"});
    line.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    context.plugin("p", &[line]);
    context.run(&["lock"]).succeeds();
    context
}

fn has_line(context: &TestContext, version: &str) -> bool {
    let lockfile = fs::read_to_string(context.path("here/rigup.lock")).unwrap();
    lockfile.contains(&format!("\"version\":\"{version}\""))
}

/// Upgrades `a` to 2.0.0, after which the provider would install 1.0.0.
fn upgrade(context: &TestContext) {
    context.write("data/release", "2.0.0");
    let upgraded = context.run(&["upgrade", "--min-release-age", "0"]).succeeds();
    upgraded.stderr_contains("to update it, run `rigup upgrade --lock a`");
    context.write("data/release", "1.0.0");
}

#[test]
fn upgrade_lock_updates_the_line_of_a_binary_that_was_upgraded_before() {
    for keys in [json!({}), json!({"min_release_age": 3})] {
        let context = context(&keys);
        upgrade(&context);
        let output = context.run(&["upgrade", "--lock", "a"]).succeeds();
        output
            .stderr_contains("a is held back (2.0.0)")
            .stderr_contains("rigup.lock: a: version 1.0.0 -> 2.0.0");
        assert!(has_line(&context, "2.0.0"));
        context.run(&["lock", "--check"]).succeeds();
    }
}

#[test]
fn the_default_age_does_not_bring_back_an_older_version() {
    let context = context(&json!({}));
    upgrade(&context);
    let hooks = context.hook_processes().len();
    assert_eq!(context.run(&["load"]).succeeds().record()["version"], "2.0.0");
    context.run(&["install"]).succeeds().stderr_contains("a is already installed");
    context.run(&["lock"]).succeeds().stderr_contains("a: version 1.0.0 -> 2.0.0");
    assert!(has_line(&context, "2.0.0"));
    assert_eq!(context.hook_processes().len(), hooks);
    let stated = context.run(&["install", "--min-release-age", "7"]).succeeds();
    assert_eq!(stated.record()["version"], "1.0.0");
    let warning = "warning: a: version 1.0.0 replaces the newer 2.0.0, because releases of the last 7 days are left out; \
        `--min-release-age 0` allows them\n";
    stated.stderr_contains(warning);
    let again = context.run(&["install", "--min-release-age", "30"]).succeeds();
    assert!(!again.stderr.contains("warning"), "{}", again.stderr);
}

#[test]
fn a_binary_that_matches_its_line_is_not_installed_again_for_its_policy() {
    let context = context(&json!({}));
    for policy in [&["--min-release-age", "0"][..], &["--min-release-age", "30"]] {
        context.run(&[&["install", "--force"], policy].concat()).succeeds();
        let hooks = context.hook_processes().len();
        context.run(&["install", "--locked"]).succeeds().stderr_contains("a is already installed");
        assert_eq!(context.hook_processes().len(), hooks);
    }
}

#[test]
fn lock_check_compares_a_binary_that_was_installed_with_another_policy() {
    for keys in [json!({}), json!({"min_release_age": 3})] {
        let context = context(&keys);
        context.run(&["lock", "--check"]).succeeds();
        context.run(&["install", "--force", "--min-release-age", "0", "a@2.0.0"]).succeeds();
        let check = context.run(&["lock", "--check"]).exits_with(1);
        check.stderr_contains("rigup.lock: a: version 1.0.0 -> 2.0.0");
    }
}
