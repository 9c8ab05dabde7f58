//! The npm provider with bun on PATH.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::check_install_and_repair;
use crate::javascript::context_with;
use crate::test_context::TestContext;

/// Creates a context with bun on PATH.
fn context_with_bun() -> TestContext {
    context_with("bun", "bun@1", true)
}

/// Returns the prefix of a binary that the npm provider installed.
fn prefix(context: &TestContext, name: &str) -> PathBuf {
    context.path("data/lib").join(rigup::settings::platform()).join("npm").join(name)
}

/// Returns whether bun filled a prefix.
fn is_by_bun(prefix: &Path) -> bool {
    prefix.join("bun.lock").exists()
}

/// Returns the paths of the files in a folder, each with its mode and its content or its target.
fn contents(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::PermissionsExt;
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let files =
        entries.filter(|entry| !entry.file_type().is_dir() && entry.file_name() != ".package-lock.json");
    let file = |entry: walkdir::DirEntry| {
        let mode = entry.metadata().unwrap().permissions().mode();
        let content = if entry.path_is_symlink() {
            fs::read_link(entry.path()).unwrap().into_os_string().into_vec()
        } else {
            fs::read(entry.path()).unwrap()
        };
        (entry.path().strip_prefix(folder).unwrap().to_owned(), mode, content)
    };
    files.map(file).collect()
}

#[test]
#[ignore = "needs npm: run with --ignored"]
fn bun_installs_once_for_ten_commands_and_repairs() {
    let context = context_with_bun();
    check_install_and_repair(&context, "npm", "json");
    assert!(is_by_bun(&prefix(&context, "json")));
}

#[test]
#[ignore = "needs npm: run with --ignored"]
fn bun_installs_the_files_that_npm_installs() {
    let context = context_with_bun();
    let install = ["install", "eslint", "--binproviders", "npm"];
    context.run(&install).succeeds();
    let prefix = prefix(&context, "eslint");
    assert!(is_by_bun(&prefix));
    let by_bun = contents(&prefix.join("node_modules"));
    let mut context = context;
    context.set("NPM_USE_BUN", "false");
    context.run(&[&install[..], &["--force"]].concat()).succeeds();
    assert!(!is_by_bun(&prefix));
    let by_npm = contents(&prefix.join("node_modules"));
    let paths =
        |files: &[(PathBuf, u32, Vec<u8>)]| files.iter().map(|(path, ..)| path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&by_bun), paths(&by_npm));
    assert!(by_bun == by_npm, "the files have the same content and the same mode");
}

#[test]
#[ignore = "needs npm: run with --ignored"]
fn bun_keeps_the_minimum_release_age_and_runs_no_scripts() {
    let context = context_with_bun();
    let old = ["install", "json", "--binproviders", "npm", "--min-release-age", "36500"];
    context.run(&old).exits_with(1).stderr_contains("that was released before");
    let line = json!({"type": "Binary", "name": "esbuild", "binproviders": "npm", "overrides": {"npm": ["esbuild@0.25.0"]}});
    context.plugin("p", &[line]);
    context.run(&["install"]).succeeds();
    assert!(is_by_bun(&prefix(&context, "esbuild")));
    context.run(&["install", "--force", "--postinstall-scripts"]).succeeds();
    assert!(!is_by_bun(&prefix(&context, "esbuild")), "npm runs the scripts of all packages");
}

#[test]
#[ignore = "needs npm: run with --ignored"]
fn npm_installs_what_bun_cannot_and_for_settings_that_bun_does_not_know() {
    let mut context = context_with_bun();
    context.set("HOME", context.path("home"));
    let is_by_bun_with = |overrides: serde_json::Value, npmrc: &str| {
        context.write("home/.npmrc", npmrc);
        let line = json!({"type": "Binary", "name": "semver", "binproviders": "npm", "overrides": {"npm": overrides}});
        context.plugin("p", &[line]);
        context.run(&["install", "--force"]).succeeds();
        is_by_bun(&prefix(&context, "semver"))
    };
    assert!(is_by_bun_with(json!({"packages": ["semver@7.6.0"]}), ""));
    assert!(is_by_bun_with(json!({}), "fund=false\n; proxy=http://x\n@other:registry=http://127.0.0.1:9/\n"));
    assert!(!is_by_bun_with(json!({}), "strict-ssl = true\n"));
    assert!(!is_by_bun_with(json!({"install_args": ["--legacy-peer-deps", "semver"]}), ""));
    assert!(!is_by_bun_with(json!({"overrides": {"lru-cache": "6.0.0"}}), ""));
}
