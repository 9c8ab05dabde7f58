use std::path::PathBuf;

use super::*;
use crate::hook_test::check::CheckOutcome;
use crate::hook_test::expected_record::RecordedAnswer;
use crate::install::verify::VerifyError;
use crate::model::ProcessId;

/// Returns a run that exited with 0 after a second and printed nothing.
fn run() -> HookRun {
    HookRun {
        process_id: ProcessId::from(0),
        exit_reason: ExitReason::Exited,
        exit_code: Some(0),
        duration: Duration::from_secs(1),
        timeout: Duration::from_mins(1),
        is_daemon: false,
        records: Vec::new(),
        invalid_lines: Vec::new(),
        ignored_lines: 0,
        leftovers: Vec::new(),
        slow_to_exit: Vec::new(),
        last_stderr: String::new(),
        stderr_location: Location { path: "stderr.log".into(), line: 1 },
        stdout_log: "stdout.log".into(),
        installed: Vec::new(),
        canaries: Vec::new(),
    }
}

fn valid(abspath: &str) -> RecordLine {
    RecordLine { line: 3, verified: Ok(RecordedAnswer { answer: abspath.into(), version: "1".into() }) }
}

fn answered() -> HookRun {
    HookRun { records: vec![valid("/lib/jq")], ..run() }
}

fn invalid() -> HookRun {
    HookRun { records: vec![RecordLine { line: 7, verified: Err(VerifyError::NoPath.into()) }], ..run() }
}

fn exited(code: i32) -> HookRun {
    HookRun { exit_code: Some(code), last_stderr: "no luck".to_owned(), ..run() }
}

fn endless() -> HookRun {
    HookRun {
        exit_reason: ExitReason::Timeout,
        exit_code: Some(143),
        duration: Duration::from_secs(61),
        ..run()
    }
}

fn location() -> Location {
    Location { path: "hook.sh".into(), line: 2 }
}

/// Returns the outcome, the reason, and the location to look at.
fn summary(result: &CheckResult) -> (CheckOutcome, &str, String) {
    (result.outcome, &result.reason, result.look_at.as_ref().map(ToString::to_string).unwrap_or_default())
}

#[track_caller]
fn fails(result: &CheckResult, reason: &str, look_at: &str) {
    assert_eq!(summary(result), (CheckOutcome::Broken, reason, look_at.to_owned()));
}

#[track_caller]
fn passes(result: &CheckResult) {
    assert_eq!(summary(result), (CheckOutcome::Held, "", String::new()));
}

#[test]
fn rejects_a_file_name_that_is_not_a_hooks() {
    passes(&name(Path::new("/p/on_Snapshot__10_x.sh")));
    assert!(name(Path::new("/p/install.sh")).is_broken());
    assert!(name(Path::new("/p/on_BinaryRequest__10_x.bg.sh")).is_broken());
    assert!(!name(Path::new("/p/on_Snapshot__10_x.bg.sh")).is_broken());
    assert!(name(Path::new("/p/on_Snapshot__x.sh")).reason.starts_with("it has no number"));
}

#[test]
fn only_a_hook_that_never_started_is_reported_as_not_startable() {
    let hook = Path::new("hook.rb");
    let never = HookRun {
        exit_reason: ExitReason::SpawnFailed,
        exit_code: None,
        last_stderr: "no ruby".to_owned(),
        ..run()
    };
    fails(&starts(&never, hook), "no ruby", "hook.rb:1");
    let by_env = HookRun { last_stderr: "env: 'ruby': No such file or directory".to_owned(), ..exited(127) };
    assert!(starts(&by_env, hook).is_broken());
    assert_eq!(starts(&exited(127), hook).reason, "exit 127: no luck", "the hook ran and lacked a program");
    passes(&starts(&run(), hook));
}

#[test]
fn accepts_only_a_verified_record_as_an_answer() {
    passes(&answer(&answered(), false));
    fails(&answer(&invalid(), true), "the record has no abspath", "stdout.log:7");
    fails(&answer(&exited(3), false), "exit 3: no luck", "stderr.log:1");
    fails(&answer(&endless(), false), "it did not exit within 60 s", "stderr.log:1");
    let other = RecordLine {
        line: 1,
        verified: Err(VerifyError::WrongName { found: "a".into(), requested: "b".into() }.into()),
    };
    assert!(answer(&HookRun { records: vec![other.clone()], ..run() }, false).is_broken());
    passes(&answer(&HookRun { records: vec![other, valid("/lib/jq")], ..run() }, false));
}

