//! What rigup prints for shells that the machine may not have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::context_with_registries;
use crate::test_context::TestContext;

/// Installs Nushell from npm, and returns its executable. What npm links is a script that needs Node.js on PATH.
fn nushell(context: &TestContext) -> PathBuf {
    let line =
        json!({"type": "Binary", "name": "nu", "binproviders": "npm", "overrides": {"npm": ["nushell"]}});
    context.plugin("shells", &[line]);
    let record = context.run(&["install", "nu"]).succeeds().record();
    let modules = Path::new(record["abspath"].as_str().unwrap()).ancestors().nth(2).unwrap();
    let platforms = fs::read_dir(modules.join("@nushell")).unwrap().map(|entry| entry.unwrap().path());
    platforms.map(|folder| folder.join("bin/nu")).find(|file| file.exists()).unwrap()
}

#[test]
#[ignore = "installs from npm: run with --ignored"]
fn nushell_reads_what_env_prints_for_any_folder_and_path() {
    let mut context = context_with_registries();
    let nu = nushell(&context);
    for name in ["plain", "it's a ”typographic“ ’one‘", "#{x} (1) * ~ !", "ü/日本"] {
        let folder = context.path(name);
        context.set("RIGUP_LIB_BIN_DIR", &folder);
        let text = context.run(&["env", "--shell", "nu"]).succeeds().stdout;
        let file = context.write("env.nu", text);
        let twice = format!("source {0}\nsource {0}\nprint ($env.PATH | to json --raw)", file.display());
        for (path, rest) in [(Some("/usr/bin:/bin"), &["/usr/bin", "/bin"][..]), (Some(""), &[]), (None, &[])]
        {
            let mut command = Command::new(&nu);
            command.args(["-n", "-c", &twice]).env_clear();
            if let Some(path) = path {
                command.env("PATH", path);
            }
            let output = command.output().unwrap();
            let found: Vec<String> =
                serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
            let expected: Vec<&str> =
                [folder.to_str().unwrap()].into_iter().chain(rest.iter().copied()).collect();
            assert_eq!(found, expected, "PATH was {path:?}");
        }
    }
}
