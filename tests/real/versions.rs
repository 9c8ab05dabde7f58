//! The versions that providers list, from their registries.

use std::fs;

use serde_json::json;

use crate::context_with_registries;
use crate::listed_versions::{listed, request};
use crate::package_managers::context_with_gems;

#[test]
#[ignore = "asks registries: run with --ignored"]
fn providers_list_versions_by_one_request_for_each_package() {
    let mut context = context_with_registries();
    for (provider, name, package, known) in [
        ("pip", "yt-dlp", "yt-dlp[default]", "2025.1.15"),
        ("uv", "ruff", "ruff", "0.4.1"),
        ("npm", "ng", "@angular/cli", "17.0.0"),
        ("pnpm", "prettier", "prettier", "3.0.0"),
        ("bun", "ng", "@angular/cli", "17.0.0"),
        ("deno", "cowsay", "npm:cowsay", "1.5.0"),
        ("deno", "tsc", "npm:typescript/tsc", "5.0.4"),
        ("yarn", "ng", "@angular/cli", "17.0.0"),
        ("cargo", "rg", "ripgrep", "14.1.0"),
    ] {
        let records = listed(&mut context, provider, &[request(name, provider, &json!([package]))]);
        let versions = records.iter().filter_map(|record| record["versions"].as_array()).flatten();
        let found = versions.clone().find(|entry| entry["version"] == known);
        let found = found.unwrap_or_else(|| panic!("{provider} lists {package} {known}: {records:?}"));
        assert!(found["released_at"].is_string(), "{found}");
    }
}

#[test]
#[ignore = "installs from registries: run with --ignored"]
fn package_managers_choose_a_version_that_begins_with_a_partial_one() {
    let context = context_with_gems();
    for (provider, name, partial) in
        [("pip", "pycodestyle", "2.11"), ("npm", "json", "9"), ("yarn", "json", "9"), ("gem", "hello", "1")]
    {
        // A copy of the provider that does not list versions.
        let built_in = format!("{}/providers/{provider}", env!("CARGO_MANIFEST_DIR"));
        for file in fs::read_dir(built_in).unwrap().map(|file| file.unwrap().path()) {
            let file_name = file.file_name().unwrap().to_str().unwrap();
            if !file_name.contains("BinaryVersions") {
                let copy = context.path("here/providers").join(provider).join(file_name);
                fs::create_dir_all(copy.parent().unwrap()).unwrap();
                fs::copy(&file, copy).unwrap();
            }
        }
        let spec = format!("{provider}:{name}@{partial}");
        let record = context.run(&["install", &spec]).succeeds().record();
        let version = record["package_version"].as_str().unwrap();
        assert!(version.starts_with(&format!("{partial}.")), "{record}");
        assert!(!version.starts_with(&format!("{partial}.0.0")), "the newest: {record}");
    }
}

#[test]
#[ignore = "asks registries: run with --ignored"]
fn outdated_and_upgrade_find_a_newer_version_on_the_registry() {
    let context = context_with_registries();
    let record = context.run(&["install", "pip:pycodestyle@2.11.0"]).succeeds().record();
    assert_eq!(record["version"], "2.11.0");
    let line = json!({"type": "Binary", "name": "pycodestyle", "binproviders": "pip", "max_version": "2.12"});
    fs::create_dir_all(context.path("here/plugins/p")).unwrap();
    context.plugin("p", &[line]);
    let outdated = context.run(&["outdated", "--check"]).exits_with(1).records();
    let row = outdated.iter().find(|row| row["name"] == "pycodestyle").unwrap();
    assert_eq!([&row["status"], &row["wanted"]], ["outdated", "2.12.0"]);
    let upgraded = context.run(&["upgrade", "pycodestyle"]).succeeds().record();
    assert_eq!(upgraded["version"], "2.12.0");
    let hooks = context.hook_processes().len();
    context.run(&["upgrade", "pycodestyle"]).succeeds().stderr_contains("pycodestyle is up to date (2.12.0)");
    assert_eq!(context.hook_processes().len(), hooks + 1, "only the hook that lists versions runs");
}
