//! Parallel requests, several rigups at the same time, locks and deadlocks.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::test_context::TestContext;

#[test]
fn resolves_requests_in_parallel() {
    let context = TestContext::new();
    // Each hook exits only after the other one has started.
    context.provider("pair", "#!/bin/sh\nfor arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done\n\
        case $name in a) other=b ;; b) other=a ;; esac\nmkdir -p \"$DATA_DIR/met\"\n: >\"$DATA_DIR/met/$name\"\n\
        until [ -e \"$DATA_DIR/met/$other\" ]; do :; done\n\
        printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"$name\"\n");
    context.run(&["install", "a", "b", "--binproviders", "pair", "-j", "2", "--timeout", "30"]).succeeds();
}

#[test]
fn one_job_runs_one_hook_at_a_time() {
    let context = TestContext::new();
    context.provider("alone", "#!/bin/sh\nfor arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done\n\
        mkdir \"$DATA_DIR/inside\" || exit 1\nrmdir \"$DATA_DIR/inside\"\n\
        printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"$name\"\n");
    context.run(&["install", "a", "b", "c", "d", "e", "--binproviders", "alone", "-j", "1"]).succeeds();
}

#[test]
fn concurrent_first_installs_share_one_store() {
    let context = TestContext::new();
    context.plugin("shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    context.run_concurrently(12, &["install"]);
    assert_eq!(context.hook_processes().len(), 1);
    let machines = context.run(&["machine", "show"]).succeeds().records();
    assert_eq!(machines[0]["type"], "Machine");
}

#[test]
fn commands_under_one_lock_run_one_at_a_time_with_their_exit_codes() {
    let context = TestContext::new();
    let body = "mkdir \"$HOME/inside\" || exit 9; rmdir \"$HOME/inside\"; exit 7";
    fs::create_dir(context.path("home")).unwrap();
    let children: Vec<_> =
        (0..8).map(|_| context.start(&["hook", "lock", "pip/x", "--", "sh", "-c", body])).collect();
    for child in children {
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(7));
    }
}

#[test]
fn a_hook_may_install_a_binary_that_is_being_resolved() {
    const PAIR: &str = r#"#!/bin/sh
name=${1#--name=} in=$DATA_DIR/in
mkdir -p "$in" && : >"$in/$name"
if [ "$name" = a ]; then
    until [ -e "$in/b" ]; do :; done
    "$RIGUP" install b --plugins-dir "$HOOKS" >/dev/null 2>"$in/stderr" &
    echo $! >"$in/pid.new" && mv "$in/pid.new" "$in/pid"
    wait $! || exit
else
    # Exits after the other rigup has polled the lock often, or has given up.
    until grep -q waiting "$in/stderr" && read -r pid <"$in/pid"; do :; done 2>/dev/null
    until [ ! -e "/proc/$pid" ] || awk '/^voluntary/ { n += $2 } END { exit n < 60 }' /proc/$pid/task/*/status; do :; done
fi
printf '{"type":"Binary","name":"%s","abspath":"/bin/sh","version":"1"}' "$name"
"#;
    let mut context = TestContext::new();
    context.set("HOOKS", context.path("here/providers"));
    context.provider("p", PAIR);
    context.run(&["install", "a", "b", "--binproviders", "p", "-j", "2", "--timeout", "30"]).succeeds();
}

#[test]
fn a_hook_that_installs_its_own_binary_fails_instead_of_waiting() {
    let context = TestContext::new();
    context.provider("p", "#!/bin/sh\nexec \"$RIGUP\" install x --binproviders p >&2\n");
    let record =
        context.run(&["install", "x", "--binproviders", "p", "--timeout", "60"]).exits_with(1).record();
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(
            "exit code 3: error: cannot install x: the hook that called rigup is itself resolving x"
        ),
        "{reason}"
    );

    let circle = ["hook", "lock", "a", "--", env!("CARGO_BIN_EXE_rigup"), "hook", "lock", "a", "--", "true"];
    context.run(&circle).exits_with(3).stderr_contains("waits for this process");
}

/// A hook that installs the binary of the other hook, once both hooks run.
const MUTUAL_INSTALL: &str = r#"#!/bin/sh
name=${1#--name=}
case $name in a) other=b ;; b) other=a ;; esac
: >"$DATA_DIR/$name.at" && until [ -e "$DATA_DIR/$other.at" ]; do :; done
"$RIGUP" install "$other" --binproviders p >&2 || exit
printf '{"type":"Binary","name":"%s","abspath":"/bin/sh","version":"1"}' "$name"
"#;

/// Runs installs whose hooks for `a` and `b` wait for each other, and returns their standard error.
fn stderr_of_deadlock(context: &TestContext, installs: &[&[&str]]) -> String {
    let options = ["--binproviders", "p", "--timeout", "600"];
    let start = |names: &&[&str]| context.start(&[&["install"], *names, &options].concat());
    let children: Vec<_> = installs.iter().map(start).collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    outputs.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).collect()
}

#[test]
fn hooks_that_install_each_others_binary_fail_instead_of_waiting() {
    let context = TestContext::new();
    context.provider("p", MUTUAL_INSTALL);
    let stderr = stderr_of_deadlock(&context, &[&["a", "b", "-j", "2"]]);
    assert!(
        stderr.contains("a needs b, which needs a") || stderr.contains("b needs a, which needs b"),
        "{stderr}"
    );
    assert!(is_empty(&context.path("data/locks/waiting")));
}

#[test]
fn hooks_of_two_rigups_that_install_each_others_binary_fail_too() {
    let context = TestContext::new();
    context.provider("p", MUTUAL_INSTALL);
    let stderr = stderr_of_deadlock(&context, &[&["a"], &["b"]]);
    assert!(
        stderr.contains("a needs b, which needs a") || stderr.contains("b needs a, which needs b"),
        "{stderr}"
    );
    assert!(is_empty(&context.path("data/locks/waiting")));
}

#[test]
fn a_hook_that_installs_a_dependent_of_its_own_binary_fails() {
    let context = TestContext::new();
    context.provider("p", "#!/bin/sh\necho 'p needs y' >&2\n");
    let requirement = json!({"type": "Binary", "name": "y", "binproviders": "q"});
    context.write("here/providers/p/binaries.jsonl", requirement.to_string());
    context.provider("q", "#!/bin/sh\nexec \"$RIGUP\" install x --binproviders p >&2\n");
    let output = context.run(&["install", "x", "--binproviders", "p", "--timeout", "600"]).exits_with(1);
    let output = output
        .stderr_contains("p requires y, which cannot be installed: q failed: exit code 3: error: cannot install x: y needs x, which needs y, so waiting would never end");
    assert_eq!(output.record()["attempts"][0]["reason"], "p needs y");
    assert!(is_empty(&context.path("data/locks/waiting")));
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().count() == 0
}

#[test]
fn accepts_any_number_of_jobs() {
    let context = TestContext::new();
    context.fixture("good");
    context.run(&["install", "x", "--binproviders", "good", "-j", "65535"]).succeeds();
}