#[test]
fn a_record_without_a_version_passes_with_a_note() {
    let file = RecordedAnswer { answer: "/lib/jq".into(), version: String::new() };
    let run = HookRun { records: vec![RecordLine { line: 1, verified: Ok(file) }], ..run() };
    assert!(answer(&run, false).reason.starts_with("its record has no version"));
    passes(&answer(&run, true));
}

#[test]
fn only_a_guessed_request_may_be_declined_and_another_name_is_suggested() {
    for skipped in [answer(&run(), true), answer(&exited(10), true), answer(&exited(3), true)] {
        assert_eq!(skipped.outcome, CheckOutcome::Skipped);
        assert!(skipped.reason.ends_with("-- --name=NAME"), "{}", skipped.reason);
    }
    for broken in [answer(&run(), false), answer(&exited(10), false)] {
        assert!(broken.is_broken() && broken.reason.ends_with("-- --name=NAME"), "{}", broken.reason);
    }
}

#[test]
fn a_check_that_is_passed_without_an_answer_is_skipped() {
    for silent in [run(), exited(10), HookRun { exit_code: Some(3), ..answered() }] {
        assert_eq!(only_if_answered(absent(&run()), &silent).outcome, CheckOutcome::Skipped);
        assert!(only_if_answered(absent(&answered()), &silent).is_broken());
    }
    passes(&only_if_answered(absent(&run()), &answered()));
    passes(&only_if_answered(absent(&run()), &invalid()));
}

#[test]
fn a_hook_may_refuse_an_unknown_name_but_not_print_a_record_for_it() {
    passes(&absent(&run()));
    passes(&absent(&exited(3)));
    passes(&absent(&HookRun { exit_code: Some(3), ..answered() }));
    fails(&absent(&answered()), "it prints a record for a name that does not exist", "stdout.log:3");
    fails(&absent(&invalid()), "it prints a record for a name that does not exist", "stdout.log:7");
    assert!(absent(&endless()).is_broken());
}

#[test]
fn a_hook_that_the_request_does_not_allow_does_nothing() {
    passes(&not_asked(&run()));
    passes(&not_asked(&exited(10)));
    fails(&not_asked(&exited(1)), "exit 1 instead of 0 or 10: no luck", "stderr.log:1");
    assert!(not_asked(&answered()).is_broken());
    let written = HookRun { installed: vec![PathBuf::from("/lib/x")], ..exited(10) };
    fails(&not_asked(&written), "it wrote /lib/x, although --binproviders does not allow it", "stderr.log:1");
}

#[test]
fn an_irrelevant_change_of_the_request_does_not_change_the_result() {
    passes(&unchanged(&answered(), &answered(), "so"));
    passes(&unchanged(&exited(3), &exited(3), "so"));
    fails(&unchanged(&answered(), &exited(2), "so"), "exit 2 so, exit 0 without it: no luck", "stderr.log:1");
    assert!(unchanged(&answered(), &run(), "so").is_broken());
    assert!(unchanged(&answered(), &invalid(), "so").is_broken());
    passes(&unchanged(&invalid(), &invalid(), "so"));
}

#[test]
fn detects_that_shell_text_was_run_by_the_file_that_it_creates() {
    let checks = |run: &HookRun, is_absent| hostile(&answered(), run, "shell text", is_absent, location());
    let with_canary = HookRun { canaries: vec!["/room/canary".into()], ..exited(1) };
    fails(&checks(&with_canary, true), "shell text was run: it created /room/canary", "hook.sh:2");
    passes(&checks(&exited(1), true));
    passes(&checks(&answered(), false));
    assert!(checks(&answered(), true).is_broken(), "no provider has such a name");
    assert!(checks(&invalid(), false).is_broken());
    let invalid_lines = vec![InvalidLine { line: 5, problem: "is not JSON".to_owned() }];
    let raw = checks(&HookRun { invalid_lines, ..run() }, true);
    fails(&raw, "shell text reaches its output: line 5 is not JSON", "stdout.log:5");
}

