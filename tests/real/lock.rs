//! What is locked in one data dir is got in another one, by real package managers: the same version, though there are newer
//! ones, and the same digest.

use std::fs;

use serde_json::{Value, json};

use crate::more_providers::{context_with_cargo, context_with_gems, context_with_module, put_pnpm_on_path};
use crate::test_context::{CommandOutput, TestContext};
use crate::{context_with_registries, context_with_uv};

fn require(context: &TestContext, provider: &str, name: &str, packages: &str) {
    let overrides = json!({provider: [packages]});
    let line = json!({"type": "Binary", "name": name, "binproviders": provider, "overrides": overrides});
    context.plugin("p", &[line]);
}

fn elsewhere(context: &TestContext, args: &[&str]) -> CommandOutput {
    let data_dir = context.path("another/longer/data");
    context.run(&[args, &["--data-dir", data_dir.to_str().unwrap()]].concat())
}

/// Locks one version, then requires any.
fn lock(context: &TestContext, provider: &str, name: &str, package: &str, one: &str) -> Value {
    require(context, provider, name, one);
    let locked = context.run(&["lock"]).succeeds().record();
    require(context, provider, name, package);
    locked
}

/// Locks one version of a package, and has it got elsewhere where any will do.
fn holds_elsewhere(context: &TestContext, provider: &str, name: &str, package: &str, one: &str) {
    let locked = lock(context, provider, name, package, one);
    let record = elsewhere(context, &["install", "--locked"]).succeeds().record();
    for key in ["binprovider", "version"] {
        assert_eq!(record[key], locked[key], "{record}");
    }
    assert!(one.ends_with(record["version"].as_str().unwrap()), "{record}");
    elsewhere(context, &["lock", "--check"]).succeeds();
    elsewhere(context, &["install", "--locked"]).succeeds().stderr_contains("is already installed");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_holds_to_a_lock_with_and_without_uv() {
    let context = context_with_registries();
    let with_uv = context_with_uv();
    for (context, other) in [(&context, &with_uv), (&with_uv, &context)] {
        let locked = lock(context, "pip", "pycodestyle", "pycodestyle", "pycodestyle==2.11.0");
        assert_eq!(locked["version"], "2.11.0");
        fs::copy(context.path("here/rigup.lock"), other.path("here/rigup.lock")).unwrap();
        require(other, "pip", "pycodestyle", "pycodestyle");
        elsewhere(other, &["install", "--locked"]).succeeds();
        elsewhere(other, &["lock", "--check"]).succeeds();
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_holds_to_a_lock() {
    holds_elsewhere(&context_with_uv(), "uv", "pycodestyle", "pycodestyle>=2", "pycodestyle==2.11.0");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn npm_holds_to_a_lock() {
    holds_elsewhere(&context_with_registries(), "npm", "json", "json@latest", "json@10.0.0");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pnpm_holds_to_a_lock() {
    let mut context = context_with_registries();
    put_pnpm_on_path(&mut context);
    holds_elsewhere(&context, "pnpm", "json", "json", "json@10.0.0");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn cargo_holds_to_a_lock_whatever_its_own_folder_is() {
    let mut context = context_with_cargo();
    let locked = lock(&context, "cargo", "shellharden", "shellharden@4", "shellharden@4.3.0");
    let home = context.path("cargo");
    fs::create_dir(&home).unwrap();
    context.set("CARGO_HOME", &home);
    let record = elsewhere(&context, &["install", "--locked"]).succeeds().record();
    assert_eq!((&record["version"], &record["sha256"]), (&json!("4.3.0"), &locked["sha256"]));
}

#[test]
#[ignore = "needs go: run with --ignored"]
fn go_holds_to_a_lock() {
    let context = context_with_module();
    holds_elsewhere(&context, "go", "hello", "example.test/hello", "example.test/hello@v1.2.0");
}

#[test]
#[ignore = "needs gem: run with --ignored"]
fn gem_holds_to_a_lock() {
    holds_elsewhere(&context_with_gems(), "gem", "hello", "rigup-hello", "rigup-hello:1.2.0");
}

#[test]
#[ignore = "needs apt-get and root: run with --ignored"]
fn apt_installs_only_the_locked_version_whatever_its_epoch() {
    let context = context_with_registries();
    require(&context, "apt", "git", "git");
    context.run(&["lock"]).succeeds();
    elsewhere(&context, &["install", "--locked"]).succeeds();

    let lockfile = fs::read_to_string(context.path("here/rigup.lock")).unwrap();
    let version = lockfile.split("\"version\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    context.write("here/rigup.lock", lockfile.replace(&version, "0.99.1"));
    let record = elsewhere(&context, &["install", "--locked"]).exits_with(1).record();
    assert_eq!(record["last_error"], "apt failed: E: Version '0.99.1' for 'git' was not found");
}
