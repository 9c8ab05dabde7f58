//! `--ci` and `--junit` of a command that a signal interrupts, as a CI system does that cancels a job.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

/// Creates a context with a provider and hooks of an event, of which the last one does not exit on its own.
fn context() -> TestContext {
    let context = TestContext::new();
    context.concurrent_provider(
        "mixed",
        "#!/bin/sh\neval \"$(\"$RIGUP\" hook begin --provider mixed -- \"$@\")\"\n\
         case $name in\n\
         good) \"$RIGUP\" hook binary --provider mixed --abspath /bin/sh -- \"$@\" ;;\n\
         slow) exec sleep 600 ;;\n\
         *) echo \"no $name\" >&2; exit 3 ;;\n\
         esac\n",
    );
    let requirement = |name| json!({"type": "Binary", "name": name, "binproviders": "mixed"});
    context.plugin("p", &["good", "bad", "slow"].map(requirement));
    context.script("here/plugins/p/on_Test__1_good.sh", "#!/bin/sh\n:\n");
    context.script("here/plugins/p/on_Test__2_bad.sh", "#!/bin/sh\necho broken >&2\nexit 4\n");
    context.script("here/plugins/p/on_Test__3_slow.sh", "#!/bin/sh\necho working >&2\nexec sleep 600\n");
    context.script("here/plugins/p/on_Test__4_never.sh", "#!/bin/sh\n:\n");
    context
}

/// Runs a command until it has started the hook that does not exit, and interrupts it.
fn interrupted(context: &TestContext, args: &[&str], number: Signal) -> CommandOutput {
    let rigup = context.start(args);
    wait_until("the slow hook runs", || context.count_live("sleep 600") > 0);
    signal(rigup.id(), number);
    let output = CommandOutput::new(args, &rigup.wait_with_output().unwrap()).dies_of(number);
    assert_eq!(context.live_processes(), []);
    output
}

/// Returns the text after `start`, up to the end of the line.
fn line_after<'t>(text: &'t str, start: &str) -> &'t str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("{start:?} is not in {text}"));
    rest.lines().next().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn an_interrupted_install_reports_the_results_that_are_known() {
    for number in [Signal::SIGINT, Signal::SIGTERM] {
        let mut context = context();
        let [summary, path, values] = ["GITHUB_STEP_SUMMARY", "GITHUB_PATH", "GITHUB_OUTPUT"].map(|name| {
            let path = context.write(name, "");
            context.set(name, &path);
            path
        });
        // One at a time, so that the slow one is last.
        let args = ["install", "-j1", "--ci", "github", "--junit", "j.xml"];
        let output = interrupted(&context, &args, number);
        let closing = line_after(&output.stderr, "\n1 of 3 installed, 1 failed, 1 interrupted");
        assert!(closing.starts_with(" in "), "{}", output.stderr);
        assert!(output.stderr.contains("::group::bad\n"), "{}", output.stderr);
        let annotations: Vec<&str> =
            output.stderr.lines().filter(|line| line.starts_with("::error ")).collect();
        assert_eq!(annotations.len(), 2, "{}", output.stderr);
        assert!(annotations[0].contains("rigup install%3A bad,file="), "{annotations:?}");
        assert_eq!(annotations[1], "::error title=rigup install%3A error::interrupted");

        let summary = read(&summary);
        for row in ["| good | installed |", "| bad | failed |", "| slow | interrupted |", "- interrupted\n"] {
            assert!(summary.contains(row), "{summary}");
        }
        assert!(read(&path).ends_with("/bin\n"));
        assert!(read(&values).contains("\nbad\nslow\n"), "{}", read(&values));

        let junit = read(&context.path("here/j.xml"));
        assert!(junit.contains("tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\""), "{junit}");
        assert!(junit.contains("<skipped message=\"interrupted\"/>"), "{junit}");
        assert!(junit.contains("name=\"error\">\n<error message=\"interrupted\">"), "{junit}");
    }
}

#[test]
fn an_interrupted_event_reports_the_hooks_that_have_ended() {
    let context = context();
    let args = ["run", "--ci", "github", "--junit", "j.xml", "Test"];
    let output = interrupted(&context, &args, Signal::SIGTERM);
    assert!(output.stderr.contains("\n1 of 3 hooks succeeded, 2 failed in "), "{}", output.stderr);
    for group in ["2_bad", "3_slow"] {
        assert!(output.stderr.contains(&format!("::group::p/on_Test__{group}.sh\n")), "{}", output.stderr);
    }
    assert!(output.stderr.contains("::error title=rigup run%3A error::interrupted\n"), "{}", output.stderr);
    let junit = read(&context.path("here/j.xml"));
    assert!(junit.contains(" tests=\"4\" failures=\"2\" errors=\"1\" "), "{junit}");
    assert!(junit.contains("name=\"p/on_Test__1_good.sh\"") && !junit.contains("4_never"), "{junit}");
}

#[test]
fn an_interrupted_hook_test_reports_the_items_that_are_known() {
    let context = context();
    let hook = "providers/mixed/on_BinaryRequest__50_mixed.sh";
    let args = ["hook", "test", hook, "--format=table", "--junit", "j.xml", "--", "--name=slow"];
    let output = interrupted(&context, &args, Signal::SIGTERM);
    let row = output.stdout.lines().find(|line| line.starts_with("name "));
    assert!(row.is_some_and(|row| row.contains("held")), "{}", output.stdout);
    let junit = read(&context.path("here/j.xml"));
    assert!(junit.contains(" tests=\"2\" failures=\"0\" errors=\"1\" "), "{junit}");
    assert!(junit.contains("name=\"name\""), "{junit}");
    assert!(junit.contains("name=\"error\">\n<error message=\"interrupted\">"), "{junit}");
}

#[test]
fn every_ci_system_gets_the_report_of_an_interrupted_command() {
    let context = context();
    for (system, mark) in [
        ("gitlab", "section_start:"),
        ("azure", "##vso[task.logissue type=error;]rigup install: error: interrupted\n"),
        ("buildkite", "+++ rigup install: "),
    ] {
        let output = interrupted(&context, &["install", "-j1", "--ci", system], Signal::SIGTERM);
        assert!(output.stderr.contains(mark), "{system}: {}", output.stderr);
        assert!(output.stderr.contains("log of bad\n"), "{system}: {}", output.stderr);
    }
}
