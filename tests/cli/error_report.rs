//! The error that ends a command, as CI systems see it.

use std::fs;

use crate::test_context::TestContext;

#[test]
fn a_usage_error_of_the_parser_is_reported_to_the_ci_system() {
    let mut context = TestContext::new();
    let args = ["install", "--bad", "x"];
    let plain = context.run(&args).exits_with(2).stderr;
    assert!(!plain.contains("::error"), "{plain}");
    let expected = "::error title=rigup install%3A usage error::unexpected argument '--bad' found\n";
    context.run(&["install", "--bad", "--ci", "github"]).exits_with(2).stderr_contains(expected);
    context.run(&["install", "--ci=azure", "--bad"]).exits_with(2).stderr_contains(
        "##vso[task.logissue type=error;]rigup install: usage error: unexpected argument '--bad' found\n",
    );
    context.set("GITHUB_ACTIONS", "true");
    context.set("GITHUB_STEP_SUMMARY", context.write("summary", ""));
    let reported = context.run(&args).exits_with(2).stderr;
    assert_eq!(reported, plain + expected, "the report follows the message");
    let summary = fs::read_to_string(context.path("summary")).unwrap();
    assert!(summary.starts_with("\n### rigup install: usage error\n"), "{summary}");
    context.run(&["instal"]).exits_with(2).stderr_contains("::error title=rigup%3A usage error::");
    context
        .run(&["lock", "-j", "0"])
        .exits_with(2)
        .stderr_contains("::error title=rigup lock%3A usage error::");
    for silent in
        [&["install", "--ci=none", "--bad"] as &[&str], &["plugin", "shw"], &["install", "--help"], &[]]
    {
        let stderr = context.run(silent).stderr;
        assert!(!stderr.contains("::error"), "{silent:?}: {stderr}");
    }
}
