//! Runs the hooks with which built-in providers list versions.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// Runs a hook of a built-in provider with requests for these names, and returns its records.
pub(crate) fn listed(context: &mut TestContext, provider: &str, requests: &[Value]) -> Vec<Value> {
    let folder = format!("{}/providers/{provider}", env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let hook = files.into_iter().find(|file| file.to_string_lossy().contains("BinaryVersions")).unwrap();
    let input = requests.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let rigup = env!("CARGO_BIN_EXE_rigup");
    let lib_dir = context.path("lib");
    context.set("RIGUP", rigup).set("LIB_DIR", lib_dir);
    let mut child = context
        .command_for(Path::new("/bin/sh"), &[hook.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Returns a request for these packages of a provider.
pub(crate) fn request(name: &str, provider: &str, packages: &Value) -> Value {
    json!({"type": "BinaryRequest", "name": name, "binproviders": provider, "overrides": {provider: {"packages": packages}}})
}
