//! The error that ends a command, as CI systems and the readers of `--junit` see it.

use std::fs;

use nix::sys::signal::Signal;

use crate::test_context::{TestContext, died_of, signal, wait_until};

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

#[test]
fn the_junit_file_has_the_error_that_ended_the_command() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_Test__1_good.sh", "#!/bin/sh\n:\n");
    let written = |args: &[&str], code: i32| {
        context.write("here/r.xml", "of an earlier run");
        context.run(args).exits_with(code);
        fs::read_to_string(context.path("here/r.xml")).unwrap()
    };
    let nowhere = context.write("file", "").join("data").display().to_string();
    for (args, code, expected) in [
        (
            &["install", "--junit", "r.xml", "--plugins", "none"] as &[&str],
            3,
            "<testcase classname=\"rigup install\" name=\"setup error\">\n<error message=\"there is no plugin named none ",
        ),
        (
            &["--data-dir", &nowhere, "run", "--junit=r.xml", "Test"],
            3,
            "<testcase classname=\"rigup run\" name=\"setup error\">\n<error message=\"cannot use the data dir ",
        ),
        (
            &["run", "--junit", "r.xml", "../x"],
            2,
            "name=\"usage error\">\n<error message=\"&quot;../x&quot; is not ",
        ),
        (
            &["install", "--bad", "--junit=r.xml"],
            2,
            "<error message=\"unexpected argument &#39;--bad&#39; found\">",
        ),
        (
            &["hook", "test", "none", "--junit", "r.xml"],
            2,
            "classname=\"rigup hook test\" name=\"usage error\">",
        ),
    ] {
        let report = written(args, code);
        assert!(report.contains(" tests=\"1\" failures=\"0\" errors=\"1\" "), "{args:?}: {report}");
        assert!(report.contains(expected), "{args:?}: {report}");
    }
    let report = written(&["run", "--junit", "r.xml", "Other"], 0);
    assert!(report.contains(" tests=\"0\" failures=\"0\" errors=\"0\" "), "no hook ran: {report}");
    let other = written(&["plugin", "show", "--junit", "r.xml"], 2);
    assert_eq!(other, "of an earlier run", "it is no option of the command");
}

#[test]
fn the_junit_file_says_that_the_command_was_interrupted() {
    let context = TestContext::new();
    context.write("here/r.xml", "of an earlier run");
    context.script("here/plugins/p/on_Test__1_long.sh", "#!/bin/sh\nexec sleep 600\n");
    let rigup = context.start(&["run", "--junit", "r.xml", "Test"]);
    wait_until("the hook runs", || context.count_live("sleep") == 1);
    signal(rigup.id(), Signal::SIGTERM);
    assert!(died_of(rigup.wait_with_output().unwrap().status, Signal::SIGTERM));
    let report = fs::read_to_string(context.path("here/r.xml")).unwrap();
    assert!(report.contains("name=\"error\">\n<error message=\"interrupted\">"), "{report}");
}

#[test]
fn the_junit_file_is_not_that_of_an_earlier_command_after_a_kill_or_a_dry_run() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_Test__1_long.sh", "#!/bin/sh\nexec sleep 600\n");
    context.write("here/r.xml", "of an earlier run");
    let report = || fs::read_to_string(context.path("here/r.xml")).unwrap();
    let rigup = context.start(&["run", "--junit", "r.xml", "Test"]);
    wait_until("the hook runs", || context.count_live("sleep") == 1);
    context.kill_all(rigup);
    assert!(
        report().contains("<error message=\"the command has not ended yet, or was killed\">"),
        "{}",
        report()
    );
    context.run(&["install", "--dry-run", "--junit", "r.xml"]).succeeds();
    assert!(report().contains(" tests=\"0\" failures=\"0\" errors=\"0\" "), "{}", report());
}

#[test]
fn an_invalid_line_of_a_plugin_is_an_error_in_the_junit_file() {
    let context = TestContext::new();
    context.write("here/plugins/p/binaries.jsonl", "x\n");
    context.run(&["install", "--junit", "r.xml"]).exits_with(1);
    let report = fs::read_to_string(context.path("here/r.xml")).unwrap();
    assert!(report.contains(" tests=\"1\" failures=\"0\" errors=\"1\" "), "{report}");
    assert!(
        report.contains("<testcase classname=\"rigup install\" name=\"binaries.jsonl\">\n<error "),
        "{report}"
    );
}
