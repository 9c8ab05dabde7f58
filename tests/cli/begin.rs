//! The variable with which a provider's hook begins without running `rigup hook begin`.

use std::fs;
use std::path::Path;

use crate::test_context::TestContext;

const HOOK: &str = r#"#!/bin/sh
set -eu
printf %s "${RIGUP_BEGIN-}" | sed '/^unset RIGUP_BEGIN$/d; /^begun=yes$/d' >"$DATA_DIR/given"
"$RIGUP" hook begin --provider mine -- "$@" >"$DATA_DIR/printed"
eval "${RIGUP_BEGIN:-$(cat "$DATA_DIR/printed")}"
printf %s "${RIGUP_BEGIN+set}" >"$DATA_DIR/inherited"
"$RIGUP" hook binary --provider mine --abspath /bin/sh -- "$@"
"#;

/// Returns a context with this provider, whose `config.json` has these keys.
fn context(keys: &str) -> TestContext {
    let mut context = TestContext::new();
    // That of a hook which started the rigup in the test.
    context.set("RIGUP_BEGIN", "exit 7").provider("mine", HOOK);
    context.write("here/providers/mine/config.json", keys);
    context
}

/// Returns a file that the hook wrote, without the line that depends on the time.
fn written(context: &TestContext, name: &str) -> String {
    let text = fs::read_to_string(context.path("data").join(name)).unwrap();
    text.lines().filter(|line| !line.starts_with("released_before=")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_hook_whose_lock_rigup_takes_gets_the_code_of_hook_begin() {
    let context = context(r#"{"type": "object", "lock": "prefix", "version_format": "@{}"}"#);
    context.run(&["install", "x@1.2", "--binproviders", "mine"]).exits_with(1);
    let printed = written(&context, "printed");
    assert!(printed.contains("\npackages=x@1.2\n") && !printed.contains("hook lock"), "{printed}");
    assert_eq!(written(&context, "given"), printed);
    assert_eq!(written(&context, "inherited"), "", "a rigup that the hook runs does not get it");
}

#[test]
fn a_hook_that_takes_its_lock_itself_runs_hook_begin() {
    let context = context(r#"{"type": "object"}"#);
    context.run(&["install", "x", "--binproviders", "mine"]).succeeds();
    assert_eq!(written(&context, "given"), "");
}

#[test]
fn a_batch_hook_has_a_home_folder_if_the_caller_has_none() {
    let mut context = TestContext::new();
    let request = r#"{"type":"BinaryRequest","name":"x","binproviders":"npm"}"#;
    let begin = |context: &TestContext, option: &str| {
        let args = ["-c", &format!("echo '{request}' | \"$0\" hook begin --provider npm {option}")];
        let rigup = env!("CARGO_BIN_EXE_rigup");
        let output =
            context.command_for(Path::new("/bin/sh"), &[&args[..], &[rigup]].concat()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!begin(&context, "--versions").contains("HOME="));
    context.unset("HOME");
    assert!(begin(&context, "--versions").contains("\nexport HOME=/"));
    let locked = context.path("data/lib").join(rigup::settings::platform()).join("npm");
    context.set("RIGUP_LOCKED", locked);
    let code = context.run(&[
        "hook",
        "lock",
        "npm",
        "--",
        "sh",
        "-c",
        &format!("echo '{request}' | {} hook begin --provider npm --batch", env!("CARGO_BIN_EXE_rigup")),
    ]);
    assert!(code.succeeds().stdout.starts_with("export HOME=/"));
}

#[test]
fn the_code_of_the_caller_reaches_no_process() {
    let context = context(r#"{"type": "object"}"#);
    let print = "echo \"${RIGUP_BEGIN-none}\"";
    assert_eq!(context.run(&["exec", "--", "sh", "-c", print]).succeeds().stdout, "none\n");
    context
        .script("here/plugins/p/on_Snapshot__10_p.sh", &format!("#!/bin/sh\n{print} >\"$DATA_DIR/event\"\n"));
    context.run(&["run", "Snapshot"]).succeeds();
    assert_eq!(written(&context, "event"), "none");
    let id = context.hook_processes()[0]["id"].as_str().unwrap().to_owned();
    context.run(&["process", "replay", &id]).succeeds();
    assert_eq!(written(&context, "event"), "none");
    let hook = context.path("here/providers/mine/on_BinaryRequest__50_mine.sh");
    let test = ["hook", "test", hook.to_str().unwrap(), "--only", "answer", "--", "--name=x"];
    context.run(&test).succeeds();
}
