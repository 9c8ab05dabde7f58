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
#[path = "../cli/test_context.rs"]
mod test_context;
mod timings;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use test_context::{TestContext, wait_until};

/// A test context whose package managers find their registries as this machine is set up to.
fn context_with_registries() -> TestContext {
    let mut context = TestContext::new();
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
            context.set(&text, value);
        }
    }
    context
}

/// What holds of every provider: installed, linked, true, found again, repaired, and never started twice at once.
fn install_and_repair(context: &TestContext, provider: &str, name: &str) {
    let args = ["install", name, "--binproviders", provider];
    context.run_concurrently(10, &args);
    assert_eq!(context.hook_processes().len(), 1, "ten at once, one hook");

    let record = context.run(&args).succeeds().stderr_contains("is already installed").record();
    check(context, name, &record);
    fs::remove_file(record["abspath"].as_str().unwrap()).unwrap();
    let repaired = context.run(&args).succeeds().record();
    check(context, name, &repaired);
    assert_eq!(context.hook_processes().len(), 2);
}

/// The record is true, and the program runs by its link.
fn check(context: &TestContext, name: &str, record: &Value) {
    let abspath = record["abspath"].as_str().unwrap();
    assert_eq!(fs::read_link(context.bin(name)).unwrap(), Path::new(abspath));
    let digest = rigup::fs::digest::sha256(Path::new(abspath)).unwrap();
    assert_eq!(record["sha256"], digest.as_str());
    let output = Command::new(context.bin(name)).arg("--version").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let version = record["version"].as_str().unwrap();
    assert!(!version.is_empty() && printed.contains(version), "{version} in {printed}");
}

/// A run that is killed as soon as `is_halfway` leaves nothing that the next one does not make whole.
fn kill_halfway(context: &TestContext, provider: &str, name: &str, is_halfway: impl Fn(&Path) -> bool) {
    let args = ["install", name, "--binproviders", provider];
    let prefix = context.path("data/lib").join(rigup::settings::platform()).join(provider).join(name);
    let rigup = context.start(&args);
    wait_until("the install is halfway", || is_halfway(&prefix));
    context.kill_all(rigup);
    check(context, name, &context.run(&args).succeeds().record());
    let left = fs::read_dir(prefix.parent().unwrap()).unwrap().map(|it| it.unwrap().path());
    // npm's hook remembers here that the registry has dates.
    let left: Vec<PathBuf> = left.filter(|it| !it.ends_with("registry.part")).collect();
    assert_eq!(left, [prefix], "no mark and no half-made prefix is left");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_installs_repairs_and_is_started_once() {
    install_and_repair(&context_with_registries(), "pip", "pycodestyle");
}

/// A test context with uv on PATH, which the machine itself need not have.
fn context_with_uv() -> TestContext {
    let mut context = context_with_registries();
    let venv = context.path("uv");
    let python = |args: &[&str]| assert!(Command::new("python3").args(args).status().unwrap().success());
    python(&["-m", "venv", "--without-pip", venv.to_str().unwrap()]);
    let interpreter = venv.join("bin/python");
    python(&["-m", "pip", "--python", interpreter.to_str().unwrap(), "install", "--quiet", "uv"]);
    context.set("PATH", format!("{}:/usr/bin:/bin", venv.join("bin").display()));
    context
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_with_uv_installs_repairs_and_is_started_once() {
    let context = context_with_uv();
    install_and_repair(&context, "pip", "pycodestyle");
    assert!(
        context
            .hook_processes()
            .iter()
            .all(|it| it["stderr_tail"].as_str().unwrap().contains("pycodestyle=="))
    );
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn npm_installs_repairs_and_is_started_once() {
    install_and_repair(&context_with_registries(), "npm", "json");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_that_was_killed_halfway_is_made_whole_by_the_next_run() {
    kill_halfway(&context_with_registries(), "pip", "pycodestyle", |prefix| {
        prefix.join("bin/python").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn npm_that_was_killed_halfway_is_made_whole_by_the_next_run() {
    kill_halfway(&context_with_registries(), "npm", "json", |prefix| {
        prefix.with_extension("part").join("package.json").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn a_package_that_does_not_exist_is_reported_with_the_telling_line() {
    let context = context_with_registries();
    let name = "rigup-no-such-package-anywhere";
    for (provider, outcome, reason) in [
        ("pip", "failed", "No matching distribution found for"),
        ("npm", "failed", "404 Not Found"),
        ("apt", "declined", "apt has no package"),
    ] {
        let record = context.run(&["install", name, "--binproviders", provider]).exits_with(1).record();
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
    install_and_repair(&context_with_registries(), "apt", "tree");
    if !was_there {
        apt("remove");
    }
}
