//! `--show-logs`, and the closing line of `install`, `load` and `run`.

use serde_json::json;

use crate::test_context::TestContext;

/// Creates a context whose plugin requires a binary that is installed, one that fails and one that is declined.
fn context() -> TestContext {
    let context = TestContext::new();
    context.concurrent_provider(
        "mixed",
        "#!/bin/sh\neval \"$(\"$RIGUP\" hook begin --provider mixed -- \"$@\")\"\n\
         case $name in\n\
         one) \"$RIGUP\" hook binary --provider mixed --abspath /bin/sh -- \"$@\" ;;\n\
         two) echo downloading; printf 'a\\033[2Jb\\n::error::x\\n' >&2; exit 3 ;;\n\
         three) echo 'no such thing' >&2 ;;\n\
         esac\n",
    );
    let requirement = |name: &str| json!({"type": "Binary", "name": name, "binproviders": "mixed"});
    context.plugin("p", &["one", "two", "three"].map(requirement));
    context
}

/// Returns the headings, without the ids of processes.
fn headings(stderr: &str) -> Vec<String> {
    let headings = stderr.lines().filter(|line| line.starts_with("==> "));
    headings.map(|line| line.replace(|c: char| c.is_ascii_digit() || matches!(c, 'a'..='f'), "")).collect()
}

#[test]
fn the_logs_of_all_hooks_or_of_those_that_failed_are_on_stderr() {
    let context = context();
    let output = context.run(&["install", "--show-logs"]).exits_with(1);
    let shown = output.stderr.split("==> ").skip(1).collect::<Vec<_>>();
    assert!(
        shown[0].starts_with("one: mixed (process ")
            && shown[0].contains("): stdout <==\n{\"type\":\"Binary\"")
    );
    assert!(
        shown[1].contains("two: mixed (process ") && shown[1].ends_with("): stdout <==\ndownloading\n"),
        "{shown:?}"
    );
    assert!(shown[2].contains("): stderr <==\na\u{fffd}[2Jb\n::error::x\n"), "{shown:?}");
    assert!(
        shown[3].starts_with("three: mixed (process ") && shown[3].contains("): stderr <==\nno such thing\n")
    );
    assert_eq!(shown.len(), 4);
    let records = output.records();
    let id = records[1]["attempts"][0]["process_id"].as_str().unwrap().to_owned();
    assert!(shown[1].contains(&id[id.len() - 8..]), "the heading names the process: {}", shown[1]);

    let output = context.run(&["install", "--show-logs=failed", "--json"]).exits_with(1);
    assert_eq!(
        headings(&output.stderr).len(),
        2,
        "a provider that declines has not failed: {}",
        output.stderr
    );
    assert!(output.stderr.contains("==> two: mixed"));
    assert_eq!(headings(&context.run(&["install"]).exits_with(1).stderr), Vec::<String>::new());
    context.run(&["install", "--show-logs=none"]).exits_with(2);
}

#[test]
fn the_log_of_a_hook_of_an_event_follows_its_failure() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_Test__1_good.sh", "#!/bin/sh\necho fine >&2\n");
    context.script("here/plugins/p/on_Test__2_bad.sh", "#!/bin/sh\necho broken >&2\nexit 1\n");
    context.script("here/plugins/p/on_Test__3_silent.sh", "#!/bin/sh\n:\n");
    let output = context.run(&["run", "--show-logs=failed", "Test"]).exits_with(1);
    assert_eq!(headings(&output.stderr).len(), 1);
    assert!(output.stderr.contains("p/on_Test__2_bad.sh (process "), "{}", output.stderr);
    let output = context.run(&["run", "--show-logs", "Test"]).exits_with(1);
    assert_eq!(headings(&output.stderr).len(), 3);
    assert!(output.stderr.contains("): wrote nothing <==\n"), "{}", output.stderr);
}

#[test]
fn the_last_line_says_how_much_is_done_and_how_long_it_took() {
    let context = context();
    let last = |args: &[&str]| {
        let stderr = context.run(args).stderr;
        let last = stderr.lines().last().unwrap_or_default().to_owned();
        last.rsplit_once(" in ").map_or(last.clone(), |(line, _)| line.to_owned())
    };
    assert_eq!(last(&["load"]), "0 of 3 installed, 3 missing");
    assert_eq!(last(&["install"]), "1 of 3 installed, 2 failed");
    assert_eq!(last(&["install", "one"]), "one is already installed");
    assert_eq!(last(&["install", "one", "--force"]), "1 of 1 installed");
    let quiet = context.run(&["install", "-q"]).exits_with(1).stderr;
    assert!(!quiet.contains(" of 3 "), "{quiet}");
    context.script("here/plugins/p/on_Test__1_good.sh", "#!/bin/sh\n:\n");
    context.script("here/plugins/p/on_Test__2_bad.sh", "#!/bin/sh\nexit 1\n");
    assert_eq!(last(&["run", "Test"]), "1 of 2 hooks succeeded, 1 failed");
}

#[test]
fn the_end_of_a_log_is_shown_with_how_much_is_left_out() {
    let context = TestContext::new();
    context.script(
        "here/plugins/p/on_Test__1_big.sh",
        "#!/bin/sh\nhead -c 5000000 /dev/zero | tr '\\0' y\nseq 300 >&2\nexit 1\n",
    );
    let junit = context.path("here/run.xml");
    for system in ["github", "gitlab", "azure", "buildkite"] {
        let output = context.run(&["run", "--ci", system, "--junit", "run.xml", "Test"]).exits_with(1);
        let id = context.hook_processes().pop().unwrap()["id"].as_str().unwrap().to_owned();
        let see =
            format!("left out; run `rigup process logs {}` to see the whole log\n", &id[id.len() - 8..]);
        // Buildkite's logs are indented.
        let printed = output.stderr.replace("\n  ", "\n");
        for report in [printed, std::fs::read_to_string(&junit).unwrap()] {
            assert!((64 << 10..80_000).contains(&report.len()), "{system}: {} bytes", report.len());
            assert!(report.contains(&format!("\n... 4.7 MiB {see}yyyy")), "{system}");
            assert!(report.contains(&format!("\n... 292 B {see}101\n102\n")), "{system}");
        }
    }
    let shown = context.run(&["run", "--show-logs", "Test"]).exits_with(1).stderr;
    assert!((1 << 20..1_100_000).contains(&shown.len()), "{} bytes", shown.len());
    assert!(shown.contains("stdout <==\n... 3.8 MiB left out; run `rigup process logs "));
    assert!(shown.contains("stderr <==\n1\n2\n"));
}
