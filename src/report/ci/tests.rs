//! The reports of all systems for one command with a failed binary, and the escapes of GitHub.

use jiff::SignedDuration;

use super::*;
use crate::report::item_log::ItemLog;
use crate::report::job_report::{ItemOutcome, JobItem, Place};

fn report(failures: usize) -> JobReport {
    let failed = |number: usize| JobItem {
        name: format!("tool{number}"),
        outcome: ItemOutcome::Failed,
        cells: ["failed", "", "a|b"].map(str::to_owned).to_vec(),
        reason: "x failed: 100%, <b>".to_owned(),
        place: Some(Place { file: "plugins/p,q/binaries.jsonl".to_owned(), line: Some(3) }),
        logs: vec![ItemLog {
            heading: format!("tool{number}: x (process 0a1b2c3d): stderr"),
            text: "::error::no\n##vso[task.setvariable variable=A]b\n--- no\n".to_owned(),
        }],
        ..JobItem::default()
    };
    JobReport {
        command: "rigup install".to_owned(),
        columns: &["binary", "status", "version", "provider", "reason", "time"],
        items: (1..=failures).map(failed).collect(),
        closing: format!("0 of {failures} installed"),
        elapsed: SignedDuration::from_secs(1),
        bin_dir: Some("/lib/bin".to_owned()),
        outputs: vec![("missing", "a\nb".to_owned())],
        ..JobReport::default()
    }
}

const LOG: &str =
    "==> tool1: x (process 0a1b2c3d): stderr <==\n::error::no\n##vso[task.setvariable variable=A]b\n--- no\n";

#[test]
fn github_gets_a_group_in_which_commands_are_stopped_and_an_annotation() {
    let expected = format!(
        "::group::tool1\n::stop-commands::TOKEN\n{LOG}::TOKEN::\n::endgroup::\n\
         ::error title=rigup install%3A tool1,file=plugins/p%2Cq/binaries.jsonl,line=3::x failed: 100%25, <b>\n"
    );
    assert_eq!(CiSystem::Github.lines(&report(1), "TOKEN", 0), expected);
}

#[test]
fn line_breaks_in_a_reason_are_encoded() {
    let mut report = report(1);
    report.items[0].reason = "a\rb\nc\x1b".to_owned();
    for system in [CiSystem::Github, CiSystem::Azure] {
        let lines = system.lines(&report, "TOKEN", 0);
        assert!(lines.contains("a%0Db%0Ac\u{fffd}\n"), "{lines}");
    }
}

