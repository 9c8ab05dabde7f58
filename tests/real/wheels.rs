//! Programs that providers need come as wheels where nothing else has them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::json;

use crate::context_with_registries;
use crate::package_managers::context_with_module;
use crate::test_context::TestContext;

/// The programs that PATH does not have: what the providers need, and everything that could install it but pip.
const MISSING: [&str; 12] =
    ["apt-get", "brew", "bun", "curl", "go", "node", "nodejs", "npm", "npx", "sudo", "uv", "wget"];

/// Puts every program of the system on PATH, except for those in [`MISSING`]. Returns the folder of the others.
pub(crate) fn hide_programs(context: &mut TestContext) -> PathBuf {
    let programs = context.path("programs");
    fs::create_dir(&programs).unwrap();
    for program in fs::read_dir("/usr/bin").unwrap() {
        let program = program.unwrap();
        if !MISSING.iter().any(|name| program.file_name() == *name) {
            symlink(program.path(), programs.join(program.file_name())).unwrap();
        }
    }
    context.set("PATH", programs.clone());
    programs
}

#[test]
#[ignore = "installs from the real PyPI: run with --ignored"]
fn go_builds_programs_on_a_machine_that_has_only_python() {
    let mut context = context_with_module();
    hide_programs(&mut context);
    let record = context.run(&["install"]).succeeds().stderr_contains("go: installed by pip").record();
    assert_eq!((&record["name"], &record["binprovider"]), (&json!("hello"), &json!("go")));
    assert_eq!(context.run(&["exec", "--", "hello"]).succeeds().stdout, "hello 1.2.0\n");
}

#[test]
#[ignore = "installs from the real PyPI and npm registry: run with --ignored"]
fn npm_installs_programs_on_a_machine_that_has_only_python() {
    let mut context = context_with_registries();
    hide_programs(&mut context);
    let output = context.run(&["install", "json", "--binproviders", "npm"]).succeeds();
    output.stderr_contains("node: installed by pip");
    context.run(&["exec", "--", "json", "--version"]).succeeds();
}
