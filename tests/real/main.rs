//! Real installs by real package managers from real registries. Slow, so run by name:
//! `cargo test --locked --test real -- --ignored`.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start rigup and read files by themselves, and what goes wrong in them is a failure"
)]

mod ecosystem;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod killed;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../faults/killer.rs"]
mod killer;
mod lock;
mod more_providers;
#[expect(dead_code, reason = "shared with the tests of the command line, which use all of it")]
#[path = "../cli/playground.rs"]
mod playground;
mod timings;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use playground::{Playground, wait_until};
use serde_json::Value;

/// A playground whose package managers find their registries as this machine is set up to.
fn place_with_registries() -> Playground {
    let mut place = Playground::new();
    let prefixes = [
        "PIP_",
        "UV_",
        "NPM_",
        "npm_",
        "SSL_",
        "REQUESTS_",
        "CURL_",
        "NODE_EXTRA",
        "PNPM_",
        "CARGO_HOME",
        "CARGO_HTTP",
        "CARGO_NET",
        "CARGO_REGISTR",
        "CARGO_SOURCE",
        "http",
        "HTTP",
        "no_proxy",
    ];
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy().into_owned();
        if text == "HOME" || prefixes.iter().any(|it| text.starts_with(it)) {
            place.set(&text, value);
        }
    }
    place
}

/// What holds of every provider: installed, linked, true, found again, repaired, and never started twice at once.
fn install_and_repair(place: &Playground, provider: &str, name: &str) {
    let args = ["install", name, "--binproviders", provider];
    place.run_at_once(10, &args);
    assert_eq!(place.hook_processes().len(), 1, "ten at once, one hook");

    let record = place.run(&args).ok().says("is already installed").record();
    check(place, name, &record);
    fs::remove_file(record["abspath"].as_str().unwrap()).unwrap();
    let repaired = place.run(&args).ok().record();
    check(place, name, &repaired);
    assert_eq!(place.hook_processes().len(), 2);
}

/// The record is true, and the program runs by its link.
fn check(place: &Playground, name: &str, record: &Value) {
    let abspath = record["abspath"].as_str().unwrap();
    assert_eq!(fs::read_link(place.bin(name)).unwrap(), Path::new(abspath));
    let digest = rigup::fs::digest::sha256(Path::new(abspath)).unwrap();
    assert_eq!(record["sha256"], digest.as_str());
    let output = Command::new(place.bin(name)).arg("--version").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let version = record["version"].as_str().unwrap();
    assert!(!version.is_empty() && printed.contains(version), "{version} in {printed}");
}

/// A run that is killed as soon as `is_halfway` leaves nothing that the next one does not make whole.
fn kill_halfway(place: &Playground, provider: &str, name: &str, is_halfway: impl Fn(&Path) -> bool) {
    let args = ["install", name, "--binproviders", provider];
    let prefix = place.path("data/lib").join(rigup::settings::platform()).join(provider).join(name);
    let rigup = place.start(&args);
    wait_until("the install is halfway", || is_halfway(&prefix));
    place.kill_all(rigup);
    check(place, name, &place.run(&args).ok().record());
    let left = fs::read_dir(prefix.parent().unwrap()).unwrap().map(|it| it.unwrap().path());
    // npm's hook remembers here that the registry has dates.
    let left: Vec<PathBuf> = left.filter(|it| !it.ends_with("registry.part")).collect();
    assert_eq!(left, [prefix], "no mark and no half-made prefix is left");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_installs_repairs_and_is_started_once() {
    install_and_repair(&place_with_registries(), "pip", "pycodestyle");
}

/// A playground with uv on PATH, which the machine itself need not have.
fn place_with_uv() -> Playground {
    let mut place = place_with_registries();
    let venv = place.path("uv");
    let python = |args: &[&str]| assert!(Command::new("python3").args(args).status().unwrap().success());
    python(&["-m", "venv", "--without-pip", venv.to_str().unwrap()]);
    let interpreter = venv.join("bin/python");
    python(&["-m", "pip", "--python", interpreter.to_str().unwrap(), "install", "--quiet", "uv"]);
    place.set("PATH", format!("{}:/usr/bin:/bin", venv.join("bin").display()));
    place
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_with_uv_installs_repairs_and_is_started_once() {
    let place = place_with_uv();
    install_and_repair(&place, "pip", "pycodestyle");
    assert!(
        place.hook_processes().iter().all(|it| it["stderr_tail"].as_str().unwrap().contains("pycodestyle=="))
    );
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn npm_installs_repairs_and_is_started_once() {
    install_and_repair(&place_with_registries(), "npm", "json");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_that_was_killed_halfway_is_made_whole_by_the_next_run() {
    kill_halfway(&place_with_registries(), "pip", "pycodestyle", |prefix| prefix.join("bin/python").exists());
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn npm_that_was_killed_halfway_is_made_whole_by_the_next_run() {
    kill_halfway(&place_with_registries(), "npm", "json", |prefix| {
        prefix.with_extension("part").join("package.json").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn a_package_that_does_not_exist_is_reported_with_the_telling_line() {
    let place = place_with_registries();
    let name = "rigup-no-such-package-anywhere";
    for (provider, outcome, reason) in [
        ("pip", "failed", "No matching distribution found for"),
        ("npm", "failed", "404 Not Found"),
        ("apt", "declined", "apt has no package"),
    ] {
        let record = place.run(&["install", name, "--binproviders", provider]).exits(1).record();
        let attempt = &record["attempts"][0];
        assert_eq!(attempt["outcome"], outcome, "{attempt}");
        assert!(attempt["reason"].as_str().unwrap().contains(reason), "{attempt}");
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn apt_installs_repairs_and_is_started_once() {
    let apt = |verb: &str| {
        let args = ["-o", "DPkg::Lock::Timeout=300", verb, "-qy", "tree"];
        assert!(
            Command::new("apt-get").args(args).output().unwrap().status.success(),
            "needs apt-get and root"
        );
    };
    let was_there = Path::new("/usr/bin/tree").exists();
    apt("remove");
    install_and_repair(&place_with_registries(), "apt", "tree");
    if !was_there {
        apt("remove");
    }
}