#[test]
fn notes_ignored_lines_and_rejects_invalid_ones() {
    passes(&stdout([&run(), &answered()]));
    let noted = stdout([&run(), &HookRun { ignored_lines: 2, ..run() }]);
    assert_eq!(summary(&noted).1, "2 lines are not records and are ignored");
    let invalid_lines = vec![InvalidLine { line: 5, problem: "is not JSON".to_owned() }];
    fails(&stdout([&run(), &HookRun { invalid_lines, ..run() }]), "line 5 is not JSON", "stdout.log:5");
    let endless = HookRun { exit_reason: ExitReason::Stopped, ..run() };
    assert!(stdout([&endless]).is_broken());
}

#[test]
fn the_same_request_gives_the_same_record() {
    passes(&repeat(&answered(), &answered()));
    assert_eq!(repeat(&run(), &run()).outcome, CheckOutcome::Skipped, "the hook installed nothing");
    let elsewhere = HookRun { records: vec![valid("/tmp/jq")], ..run() };
    fails(&repeat(&answered(), &elsewhere), "/lib/jq the first time, /tmp/jq the second", "stdout.log:3");
    assert!(repeat(&answered(), &run()).is_broken());
}

#[test]
fn a_hook_obeys_term_and_prints_no_record_after_it() {
    let ended = || HookRun { timeout: Duration::from_secs(1), duration: Duration::from_secs(2), ..endless() };
    passes(&term(&answered(), &ended(), location()));
    assert_eq!(term(&answered(), &run(), location()).outcome, CheckOutcome::Skipped, "it had exited before");
    let killed =
        HookRun { duration: Duration::from_secs(6), slow_to_exit: vec!["sleep (pid 7)".into()], ..ended() };
    fails(
        &term(&answered(), &killed, location()),
        "it was killed, because it had not exited 5 s after TERM: sleep (pid 7)",
        "hook.sh:2",
    );
    let survived = HookRun { leftovers: vec!["sleep (pid 7)".into()], ..ended() };
    assert!(term(&answered(), &survived, location()).is_broken());
    let ignoring = HookRun { exit_code: Some(0), records: answered().records, ..ended() };
    assert!(term(&answered(), &ignoring, location()).is_broken(), "it continued for a second");
    let done = HookRun { duration: ignoring.timeout + Duration::from_millis(50), ..ignoring };
    assert_eq!(
        term(&answered(), &done, location()).outcome,
        CheckOutcome::Skipped,
        "it was done before TERM"
    );
    assert!(term(&answered(), &HookRun { records: invalid().records, ..done }, location()).is_broken());
    let idle = HookRun { records: invalid().records, exit_code: Some(0), ..ended() };
    assert_eq!(
        term(&invalid(), &idle, location()).outcome,
        CheckOutcome::Skipped,
        "the record is invalid without TERM too"
    );
}

#[test]
fn a_daemon_may_run_until_it_receives_term() {
    let daemon = HookRun { is_daemon: true, timeout: Duration::from_mins(1), ..endless() };
    passes(&unchanged(&daemon, &daemon, "so"));
    assert!(disk_fault(&answered(), &HookRun { duration: Duration::from_secs(66), ..daemon }).is_broken());
}

#[test]
fn a_hook_does_not_report_an_incomplete_file_when_the_disk_is_full() {
    passes(&disk_fault(&answered(), &exited(1)));
    passes(&disk_fault(&answered(), &answered()));
    passes(&disk_fault(&answered(), &HookRun { exit_code: Some(1), ..invalid() }));
    fails(&disk_fault(&answered(), &invalid()), "the record has no abspath", "stdout.log:7");
    assert_eq!(
        disk_fault(&invalid(), &invalid()).outcome,
        CheckOutcome::Skipped,
        "the record is invalid on a healthy disk too"
    );
}

#[test]
fn leftovers_are_reported() {
    passes(&leftovers(&run(), location()));
    let left = HookRun { leftovers: vec!["a process outlives it: sleep".into()], ..run() };
    fails(&leftovers(&left, location()), "a process outlives it: sleep", "hook.sh:2");
}

#[test]
fn finds_a_suspicious_line_but_not_in_a_comment() {
    let text = "#!/bin/sh\n# eval is evil\nname=$1\neval \"$name\"\n";
    assert_eq!(suspicious_line(Path::new("hook.sh"), text, &["eval"]).line, 4);
    assert_eq!(suspicious_line(Path::new("hook.sh"), text, &["exec("]).line, 1);
}
