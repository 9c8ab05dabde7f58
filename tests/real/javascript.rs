//! Installs of JavaScript programs with bun, deno and yarn.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::test_context::{TestContext, wait_until};
use crate::wheels::hide_programs;
use crate::{check_binary, check_install_and_repair, check_killed_install, context_with_registries};

/// Creates a context with a package manager on PATH that npm installs. Without Node.js, PATH has all other programs.
pub(crate) fn context_with(program: &str, package: &str, has_node: bool) -> TestContext {
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

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn deno_installs_once_for_ten_commands_and_repairs() {
    let context = context_with("deno", "deno", true);
    let overrides = json!({"deno": {"packages": ["prettier"], "install_args": ["--allow-all"]}});
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "prettier", "binproviders": "deno", "overrides": overrides})],
    );
    let args = ["install", "prettier", "--binproviders", "deno"];
    context.run_concurrently(10, &args);
    assert_eq!(context.hook_processes().len(), 1, "ten commands at once start one hook");
    let record = context.run(&args).succeeds().record();
    fs::remove_file(record["abspath"].as_str().unwrap()).unwrap();
    context.run(&args).succeeds();
    let printed = context.run(&["exec", "--", "prettier", "--version"]).succeeds().stdout;
    assert_eq!(printed.trim(), record["version"]);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn deno_completes_an_install_that_was_killed() {
    let context = context_with("deno", "deno", true);
    let args = ["install", "cowsay@1.6.0", "--binproviders", "deno"];
    let prefix = context.path("data/lib").join(rigup::settings::platform()).join("deno/cowsay");
    let rigup = context.start(&args);
    wait_until("the install is halfway", || prefix.with_extension("part").join("cache").exists());
    context.kill_all(rigup);
    let record = context.run(&args).succeeds().record();
    assert_eq!(record["package_version"], "1.6.0", "the version of a program without permissions to run");
    assert_eq!(fs::read_dir(prefix.parent().unwrap()).unwrap().count(), 1, "no .part folder is left");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn deno_installs_the_program_of_a_package_that_has_several() {
    let context = context_with("deno", "deno", true);
    let overrides = json!({"deno": {"packages": ["npm:typescript/tsc"], "install_args": ["--allow-all"]}});
    let line = json!({"type": "Binary", "name": "tsc", "binproviders": "deno", "overrides": overrides});
    context.plugin("p", &[line]);
    let record = context.run(&["install", "tsc", "--min-version=5.0.4", "--max-version=5.0.4"]).succeeds();
    assert_eq!(record.record()["version"], "5.0.4");
    fs::rename(context.path("data"), context.path("moved")).unwrap();
    let bin = context.path("moved/lib").join(rigup::settings::platform()).join("bin/tsc");
    let path = context.path("bin");
    let mut tsc = Command::new(bin);
    tsc.arg("--version").env("PATH", format!("{}:/usr/bin:/bin", path.display()));
    assert_eq!(tsc.output().unwrap().stdout, b"Version 5.0.4\n", "the program works in another folder");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn deno_installs_the_pinned_file_again() {
    let context = context_with("deno", "deno", true);
    context.plugin("p", &[json!({"type": "Binary", "name": "cowsay", "binproviders": "deno"})]);
    let installed = context.run(&["install"]).succeeds().record();
    context.run(&["lock"]).succeeds();
    let other = context.path("other");
    let locked = context.run(&["install", "--locked", "--data-dir", other.to_str().unwrap()]).succeeds();
    assert_eq!(locked.record()["sha256"], installed["sha256"]);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn rigup_installs_a_missing_yarn_with_npm() {
    let mut context = context_with_registries();
    context.script("home/old/yarn", "#!/bin/sh\necho 1.22.22\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("home/old").display()));
    let output = context.run(&["install", "json", "--binproviders", "yarn"]).succeeds();
    check_binary(&context, "json", &output.stderr_contains("yarn: installed by npm").record());
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn yarn_installs_once_for_ten_commands_and_repairs() {
    check_install_and_repair(&context_with("yarn", "@yarnpkg/cli-dist", true), "yarn", "json");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn yarn_completes_an_install_that_was_killed() {
    check_killed_install(&context_with("yarn", "@yarnpkg/cli-dist", true), "yarn", "json", |prefix| {
        prefix.with_extension("part").join("yarn.lock").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn deno_and_yarn_enforce_the_minimum_age_whatever_the_user_excepts() {
    for (provider, package) in [("deno", "deno"), ("yarn", "@yarnpkg/cli-dist")] {
        let mut context = context_with(provider, package, true);
        let settings = "nodeLinker: pnp\nnpmPreapprovedPackages: [json]\n";
        context.write("home/.yarnrc.yml", settings);
        context.set("HOME", context.path("home"));
        let install = ["install", "json", "--binproviders", provider, "--min-release-age"];
        let record = context.run(&[&install[..], &["9000"]].concat()).exits_with(1).record();
        assert!(record["last_error"].as_str().unwrap().contains("that was released before"), "{record}");
        context.run(&[&install[..], &["0.5"]].concat()).succeeds();
    }
}
