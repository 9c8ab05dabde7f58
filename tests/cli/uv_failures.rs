//! The pip provider if uv fails: when pip is tried instead.

use std::fs;

use serde_json::json;

use crate::pip_and_uv::{context, installed_by};
use crate::test_context::TestContext;

/// Makes `uv tool install` run these commands.
fn set_uv(context: &TestContext, commands: &str) {
    let tool = format!("#!/bin/sh\n[ \"$1\" != tool ] || {{ {commands}; }}\n");
    context.script("tools/bin/uv", &tool);
}

#[test]
fn pip_installs_if_uv_fails_or_is_killed() {
    let context = context();
    for commands in [
        "exit 3",
        "kill -9 $$",
        "echo \"error: unexpected value\" >&2; exit 2",
        "echo panicked >&2; exit 101",
    ] {
        set_uv(&context, commands);
        assert_eq!(installed_by(&context, "pip"), "pip PIP_CONFIG_FILE=/dev/null", "{commands}");
        fs::remove_file(context.path("data/installed-by")).unwrap();
    }
}

#[test]
fn pip_is_not_tried_if_it_would_fail_too_or_install_something_else() {
    let mut context = context();
    let pip_is_not_tried = |context: &TestContext, reason: &str| {
        let record = context.run(&["install", "x", "--binproviders", "pip"]).exits_with(1).record();
        let found = record["attempts"][0]["reason"].as_str().unwrap();
        assert!(found.contains(reason), "{reason}: {found}");
        assert!(!context.path("data/installed-by").exists(), "{reason}");
    };
    for (error, reason) in [
        ("No solution found when resolving: x was not found in the package registry", "No solution found"),
        ("Failed to fetch: `http://h/x/`", "cannot reach the index"),
        ("Failed to build `x`", "Failed to build"),
        ("No space left on device (os error 28)", "No space left on device"),
    ] {
        set_uv(&context, &format!("echo 'error: {error}' >&2; exit 1"));
        pip_is_not_tried(&context, reason);
    }
    set_uv(&context, "exit 3");
    context.set("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple");
    pip_is_not_tried(&context, "the installer printed no reason, and exited with code 3");
}

#[test]
fn pip_installs_if_uv_cannot_make_a_venv() {
    let context = context();
    let shared = json!({"pip": {"packages": ["x"], "install_root": "shared"}});
    context
        .plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "pip", "overrides": shared})]);
    let no_program = "echo 'No executables are provided by x' >&2; exit 1";
    for (of_tool, of_venv) in
        [(no_program, "exit 3"), ("exit 9", "kill -9 $$"), ("exit 9", "echo 'error: no Python' >&2; exit 2")]
    {
        let uv = format!("#!/bin/sh\ncase $1 in tool) {of_tool} ;; venv) {of_venv} ;; *) exit 9 ;; esac\n");
        context.script("tools/bin/uv", &uv);
        assert_eq!(installed_by(&context, "pip"), "pip PIP_CONFIG_FILE=/dev/null", "{of_venv}");
        fs::remove_file(context.path("data/installed-by")).unwrap();
        fs::remove_dir_all(context.path("data/lib")).unwrap();
    }
    context.script("tools/bin/uv", "#!/bin/sh\necho 'error: No space left on device' >&2; exit 2\n");
    let record = context.run(&["install"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["reason"], "exit code 1: No space left on device");
    assert!(!context.path("data/installed-by").exists());
}
