//! uv, pnpm and cargo, from `PyPI`, the npm registry and crates.io.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::playground::Playground;
use crate::{check, install_and_repair, kill_halfway, place_with_registries, place_with_uv};

/// Who was asked for what, in this order.
fn asked(place: &Playground) -> Vec<String> {
    let name = |it: &Value| it["cmd"][1].as_str().unwrap().trim_start_matches("--name=").to_owned();
    place
        .hook_processes()
        .iter()
        .map(|it| format!("{} {}", it["plugin"].as_str().unwrap(), name(it)))
        .collect()
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_installs_repairs_and_is_started_once() {
    install_and_repair(&place_with_uv(), "uv", "pycodestyle");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_that_was_killed_halfway_is_made_whole_by_the_next_run() {
    kill_halfway(&place_with_uv(), "uv", "pycodestyle", |prefix| prefix.join("bin/python").exists());
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_comes_from_pip_where_it_is_not_there() {
    let place = place_with_registries();
    check(
        &place,
        "pycodestyle",
        &place.run(&["install", "pycodestyle", "--binproviders", "uv"]).ok().record(),
    );
    assert_eq!(asked(&place), ["uv pycodestyle", "env uv", "pip uv", "uv pycodestyle"]);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_and_pnpm_keep_the_age_that_was_asked_for() {
    let mut place = place_with_uv();
    put_pnpm_on_path(&mut place);
    for (provider, name) in [("uv", "pycodestyle"), ("pnpm", "json")] {
        let install = ["install", name, "--binproviders", provider, "--min-release-age"];
        let record = place.run(&[&install[..], &["9000"]].concat()).exits(1).record();
        assert_eq!(record["attempts"][0]["outcome"], "failed", "{record}");
        assert!(!place.bin(name).exists(), "nothing was released twenty-five years ago");
        check(&place, name, &place.run(&[&install[..], &["0.5"]].concat()).ok().record());
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_builds_nothing_unless_scripts_may_run() {
    let place = place_with_uv();
    // Nothing but its source was ever published of this one.
    let install = ["install", "docopt", "--binproviders", "uv"];
    let reason = place.run(&install).exits(1).record()["last_error"].clone();
    assert!(
        reason.as_str().unwrap().ends_with("what has to be built needs --postinstall-scripts"),
        "{reason}"
    );
}

/// Puts a pnpm on PATH that runs on any Node that is not ancient.
fn put_pnpm_on_path(place: &mut Playground) {
    let folder = place.path("pnpm");
    let install = ["install", "--silent", "--no-audit", "--no-fund", "pnpm@10", "--prefix"];
    assert!(Command::new("npm").args(install).arg(&folder).status().unwrap().success());
    let before = folder.join("node_modules/.bin");
    let path = format!("{}:{}/uv/bin:/usr/bin:/bin", before.display(), place.path("").display());
    place.set("PATH", path);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pnpm_installs_repairs_and_is_started_once() {
    let mut place = place_with_registries();
    put_pnpm_on_path(&mut place);
    install_and_repair(&place, "pnpm", "json");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pnpm_that_was_killed_halfway_is_made_whole_by_the_next_run() {
    let mut place = place_with_registries();
    put_pnpm_on_path(&mut place);
    kill_halfway(&place, "pnpm", "json", |prefix| {
        prefix.with_extension("part").join("package.json").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pnpm_comes_from_npm_where_it_is_not_there() {
    let place = place_with_registries();
    check(&place, "json", &place.run(&["install", "json", "--binproviders", "pnpm"]).ok().record());
    assert_eq!(asked(&place), ["pnpm json", "env pnpm", "npm pnpm", "pnpm json"]);
}

/// A playground with the cargo on PATH that runs these tests.
fn place_with_cargo() -> Playground {
    let mut place = place_with_registries();
    let toolchain = Path::new(env!("CARGO")).parent().unwrap();
    place.set("PATH", format!("{}:/usr/bin:/bin", toolchain.display()));
    place
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn cargo_installs_repairs_and_is_started_once() {
    install_and_repair(&place_with_cargo(), "cargo", "shellharden");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn cargo_that_was_killed_halfway_is_made_whole_by_the_next_run() {
    kill_halfway(&place_with_cargo(), "cargo", "shellharden", |prefix| {
        prefix.with_extension("part").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn cargo_takes_a_version_of_two_numbers_for_the_newest_of_that_line() {
    let place = place_with_cargo();
    let overrides = serde_json::json!({"cargo": {"packages": ["shellharden@4.2"]}});
    let line = serde_json::json!({
        "type": "Binary", "name": "shellharden", "binproviders": "cargo", "overrides": overrides,
    });
    place.plugin("p", &[line]);
    let record = place.run(&["install"]).ok().says("cargo cannot keep min_release_age and").record();
    assert!(record["version"].as_str().unwrap().starts_with("4.2."), "{record}");
    let others =
        fs::read_dir(place.path("data/lib").join(rigup::settings::platform()).join("cargo")).unwrap();
    assert_eq!(others.count(), 1, "nothing is left beside the prefix");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn what_does_not_exist_is_reported_by_each_with_the_telling_line() {
    let mut place = place_with_uv();
    put_pnpm_on_path(&mut place);
    let toolchain = Path::new(env!("CARGO")).parent().unwrap().display().to_string();
    let path =
        format!("{}/uv/bin:{}/pnpm/node_modules/.bin", place.path("").display(), place.path("").display());
    place.set("PATH", format!("{toolchain}:{path}:/usr/bin:/bin"));
    let name = "rigup-no-such-package-anywhere";
    for (provider, reason) in [
        ("uv", "was not found in the package registry"),
        ("pnpm", "404"),
        ("cargo", "could not find `rigup-no-such-package-anywhere`"),
    ] {
        let record = place.run(&["install", name, "--binproviders", provider]).exits(1).record();
        let attempt = &record["attempts"][0];
        assert_eq!(attempt["outcome"], "failed", "{attempt}");
        assert!(attempt["reason"].as_str().unwrap().contains(reason), "{attempt}");
    }
}
