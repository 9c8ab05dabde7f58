//! What is locked in one data dir is got in another one, by real package managers: the same version, though there are newer
//! ones, and the same digest.

use std::fs;

use serde_json::{Value, json};

use crate::more_providers::{place_with_cargo, place_with_gems, place_with_module, put_pnpm_on_path};
use crate::playground::{Playground, Ran};
use crate::{place_with_registries, place_with_uv};

fn require(place: &Playground, provider: &str, name: &str, packages: &str) {
    let overrides = json!({provider: [packages]});
    let line = json!({"type": "Binary", "name": name, "binproviders": provider, "overrides": overrides});
    place.plugin("p", &[line]);
}

fn elsewhere(place: &Playground, args: &[&str]) -> Ran {
    let data_dir = place.path("another/longer/data");
    place.run(&[args, &["--data-dir", data_dir.to_str().unwrap()]].concat())
}

/// Locks one version, then requires any.
fn lock(place: &Playground, provider: &str, name: &str, package: &str, one: &str) -> Value {
    require(place, provider, name, one);
    let locked = place.run(&["lock"]).ok().record();
    require(place, provider, name, package);
    locked
}

/// Locks one version of a package, and has it got elsewhere where any will do.
fn holds_elsewhere(place: &Playground, provider: &str, name: &str, package: &str, one: &str) {
    let locked = lock(place, provider, name, package, one);
    let record = elsewhere(place, &["install", "--locked"]).ok().record();
    for key in ["binprovider", "version"] {
        assert_eq!(record[key], locked[key], "{record}");
    }
    assert!(one.ends_with(record["version"].as_str().unwrap()), "{record}");
    elsewhere(place, &["lock", "--check"]).ok();
    elsewhere(place, &["install", "--locked"]).ok().says("is already installed");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_holds_to_a_lock_with_and_without_uv() {
    let place = place_with_registries();
    let with_uv = place_with_uv();
    for (place, other) in [(&place, &with_uv), (&with_uv, &place)] {
        let locked = lock(place, "pip", "pycodestyle", "pycodestyle", "pycodestyle==2.11.0");
        assert_eq!(locked["version"], "2.11.0");
        fs::copy(place.path("here/rigup.lock"), other.path("here/rigup.lock")).unwrap();
        require(other, "pip", "pycodestyle", "pycodestyle");
        elsewhere(other, &["install", "--locked"]).ok();
        elsewhere(other, &["lock", "--check"]).ok();
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_holds_to_a_lock() {
    holds_elsewhere(&place_with_uv(), "uv", "pycodestyle", "pycodestyle>=2", "pycodestyle==2.11.0");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn npm_holds_to_a_lock() {
    holds_elsewhere(&place_with_registries(), "npm", "json", "json@latest", "json@10.0.0");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pnpm_holds_to_a_lock() {
    let mut place = place_with_registries();
    put_pnpm_on_path(&mut place);
    holds_elsewhere(&place, "pnpm", "json", "json", "json@10.0.0");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn cargo_holds_to_a_lock_whatever_its_own_folder_is() {
    let mut place = place_with_cargo();
    let locked = lock(&place, "cargo", "shellharden", "shellharden@4", "shellharden@4.3.0");
    let home = place.path("cargo");
    fs::create_dir(&home).unwrap();
    place.set("CARGO_HOME", &home);
    let record = elsewhere(&place, &["install", "--locked"]).ok().record();
    assert_eq!((&record["version"], &record["sha256"]), (&json!("4.3.0"), &locked["sha256"]));
}

#[test]
#[ignore = "needs go: run with --ignored"]
fn go_holds_to_a_lock() {
    let place = place_with_module();
    holds_elsewhere(&place, "go", "hello", "example.test/hello", "example.test/hello@v1.2.0");
}

#[test]
#[ignore = "needs gem: run with --ignored"]
fn gem_holds_to_a_lock() {
    holds_elsewhere(&place_with_gems(), "gem", "hello", "rigup-hello", "rigup-hello:1.2.0");
}

#[test]
#[ignore = "needs apt-get and root: run with --ignored"]
fn apt_installs_only_the_locked_version_whatever_its_epoch() {
    let place = place_with_registries();
    require(&place, "apt", "git", "git");
    place.run(&["lock"]).ok();
    elsewhere(&place, &["install", "--locked"]).ok();

    let lockfile = fs::read_to_string(place.path("here/rigup.lock")).unwrap();
    let version = lockfile.split("\"version\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    place.write("here/rigup.lock", lockfile.replace(&version, "0.99.1"));
    let record = elsewhere(&place, &["install", "--locked"]).exits(1).record();
    assert_eq!(record["last_error"], "apt failed: E: Version '0.99.1' for 'git' was not found");
}
