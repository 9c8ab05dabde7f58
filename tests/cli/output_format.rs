//! The form of data on standard output: `--format`, `--json` and `RIGUP_FORMAT`.

use serde_json::json;

use crate::test_context::TestContext;

const LIST: [&str; 2] = ["plugin", "list"];

#[test]
fn the_variable_selects_the_form_unless_an_option_does() {
    let mut context = TestContext::new();
    context.plugin("reader", &[]);
    assert!(context.run(&LIST).succeeds().stdout.starts_with('{'));
    context.set("RIGUP_FORMAT", "table");
    assert!(context.run(&LIST).succeeds().stdout.starts_with("PLUGIN "));
    assert!(context.run(&["plugin", "list", "--json"]).succeeds().stdout.starts_with('{'));
    assert!(context.run(&["plugin", "list", "--format", "jsonl"]).succeeds().stdout.starts_with('{'));
    context.set("RIGUP_FORMAT", "jsonl");
    assert!(context.run(&["plugin", "list", "--format=table"]).succeeds().stdout.starts_with("PLUGIN "));
    context.set("RIGUP_FORMAT", "");
    assert!(context.run(&LIST).succeeds().stdout.starts_with('{'));
}

#[test]
fn an_unknown_form_in_the_variable_is_a_usage_error_that_names_it() {
    let mut context = TestContext::new();
    context.set("RIGUP_FORMAT", "xml");
    let output = context.run(&LIST).exits_with(2);
    assert_eq!(output.stderr, "error: cannot use RIGUP_FORMAT=xml: set it to one of table, jsonl\n");
    context.run(&["plugin", "list", "--json"]).succeeds();
}

#[test]
fn a_hook_that_runs_rigup_gets_the_form_that_is_documented() {
    let mut context = TestContext::new();
    context.set("RIGUP_FORMAT", "table");
    context.provider("lister", "#!/bin/sh\n\"$RIGUP\" machine list >&2\nexit 1\n");
    context.plugin("reader", &[json!({"type": "Binary", "name": "one", "binproviders": "lister"})]);
    let output = context.run(&["install", "--json"]).exits_with(1);
    let reason = output.record()["attempts"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("{\"type\":\"Machine\""), "{reason}");
}
