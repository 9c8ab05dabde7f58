//! Installs of JavaScript programs with bun.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::test_context::TestContext;
use crate::wheels::hide_programs;
use crate::{check_binary, check_install_and_repair, check_killed_install, context_with_registries};

/// Creates a context with a package manager on PATH that npm installs. Without Node.js, PATH has all other programs.
fn context_with(program: &str, package: &str, has_node: bool) -> TestContext {
    let mut context = context_with_registries();
    let folder = context.path("tools");
    let install =
        ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts=false", package, "--prefix"];
    assert!(Command::new("npm").args(install).arg(&folder).status().unwrap().success());
    let bin = context.path("bin");
    fs::create_dir(&bin).unwrap();
    symlink(folder.join("node_modules/.bin").join(program), bin.join(program)).unwrap();
    let others = if has_node { "/usr/bin:/bin".into() } else { hide_programs(&mut context) };
    context.set("PATH", format!("{}:{}", bin.display(), others.display()));
    context
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn bun_installs_once_for_ten_commands_and_repairs() {
    check_install_and_repair(&context_with("bun", "bun", true), "bun", "json");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn bun_completes_an_install_that_was_killed() {
    check_killed_install(&context_with("bun", "bun", true), "bun", "json", |prefix| {
        prefix.with_extension("part").join("package.json").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn bun_installs_and_runs_a_program_without_node() {
    let context = context_with("bun", "bun", false);
    let record = context.run(&["install", "json@11.0.0", "--binproviders", "bun"]).succeeds().record();
    assert_eq!(record["package_version"], "11.0.0");
    let script = fs::read_to_string(record["abspath"].as_str().unwrap()).unwrap();
    assert!(script.starts_with("#!/usr/bin/env bun\n"));
    context.run(&["exec", "--", "json", "--version"]).succeeds();

    let old = ["install", "json", "--binproviders", "bun", "--min-release-age", "9000"];
    let record = context.run(&old).exits_with(1).record();
    assert!(
        record["last_error"].as_str().unwrap().contains("not found that was released before"),
        "{record}"
    );
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn rigup_installs_a_missing_bun_with_npm() {
    let context = context_with_registries();
    let args = ["install", "json", "--binproviders", "bun"];
    let output = context.run(&args).succeeds().stderr_contains("bun: installed by npm");
    check_binary(&context, "json", &output.record());
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn bun_runs_the_scripts_of_a_requested_package_only_if_they_are_allowed() {
    let context = context_with("bun", "bun", true);
    let folder = context.path("package");
    let package = json!({
        "name": "hello", "version": "1.2.0", "bin": "hello.sh", "scripts": {"postinstall": "touch ran"},
    });
    context.write("package/package.json", package.to_string());
    context.script("package/hello.sh", "#!/bin/sh\necho hello 1.2.0\n");
    let overrides = json!({"bun": [folder]});
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "hello", "binproviders": "bun", "overrides": overrides})],
    );
    let refused = context.run(&["install"]).exits_with(1).record()["last_error"].clone();
    assert!(refused.as_str().unwrap().contains("can run scripts; allow them with"), "{refused}");
    let record = context.run(&["install", "--postinstall-scripts"]).succeeds().record();
    let program = fs::canonicalize(record["abspath"].as_str().unwrap()).unwrap();
    assert!(program.starts_with(fs::canonicalize(context.path("data")).unwrap()), "{}", program.display());
    assert!(Path::new(&program).with_file_name("ran").exists());
}