#[test]
fn github_gets_as_many_errors_as_it_shows() {
    let errors = |failures| {
        let text = CiSystem::Github.lines(&report(failures), "TOKEN", 0);
        let errors = text.lines().filter(|line| line.starts_with("::error title"));
        errors.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(errors(10).len(), 10);
    let many = errors(12);
    assert_eq!(many.len(), 10);
    assert_eq!(many[9], "::error title=rigup install::3 more errors; see the log of this step");
}

#[test]
fn github_commands_are_escaped_as_its_toolkit_does() {
    for (message, title, expected) in [
        ("a", "", "::error::a\n"),
        ("a:b,c%d\r\ne", "", "::error::a:b,c%25d%0D%0Ae\n"),
        ("a", "b:c,d%e\r\nf", "::error title=b%3Ac%2Cd%25e%0D%0Af::a\n"),
        ("", "%25", "::error title=%2525::\n"),
    ] {
        assert_eq!(github::error(message, title, None, None), expected);
    }
    assert_eq!(github::error("a", "", Some("b"), Some(2)), "::error file=b,line=2::a\n");
}

#[test]
fn github_files_have_the_folder_the_values_and_a_table() {
    let text = |index: usize, size| (CiSystem::Github.command_files()[index].text)(&report(2), "TOKEN", size);
    assert_eq!(text(0, 0), "/lib/bin\n");
    assert_eq!(text(1, 0), "missing<<TOKEN\na\nb\nTOKEN\n");
    let row = |number| {
        format!("| tool{number} | failed |  | a&#124;b | x failed&#58; 100&#37;, &#60;b&#62; |  |\n")
    };
    let head = "\n### rigup install: 0 of 2 installed\n\n\
                | binary | status | version | provider | reason | time |\n| --- | --- | --- | --- | --- | --- |\n";
    assert_eq!(text(2, 0), format!("{head}{}{}", row(1), row(2)));
    let room = head.len() + row(1).len() + "\n1 more\n".len();
    assert_eq!(text(2, (1 << 20) - room as u64), format!("{head}{}\n1 more\n", row(1)));
    assert_eq!([text(2, 1 << 20), text(2, u64::MAX)], ["", ""]);
}

#[test]
fn gitlab_gets_a_section() {
    let expected = format!(
        "\x1b[0Ksection_start:7:rigup_0_tool1[collapsed=true]\r\x1b[0Krigup install: log of tool1\n{LOG}\
         \x1b[0Ksection_end:7:rigup_0_tool1\r\x1b[0K\n"
    );
    assert_eq!(CiSystem::Gitlab.lines(&report(1), "", 7), expected);
}

#[test]
fn azure_gets_a_group_without_commands_an_issue_and_the_path() {
    let log = LOG.replace("##vso[", "## vso[");
    let expected = format!(
        "##[group]rigup install: log of tool1\n{log}##[endgroup]\n\
         ##vso[task.logissue type=error;sourcepath=plugins/p,q/binaries.jsonl;linenumber=3;]\
         rigup install: tool1: x failed: 100%AZP25, <b>\n\
         ##vso[task.prependpath]/lib/bin\n"
    );
    assert_eq!(CiSystem::Azure.lines(&report(1), "", 0), expected);
}

#[test]
fn buildkite_gets_open_groups_in_which_no_line_begins_a_group() {
    let log = format!("  {}\n", LOG.trim_end().replace('\n', "\n  "));
    let expected = format!(
        "--- rigup install: log of tool1\n{log}^^^ +++\n\
         +++ rigup install: 0 of 1 installed\n  tool1: x failed: 100%, <b> (plugins/p,q/binaries.jsonl:3)\n"
    );
    assert_eq!(CiSystem::Buildkite.lines(&report(1), "", 0), expected);
}

#[test]
fn text_is_inert_where_the_system_looks_for_commands() {
    let lines =
        "::a::b\n \u{3000}::a::b\nx ##[add-matcher]a ##vso[task.x]::\n--- a\n+++ a\n~~~ a\n^^^ +++\n - a\n";
    let inert = |system: CiSystem| system.inert(lines);
    let expected = lines.replace("::a", ": :a").replace("##[", "## [");
    assert_eq!(inert(CiSystem::Github), expected);
    assert_eq!(inert(CiSystem::Azure), lines.replace("##[", "## [").replace("##vso", "## vso"));
    assert_eq!(inert(CiSystem::Gitlab), lines);
    let indented = ["---", "+++", "~~~", "^^^"]
        .iter()
        .fold(lines.to_owned(), |text, mark| text.replace(&format!("\n{mark}"), &format!("\n  {mark}")));
    assert_eq!(inert(CiSystem::Buildkite), indented);
    let json = CiSystem::inert_json("{\"a\":\"###[x ##vso[y\\\\##[\"}");
    assert!(!json.contains("##[") && !json.contains("##vso["), "{json}");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["a"], "###[x ##vso[y\\##[");
}

#[test]
fn what_is_embedded_in_commands_is_inert() {
    let mut hostile = report(1);
    hostile.items[0].name = "##vso[a]".to_owned();
    hostile.items[0].reason = "x ##[b]".to_owned();
    hostile.items[0].place = Some(Place { file: "##vso[c]/d".to_owned(), line: None });
    let azure = CiSystem::Azure.lines(&hostile, "TOKEN", 0);
    assert!(azure.starts_with("##[group]rigup install: log of ## vso[a]\n"), "{azure}");
    assert!(
        azure.contains(
            "##vso[task.logissue type=error;sourcepath=## vso[c%5D/d;]rigup install: ## vso[a]: x ## [b]\n"
        ),
        "{azure}"
    );
    let github = CiSystem::Github.lines(&hostile, "TOKEN", 0);
    assert!(github.contains("::x ## [b]\n") && !github.contains("##[b]"), "{github}");
    let gitlab = CiSystem::Gitlab.lines(&hostile, "TOKEN", 0);
    assert!(gitlab.contains(":rigup_0___vso_a_[collapsed=true]\r"), "{gitlab}");
}

#[test]
fn the_system_is_detected_by_its_variable() {
    let detect = |name: &str, value: &'static str| CiSystem::detect(|asked| (asked == name).then_some(value));
    assert_eq!(detect("GITHUB_ACTIONS", "true"), Some(CiSystem::Github));
    assert_eq!(detect("GITLAB_CI", "true"), Some(CiSystem::Gitlab));
    assert_eq!(detect("TF_BUILD", "True"), Some(CiSystem::Azure));
    assert_eq!(detect("BUILDKITE", "true"), Some(CiSystem::Buildkite));
    assert_eq!([detect("CI", "true"), detect("GITHUB_ACTIONS", "false")], [None, None]);
}
