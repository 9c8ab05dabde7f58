//! Files and folders that look like providers, hooks or requirements, but are not used: each is named with its cause.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::test_context::TestContext;

const HOOK: &str = "#!/bin/sh\nexit 0\n";

/// Returns the reason of the only attempt at a binary that only the provider `x` may install.
#[track_caller]
fn reason(context: &TestContext) -> String {
    let output = context.run(&["install", "tool", "--binproviders", "x"]).exits_with(1);
    let attempts = output.record()["attempts"].clone();
    assert_eq!(
        (attempts[0]["provider"].as_str(), attempts[0]["outcome"].as_str()),
        (Some("x"), Some("skipped"))
    );
    attempts[0]["reason"].as_str().unwrap().to_owned()
}

fn set_mode(context: &TestContext, path: &str, mode: u32) {
    fs::set_permissions(context.path(path), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_misnamed_hook_is_the_cause_and_the_right_name_is_given() {
    for (file, problem) in [
        (
            "on_BinaryRequest_50_x.sh",
            "not a hook; if it should be one, rename it to on_BinaryRequest__50_x.sh",
        ),
        (
            "On_BinaryRequest__50_x.sh",
            "not a hook; if it should be one, rename it to on_BinaryRequest__50_x.sh",
        ),
        (
            "on_binaryrequest__50_x.sh",
            "a hook of another event than BinaryRequest; if it should install binaries, rename it to on_BinaryRequest__50_x.sh",
        ),
        ("on_BinaryRequest.sh", "not a hook; if it should be one, name it on_<Event>__<NN>_<name>.<ext>"),
    ] {
        let context = TestContext::new();
        let path = context.script(&format!("here/providers/x/{file}"), HOOK);
        let expected = format!("{}: {problem}", path.display());
        assert_eq!(reason(&context), expected);
        context.run(&["hook", "list"]).stderr_contains(&format!("warning: {expected}\n"));
    }
}

#[test]
fn a_hook_without_an_exec_bit_or_an_extension_is_the_cause() {
    let context = TestContext::new();
    context.write("here/providers/x/on_BinaryRequest__50_x", HOOK);
    assert!(reason(&context).contains("on_BinaryRequest__50_x: not a hook, because it has no exec bit"));
}

#[test]
fn a_folder_without_a_provider_hook_is_the_cause() {
    let context = TestContext::new();
    context.script("here/plugins/x/on_Snapshot__50_x.sh", HOOK);
    assert!(reason(&context).ends_with("/plugins/x has no hook named on_BinaryRequest__<NN>_<name>.<ext>"));
}

#[test]
fn an_untrusted_folder_of_the_provider_or_around_it_is_the_cause() {
    let context = TestContext::new();
    context.provider("x", HOOK);
    for folder in ["here/providers/x", "here/providers"] {
        set_mode(&context, folder, 0o777);
        let path = context.path(folder).display().to_string();
        assert!(
            reason(&context).starts_with(&format!("{path}: others can write to it (mode 0777); fix it with"))
        );
        set_mode(&context, folder, 0o755);
    }
}

#[test]
fn a_carriage_return_after_the_interpreter_is_an_error() {
    for (file, mode, shebang) in [
        ("on_BinaryRequest__50_x.sh", 0o755, "#!/bin/sh"),
        ("on_BinaryRequest__50_x.sh", 0o644, "#!/bin/sh"),
        ("on_BinaryRequest__50_x.py", 0o755, "#!/usr/bin/env python3"),
    ] {
        let context = TestContext::new();
        let path = context.write(&format!("here/providers/x/{file}"), format!("{shebang}\r\nexit 0\r\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let shown = path.display();
        let cause = format!(
            "{shown}: cannot be started: its first line ends with a carriage return, as in a file of Windows; \
             run `sed -i 's/\\r$//' {shown}`"
        );
        assert_eq!(reason(&context), cause);
        context.run(&["hook", "list"]).exits_with(1).stderr_contains(&format!("error: {cause}\n"));
        let command = format!("sed -i 's/\\r$//' {shown}");
        let fixed = context.command_for("/bin/sh".as_ref(), &["-c", &command]).status().unwrap();
        assert!(fixed.success());
        context.run(&["hook", "list"]).succeeds();
    }
}

#[test]
fn a_script_that_tolerates_carriage_returns_runs() {
    let context = TestContext::new();
    context.write("here/providers/x/on_BinaryRequest__50_x.py", "#!/usr/bin/env python3\r\nprint('no')\r\n");
    let output = context.run(&["install", "tool", "--binproviders", "x"]).exits_with(1);
    assert_eq!(output.record()["attempts"][0]["outcome"], "declined");
}

#[test]
fn a_config_that_cannot_be_used_is_named_with_what_it_leads_to() {
    let context = TestContext::new();
    context.provider("x", HOOK);
    let config = context.write("here/providers/x/config.json", "{ x");
    let problem = format!("{}: cannot use the file: it is not JSON", config.display());
    let requirement = json!({"type": "Binary", "name": "tool", "binproviders": "x", "min_release_age": 3});
    context.plugin("p", &[requirement]);
    let output = context.run(&["install"]).exits_with(1);
    let reason = output.record()["attempts"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("min_release_age") && reason.contains(&problem), "{reason}");
    output.stderr_contains("nothing in it is used, and only a request that names the provider tries it");
}

#[test]
fn overrides_for_a_provider_that_is_not_used_name_the_cause() {
    let context = TestContext::new();
    context.script("here/providers/x/on_BinaryRequest_50_x.sh", HOOK);
    let requirement = json!({"type": "Binary", "name": "sh", "binproviders": "env", "overrides": {"x": {"packages": ["y"]}}});
    context.plugin("p", &[requirement]);
    context
        .run(&["install"])
        .succeeds()
        .stderr_contains("ignored overrides.x, because there is no such provider; ")
        .stderr_contains("rename it to on_BinaryRequest__50_x.sh");
}

#[test]
fn a_misnamed_file_of_requirements_is_named_in_a_warning() {
    for (file, meant) in [("binaries.json", "binaries.jsonl"), ("config.jsonl", "config.json")] {
        let context = TestContext::new();
        let path = context.write(&format!("here/plugins/p/{file}"), "{}");
        let warning = format!(
            "warning: {}: rigup does not read a file of this name; rename it to {meant}\n",
            path.display()
        );
        context.run(&["install"]).succeeds().stderr_contains(&warning);
        context.write(&format!("here/plugins/p/{meant}"), "{}");
        let output = context.run(&["plugin", "list"]);
        assert!(
            !output.stderr.contains("of this name"),
            "a file next to the one that is read: {}",
            output.stderr
        );
    }
}
