//! Installs from real registries with real package managers. These tests are slow, so they run only on request:
//! `cargo test --locked --test real -- --ignored`.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start rigup and read files themselves, and an error in them is a failed test"
)]

mod apt;
mod browser;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod browsers;
mod bun;
mod chrome;
mod ci;
mod ecosystem;
mod isolation;
mod javascript;
#[expect(dead_code, reason = "shared with the tests in tests/faults, which use all of it")]
#[path = "../faults/kernel.rs"]
mod kernel;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod killed;
#[path = "../cli/listed_versions.rs"]
mod listed_versions;
mod lock;
mod lookup;
mod missing_packages;
mod nix;
mod package_managers;
mod podman;
mod python;
mod relocated;
mod report;
mod server;
mod shells;
mod system_packages;
#[expect(dead_code, reason = "shared with the tests in tests/cli, which use all of it")]
#[path = "../cli/test_context.rs"]
mod test_context;
mod timings;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../faults/tracer.rs"]
mod tracer;
mod versions;
mod wheels;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use test_context::{TestContext, wait_until};

/// Creates a context whose package managers use the registries that the environment configures.
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
        if text == "HOME" || prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            context.set(&text, value);
        }
    }
    context
}

/// Asserts what every provider must do: ten concurrent commands start its hook once, the record is correct, the next
/// command does nothing, and a removed program is installed again.
fn check_install_and_repair(context: &TestContext, provider: &str, name: &str) {
    let args = ["install", name, "--binproviders", provider];
    context.run_concurrently(10, &args);
    assert_eq!(context.hook_processes().len(), 1, "ten commands at once start one hook");

    let record = context.run(&args).succeeds().stderr_contains("is already installed").record();
    check_binary(context, name, &record);
    fs::remove_file(record["abspath"].as_str().unwrap()).unwrap();
    let repaired = context.run(&args).succeeds().record();
    check_binary(context, name, &repaired);
    assert_eq!(context.hook_processes().len(), 2);
}

/// Keeps other tests from using apt, whose lock the published hooks do not wait for.
fn lock_apt() -> std::sync::MutexGuard<'static, ()> {
    static APT: std::sync::Mutex<()> = std::sync::Mutex::new(());
    APT.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Asserts that the record is correct and that the program runs through its link.
fn check_binary(context: &TestContext, name: &str, record: &Value) {
    let abspath = record["abspath"].as_str().unwrap();
    assert_eq!(context.linked_file(name), Path::new(abspath));
    let digest = rigup::internal::sha256(Path::new(abspath)).unwrap();
    assert_eq!(record["sha256"], digest.as_str());
    let output = Command::new(context.bin(name)).arg("--version").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let version = record["version"].as_str().unwrap();
    assert!(!version.is_empty() && printed.contains(version), "{version} in {printed}");
    // The fixture is no package manager.
    let has_package = record["binprovider"] != "good";
    assert!(!has_package || record["package_version"].as_str().unwrap().contains(version), "{record}");
}

/// Kills an install as soon as `is_halfway` returns true for its prefix, and asserts that the next install succeeds.
fn check_killed_install(
    context: &TestContext,
    provider: &str,
    name: &str,
    is_halfway: impl Fn(&Path) -> bool,
) {
    let args = ["install", name, "--binproviders", provider];
    let prefix = context.path("data/lib").join(rigup::settings::platform()).join(provider).join(name);
    let rigup = context.start(&args);
    wait_until("the install is halfway", || is_halfway(&prefix));
    context.kill_all(rigup);
    check_binary(context, name, &context.run(&args).succeeds().record());
    let kept = fs::read_dir(prefix.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(kept.collect::<Vec<_>>(), [prefix], "no .part file and no incomplete prefix is left");
}

/// Creates a context with uv on PATH, installed from `PyPI` because the machine may not have it.
fn context_with_uv() -> TestContext {
    let mut context = context_with_registries();
    let venv = context.path("uv");
    let python = |args: &[&str]| assert!(Command::new("python3").args(args).status().unwrap().success());
    python(&["-m", "venv", "--without-pip", venv.to_str().unwrap()]);
    let interpreter = venv.join("bin/python");
    python(&["-m", "pip", "--python", interpreter.to_str().unwrap(), "install", "--quiet", "uv"]);
    let folder = context.path("uv-only");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(venv.join("bin/uv"), folder.join("uv")).unwrap();
    context.set("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    context
}
