//! `rigup init` writes plugins and providers that work without changes.

use std::fs;
use std::path::Path;

use crate::test_context::TestContext;

#[test]
fn a_new_provider_passes_hook_test_and_installs() {
    for (language, extension, program) in
        [("sh", "sh", "/bin/sh"), ("python", "py", "/usr/bin/python3"), ("node", "js", "/usr/bin/node")]
    {
        if !Path::new(program).exists() {
            continue;
        }
        let context = TestContext::new();
        let hook = format!("providers/my-shelf/on_BinaryRequest__50_my-shelf.{extension}");
        let output = context.run(&["init", "provider", "my-shelf", "--lang", language]).succeeds();
        assert_eq!(output.records().len(), 2);
        assert_eq!(output.records()[1]["path"], hook);
        let output = output.stderr_contains(&format!("next: rigup hook test {hook}"));
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        let tested = context.run(&["hook", "test", &hook]).succeeds().records();
        let answer = tested.iter().find(|check| check["item"] == "answer").unwrap();
        assert_eq!(answer["outcome"], "held", "{language}: {answer}");
        let record = context.run(&["install", "sh", "--binproviders", "my-shelf"]).succeeds().record();
        assert_eq!(record["binprovider"], "my-shelf", "{language}");
        assert!(context.bin("sh").exists());
    }
}

#[test]
fn a_new_provider_uses_its_overrides_and_its_setting() {
    for (language, program) in [("sh", "/bin/sh"), ("python", "/usr/bin/python3"), ("node", "/usr/bin/node")]
    {
        if !Path::new(program).exists() {
            continue;
        }
        let mut context = TestContext::new();
        context.run(&["init", "provider", "shelf", "--lang", language]).succeeds();
        context.script("mine/tool-2", "#!/bin/sh\necho tool 2.5\n");
        context.set("SHELF_SOURCE", context.path("mine"));
        for (name, overrides) in [
            ("a", serde_json::json!({"shelf": {"packages": ["tool-2"]}})),
            ("b", serde_json::json!({"shelf": {"install_args": "tool-2"}})),
            ("c", serde_json::json!({"shelf": ["tool-2"]})),
            ("d", serde_json::json!({"shelf": "tool-2"})),
        ] {
            let line = serde_json::json!({"type": "Binary", "name": name, "binproviders": "shelf", "overrides": overrides});
            context.plugin("p", &[line]);
            let record = context.run(&["install", "--plugins", "p"]).succeeds().record();
            assert_eq!((record["version"].as_str(), record["name"].as_str()), (Some("2.5"), Some(name)));
        }
    }
}

#[test]
fn a_new_hook_in_shell_defines_no_function_that_hook_begin_replaces() {
    let context = TestContext::new();
    context.run(&["init", "provider", "shelf", "--lang", "sh"]).succeeds();
    let hook = context.path("here/providers/shelf/on_BinaryRequest__50_shelf.sh");
    let hook = fs::read_to_string(hook).unwrap();
    let (before, after) = hook.split_once("hook begin").unwrap();
    assert!(!before.contains("() {"), "{before}");
    assert!(after.contains(" || decline "), "{after}");
}

#[test]
fn a_new_plugin_passes_hook_test_and_runs() {
    let context = TestContext::new();
    context.run(&["init", "plugin", "notes"]).succeeds();
    let hook = "plugins/notes/on_Snapshot__50_notes.sh";
    context.run(&["hook", "test", hook, "--", "--url=https://example.org"]).succeeds();
    context.run(&["install", "--plugins", "notes"]).succeeds();
    let output =
        context.run(&["run", "--plugins", "notes", "Snapshot", "--url=https://example.org"]).succeeds();
    assert_eq!(output.records()[0]["output_str"], "notes.txt");
}

#[test]
fn overwrites_no_file() {
    let context = TestContext::new();
    context.run(&["init", "provider", "shelf", "--dir", "here"]).succeeds();
    let hook = context.path("here/here/shelf/on_BinaryRequest__50_shelf.sh");
    fs::write(&hook, "mine").unwrap();
    let repeated = ["init", "provider", "shelf", "--dir", "here"];
    context.run(&repeated).exits_with(1).stderr_contains("here/shelf already exists, so nothing was written");
    assert_eq!(fs::read_to_string(hook).unwrap(), "mine");
    context.run(&["init", "plugin", "../x"]).exits_with(2).stderr_contains("is not a valid name");
    context.run(&["init", "provider", "x", "--lang", "cobol"]).exits_with(2);
    assert!(!context.path("here/plugins").exists());
}
