//! `--junit`, as the readers of its file see it.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::ci::{context, require};
use crate::test_context::{TestContext, died_of, signal, wait_until};

/// Reads a file with Python's XML parser, and returns a line for each element, with its attributes.
fn elements(path: &PathBuf) -> Vec<String> {
    let program = "import sys, xml.etree.ElementTree as t\n\
                   for e in t.parse(sys.argv[1]).iter(): print(e.tag, *('%s=%s' % a for a in e.attrib.items() if 'time' not in a[0]))";
    let output = std::process::Command::new("python3").args(["-c", program]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_results_are_junit_xml() {
    let context = context();
    context.script("here/plugins/p/on_Test__1_good.sh", "#!/bin/sh\n:\n");
    context.script(
        "here/plugins/p/on_Test__2_bad.sh",
        "#!/bin/sh\nprintf '\\033[31m<&\\001]]>\\n' >&2\nexit 4\n",
    );
    let file = context.path("here/out/run.xml");
    context.run(&["run", "--ci=none", "--junit", "out/run.xml", "Test"]).exits_with(1);
    let found = elements(&file);
    assert_eq!(found[0], "testsuites name=rigup run tests=2 failures=1 errors=0");
    assert_eq!(found[2], "testcase classname=p name=p/on_Test__1_good.sh");
    assert!(found[4].starts_with("failure message=exit 4: ") && found[5] == "system-out", "{found:?}");

    require(&context, &["good", "bad"]);
    context.run(&["install", "--ci=none", "--junit=out/run.xml"]).exits_with(1);
    let found = elements(&file);
    assert_eq!(
        found[2..4],
        ["testcase classname=rigup install name=good", "testcase classname=rigup install name=bad"]
    );

    let hook = "providers/mixed/on_BinaryRequest__50_mixed.sh";
    context.run(&["hook", "test", hook, "--junit", "out/run.xml", "--only", "name,answer"]).succeeds();
    let found = elements(&file);
    assert!(found[1].contains("tests=2 failures=0 errors=0 skipped=1"), "{found:?}");
    assert!(found[4].starts_with("skipped message="), "{found:?}");

    context.write("here/file", "");
    context
        .run(&["run", "--junit", "file/x.xml", "Test"])
        .exits_with(3)
        .stderr_contains("cannot write the results to");
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
fn after_a_kill_or_a_dry_run_the_junit_file_is_not_an_earlier_one() {
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
