//! Binaries that are no programs, such as Python and Node modules.

use std::fs;

use serde_json::json;

use crate::test_context::TestContext;

/// A provider that fills a venv with a package, which has a module and no program.
const VENV: &str = r#"#!/bin/sh
root=$LIB_DIR/venv/feedparser
info=$root/lib/python3/site-packages/feedparser-6.0.14.dist-info
mkdir -p "$root/bin" "$info" "$info/../feedparser"
: >"$root/pyvenv.cfg"
echo 'import sys' >"$info/../feedparser/__init__.py"
echo feedparser/__init__.py,sha256=x,1 >"$info/RECORD"
echo 'Version: 6.0.14' >"$info/METADATA"
exec "$RIGUP" hook binary --provider venv --abspath "$root/bin/feedparser" -- "$@"
"#;

#[test]
fn a_python_module_is_recorded_and_not_linked() {
    let context = TestContext::new();
    context.provider("venv", VENV);
    let config = r#"{"type": "object", "properties": {}, "metadata": "dist-info"}"#;
    context.write("here/providers/venv/config.json", config);
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "feedparser", "binproviders": "venv", "min_version": "6.0.14"})],
    );
    let record = context.run(&["install"]).succeeds().record();
    assert!(
        record["abspath"]
            .as_str()
            .unwrap()
            .ends_with("/feedparser/lib/python3/site-packages/feedparser/__init__.py"),
        "{record}"
    );
    assert_eq!((&record["version"], &record["package_version"]), (&json!("6.0.14"), &json!("6.0.14")));
    assert!(!context.bin("feedparser").exists());
    assert_eq!(context.run(&["install"]).succeeds().record()["status"], "installed");
    assert_eq!(context.hook_processes().len(), 1, "the second install runs no hook");
    context.run(&["load", "feedparser"]).succeeds();
    let module = record["abspath"].as_str().unwrap();
    assert_eq!(context.run(&["which", "feedparser"]).succeeds().stdout, format!("{module}\n"));
    let error = context.run(&["exec", "--", "feedparser"]).exits_with(127).stderr;
    assert!(
        error.contains("feedparser/__init__.py is a module, not a program")
            && !error.contains("rigup install"),
        "{error}"
    );
    fs::write(module, "import os\n").unwrap();
    context.run(&["load", "feedparser"]).exits_with(1);
}

#[test]
fn hook_test_accepts_a_hook_that_installs_a_module() {
    let context = TestContext::new();
    context.provider("venv", VENV);
    let config = r#"{"type": "object", "properties": {}, "metadata": "dist-info"}"#;
    context.write("here/providers/venv/config.json", config);
    let hook = "providers/venv/on_BinaryRequest__50_venv.sh";
    context.run(&["hook", "test", hook, "--only", "answer,repeat", "--", "--name=feedparser"]).succeeds();
}

/// Writes a plugin whose `js` has an abspath, and a provider that reports this file.
fn context(file: &str, text: &str, overrides: &str) -> TestContext {
    let context = TestContext::new();
    let hook = format!(
        "#!/bin/sh\nmkdir -p \"$(dirname {file})\"\nprintf '{text}' >{file}\n\
         echo '{{\"type\":\"Binary\",\"name\":\"js\",\"abspath\":\"'{file}'\",\"version\":\"2.5\"}}'\n"
    );
    context.provider("node-like", &hook);
    let config = format!(
        r#"{{"type": "object", "properties": {{}},
        "required_binaries": [{{"name": "js", "binproviders": "node-like", "overrides": {{"node-like": {overrides}}}}}]}}"#
    );
    context.write("here/plugins/p/config.json", config);
    context
}

#[test]
fn a_node_module_that_the_request_names_is_recorded_and_not_linked() {
    let overrides = r#"{"abspath": "{ABXPKG_LIB_DIR}/x/node_modules/js/index.js", "version": "2.5.79"}"#;
    let context = context("$LIB_DIR/x/node_modules/js/index.js", "module.exports = 1\\n", overrides);
    let record = context.run(&["install"]).succeeds().record();
    assert_eq!(record["version"], "2.5.79");
    assert!(!context.bin("js").exists());
    assert_eq!(context.run(&["install"]).succeeds().record()["status"], "installed");
    assert_eq!(context.hook_processes().len(), 1);
}

#[test]
fn a_file_that_is_no_module_of_lib_dir_is_rejected() {
    for (file, content, reason) in [
        ("$HOME/notes.txt", "notes", "has no exec bit, and does not begin like a program"),
        ("$LIB_DIR/x/tool", "#!/bin/sh\\n", "has no exec bit; the provider's hook must set it"),
    ] {
        let context = context(file, content, "{}");
        let record = context.run(&["install"]).exits_with(1).record();
        let error = record["last_error"].as_str().unwrap();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn uv_installs_a_package_without_programs_as_a_module() {
    let mut context = TestContext::new();
    context.without_registries();
    // `uv tool install` fails, says on stdout why, and leaves a file; `uv venv` needs an empty folder.
    let uv = r#"#!/bin/sh
case "$1 $2" in
"tool install") : >"$UV_TOOL_DIR/.lock" && echo "No executables are provided by package \`six\`; removing tool" && echo "error: Failed to install entrypoints for \`six\`" >&2 && exit 1 ;;
"venv --quiet") [ -z "$(ls -A "$3")" ] || { echo "error: A directory already exists at: $3" >&2 && exit 1; }
    mkdir -p "$3/bin" && : >"$3/pyvenv.cfg" && ln -s /bin/sh "$3/bin/python" ;;
"pip install")
    for arg; do case $arg in */bin/python) packages=${arg%/bin/python}/lib/python3/site-packages ;; esac; done
    info=$packages/six-1.17.0.dist-info
    mkdir -p "$info" && echo 'import sys' >"$packages/six.py" && echo six.py,sha256=x,1 >"$info/RECORD"
    printf 'Name: six\nVersion: 1.17.0\n' >"$info/METADATA" ;;
esac
"#;
    context.script("tools/bin/uv", uv);
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools/bin").display()));
    for provider in ["pip", "uv"] {
        let record = context.run(&["install", &format!("{provider}:six"), "--force"]).succeeds().record();
        assert!(record["abspath"].as_str().unwrap().ends_with("/site-packages/six.py"), "{record}");
        assert_eq!(record["version"], "1.17.0");
    }
}
