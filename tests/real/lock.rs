//! With real package managers, a lock file that was written with one data dir gives the same versions and digests in
//! another one, although newer versions exist.

use std::fs;

use serde_json::{Value, json};

use crate::package_managers::{context_with_cargo, context_with_gems, context_with_module, put_pnpm_on_path};
use crate::test_context::{CommandOutput, TestContext};
use crate::{context_with_registries, context_with_uv};

/// Requires a binary of any version, or of exactly one.
fn require(context: &TestContext, provider: &str, name: &str, package: &str, version: Option<&str>) {
    let mut line =
        json!({"type": "Binary", "name": name, "binproviders": provider, "overrides": {provider: [package]}});
    for key in ["min_version", "max_version"] {
        line[key] = version.into();
    }
    context.plugin("p", &[line]);
}

/// Runs rigup with another data dir.
fn run_elsewhere(context: &TestContext, args: &[&str]) -> CommandOutput {
    let data_dir = context.path("another/longer/data");
    context.run(&[args, &["--data-dir", data_dir.to_str().unwrap()]].concat())
}

/// Writes the lock file while the plugin requires exactly one version, then changes the plugin to require any version.
/// Returns the pin.
fn lock(context: &TestContext, provider: &str, name: &str, package: &str, version: &str) -> Value {
    require(context, provider, name, package, Some(version));
    let pin = context.run(&["lock"]).succeeds().record();
    assert_eq!(pin["version"], version);
    require(context, provider, name, package, None);
    pin
}

/// Asserts that another data dir installs the pinned version although the plugin requires any version.
fn check_pin(context: &TestContext, provider: &str, name: &str, package: &str, version: &str) {
    let pin = lock(context, provider, name, package, version);
    let record = run_elsewhere(context, &["install", "--locked"]).succeeds().record();
    for key in ["binprovider", "version"] {
        assert_eq!(record[key], pin[key], "{record}");
    }
    run_elsewhere(context, &["lock", "--check"]).succeeds();
    run_elsewhere(context, &["install", "--locked"]).succeeds().stderr_contains("is already installed");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_installs_the_pinned_version_with_and_without_uv() {
    let context = context_with_registries();
    let with_uv = context_with_uv();
    for (context, other) in [(&context, &with_uv), (&with_uv, &context)] {
        lock(context, "pip", "pycodestyle", "pycodestyle", "2.11.0");
        fs::copy(context.path("here/rigup.lock"), other.path("here/rigup.lock")).unwrap();
        require(other, "pip", "pycodestyle", "pycodestyle", None);
        run_elsewhere(other, &["install", "--locked"]).succeeds();
        run_elsewhere(other, &["lock", "--check"]).succeeds();
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_installs_the_pinned_version() {
    check_pin(&context_with_uv(), "uv", "pycodestyle", "pycodestyle>=2", "2.11.0");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn npm_installs_the_pinned_version() {
    check_pin(&context_with_registries(), "npm", "json", "json@latest", "10.0.0");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pnpm_installs_the_pinned_version() {
    let mut context = context_with_registries();
    put_pnpm_on_path(&mut context);
    check_pin(&context, "pnpm", "json", "json", "10.0.0");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn cargo_installs_the_pinned_version_with_any_cargo_home() {
    let mut context = context_with_cargo();
    let pin = lock(&context, "cargo", "shellharden", "shellharden@4", "4.3.0");
    let home = context.path("cargo");
    fs::create_dir(&home).unwrap();
    context.set("CARGO_HOME", &home);
    let record = run_elsewhere(&context, &["install", "--locked"]).succeeds().record();
    assert_eq!((&record["version"], &record["sha256"]), (&json!("4.3.0"), &pin["sha256"]));
}

#[test]
#[ignore = "needs go: run with --ignored"]
fn go_installs_the_pinned_version() {
    let context = context_with_module();
    check_pin(&context, "go", "hello", "example.test/hello", "1.2.0");
}

#[test]
#[ignore = "needs gem: run with --ignored"]
fn gem_installs_the_pinned_version() {
    check_pin(&context_with_gems(), "gem", "hello", "rigup-hello", "1.2.0");
}

#[test]
#[ignore = "needs apt-get and root: run with --ignored"]
fn apt_installs_only_the_pinned_version_whatever_its_epoch() {
    let _apt = crate::lock_apt();
    let context = context_with_registries();
    require(&context, "apt", "git", "git", None);
    context.run(&["lock"]).succeeds();
    run_elsewhere(&context, &["install", "--locked"]).succeeds();

    let lockfile = fs::read_to_string(context.path("here/rigup.lock")).unwrap();
    let value = |key: &str| {
        let start = lockfile.split(&format!("\"{key}\":\"")).nth(1).unwrap();
        start.split('"').next().unwrap().to_owned()
    };
    let (version, package_version) = (value("version"), value("package_version"));
    assert!(package_version.contains(&version), "{lockfile}");
    // A line that states only the version of the program, and one that states another version of the package.
    let stated = format!(",\"package_version\":\"{package_version}\"");
    context.write("here/rigup.lock", lockfile.replace(&stated, ""));
    run_elsewhere(&context, &["install", "--locked"]).succeeds();
    context.write("here/rigup.lock", lockfile.replace(&package_version, "1:0.99.1-1"));
    let record = run_elsewhere(&context, &["install", "--locked"]).exits_with(1).record();
    assert_eq!(record["last_error"], "apt failed: Version '1:0.99.1-1' for 'git' was not found");
}
