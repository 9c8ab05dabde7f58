//! Records that this rigup cannot read, such as those of a newer one: nothing that they may be about is removed.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::test_context::TestContext;

/// A provider that installs into its prefix, and fails for names that begin with `bad`.
pub(crate) const PROVIDER: &str = "#!/bin/sh\nset -eu\neval \"$(\"$RIGUP\" hook begin --provider p -- \"$@\")\"\n\
    case $name in bad*) echo no >&2; exit 1 ;; esac\n\
    mkdir -p \"$prefix\"\nprintf '#!/bin/sh\\necho 1.0\\n' >\"$prefix/$name\"\nchmod +x \"$prefix/$name\"\n\
    \"$RIGUP\" hook binary --provider p --abspath \"$prefix/$name\" -- \"$@\"\n";

fn context() -> TestContext {
    let mut context = TestContext::new();
    context.provider("p", PROVIDER);
    context.set("LIB_DIR", context.path("lib"));
    context
}

/// Makes a column of the record of `a` unreadable.
fn damage(context: &TestContext, assignment: &str) {
    context.store().execute_batch(&format!("UPDATE binary SET {assignment} WHERE name = 'a'")).unwrap();
}

fn paths(context: &TestContext) -> [PathBuf; 2] {
    ["lib/p/a/a", "lib/bin/a"].map(|path| context.path(path))
}

#[test]
fn what_an_unreadable_record_names_is_not_orphaned() {
    for assignment in ["overrides = '{x'", "created_at = 'soon'", "abspath = 7", "binprovider = '../x'"] {
        let context = context();
        context.run(&["install", "p:a"]).succeeds();
        damage(&context, assignment);
        let output = context.run(&["uninstall", "--orphaned", "--yes"]);
        assert!(paths(&context).iter().all(|path| path.exists()), "{assignment}: {output:?}");
        if assignment.starts_with("abspath") {
            output.exits_with(3).stderr_contains("column abspath");
        }
    }
}

#[test]
fn a_folder_that_an_unreadable_record_shares_is_kept() {
    let context = context();
    let shared = |name: &str| json!({"type": "Binary", "name": name, "binproviders": "p", "overrides": {"p": {"install_root": "sh"}}});
    context.plugin("two", &[shared("a"), shared("b")]);
    context.run(&["install"]).succeeds();
    damage(&context, "abspath = 7");
    context.run(&["uninstall", "b", "--force"]).exits_with(3).stderr_contains("column abspath");
    assert!(context.path("lib/bin/b").exists() && context.path("lib/p/sh/b").exists(), "nothing is removed");
    damage(&context, "abspath = NULL, binprovider = NULL");
    context.run(&["install"]).succeeds();
    damage(&context, "overrides = '{x'");
    let kept = context.run(&["uninstall", "b", "--force"]).succeeds().record();
    assert!(kept["reason"].as_str().unwrap().ends_with("p/sh is kept: a uses it"), "{kept}");
    assert!(context.path("lib/p/sh/a").exists() && context.path("lib/bin/a").exists());
}

#[test]
fn a_binary_whose_record_cannot_be_read_is_not_missing() {
    let context = context();
    context.run(&["install", "p:a"]).succeeds();
    damage(&context, "overrides = '{x'");
    for name in ["a", "p:a", "a@1.0"] {
        let output = context.run(&["uninstall", name]).exits_with(3).stderr_contains("column overrides");
        assert!(!output.stderr.contains("not installed"), "{}", output.stderr);
    }
    assert!(paths(&context).iter().all(|path| path.exists()));
}

#[test]
fn the_link_of_a_binary_whose_record_cannot_be_read_is_not_replaced() {
    let context = context();
    let tool = context.script("tools/a", "#!/bin/sh\necho 2.0\n");
    context.run(&["install", "p:a"]).succeeds();
    damage(&context, "overrides = '{x'");
    let other = context.run(&["install", &format!("env:{}", tool.display())]).exits_with(1);
    other.stderr_contains("it is the link of a; --force replaces it");
    assert_eq!(fs::read_link(context.path("lib/bin/a")).unwrap(), PathBuf::from("../p/a/a"));
}

#[test]
fn a_report_leaves_out_a_process_that_cannot_be_read() {
    let context = context();
    context.run(&["install", "p:bad"]).exits_with(1);
    context.store().execute_batch("UPDATE process SET cmd = 'nope' WHERE process_type = 'hook'").unwrap();
    context.run(&["report"]).succeeds().stderr_contains("column cmd");
    assert!(fs::read_to_string(context.path("here/rigup-report.html")).unwrap().contains("bad"));
    for args in [&["logs", "--failed"][..], &["process", "logs", "--failed"]] {
        context
            .run(args)
            .stderr_contains("column cmd")
            .stderr_contains("no process that can be read failed in");
    }
}
