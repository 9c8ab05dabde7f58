use std::path::PathBuf;

use super::*;
use crate::hook_test::finding::Outcome;
use crate::hook_test::observation::{Garbage, Truth};
use crate::model::id::ProcessId;

/// A run that ended with exit 0 after a second and said nothing.
fn run() -> Observation {
    Observation {
        process_id: ProcessId::from_u128(0),
        end: ExitReason::Exited,
        exit_code: Some(0),
        took: Duration::from_secs(1),
        timeout: Duration::from_mins(1),
        is_daemon: false,
        claims: Vec::new(),
        garbage: Vec::new(),
        ignored: 0,
        left: Vec::new(),
        stubborn: Vec::new(),
        said: String::new(),
        said_at: LookAt { path: "stderr.log".into(), line: 1 },
        stdout: "stdout.log".into(),
        installed: Vec::new(),
        canaries: Vec::new(),
    }
}

fn truth(abspath: &str, size: u64) -> Claimed {
    Claimed { line: 3, truth: Ok(Truth { abspath: abspath.into(), version: "1".into(), size }) }
}

fn answered() -> Observation {
    Observation { claims: vec![truth("/lib/jq", 9)], ..run() }
}

fn lied() -> Observation {
    Observation { claims: vec![Claimed { line: 7, truth: Err(RecordError::NoPath) }], ..run() }
}

fn exited(code: i32) -> Observation {
    Observation { exit_code: Some(code), said: "no luck".to_owned(), ..run() }
}

fn endless() -> Observation {
    Observation { end: ExitReason::Timeout, exit_code: Some(143), took: Duration::from_secs(61), ..run() }
}

fn place() -> LookAt {
    LookAt { path: "hook.sh".into(), line: 2 }
}

/// The outcome, the reason, and where to look.
fn said(judged: &Judgement) -> (Outcome, &str, String) {
    (judged.outcome, &judged.reason, judged.look_at.as_ref().map(ToString::to_string).unwrap_or_default())
}

#[track_caller]
fn is_broken(judged: &Judgement, reason: &str, look_at: &str) {
    assert_eq!(said(judged), (Outcome::Broken, reason, look_at.to_owned()));
}

#[track_caller]
fn is_held(judged: &Judgement) {
    assert_eq!(said(judged), (Outcome::Held, "", String::new()));
}

#[test]
fn a_file_name_is_that_of_a_hook_or_broken() {
    is_held(&name(Path::new("/p/on_Snapshot__10_x.sh")));
    assert!(name(Path::new("/p/install.sh")).is_broken());
    assert!(name(Path::new("/p/on_BinaryRequest__10_x.bg.sh")).is_broken());
    assert!(!name(Path::new("/p/on_Snapshot__10_x.bg.sh")).is_broken());
    assert!(name(Path::new("/p/on_Snapshot__x.sh")).reason.starts_with("it has no number"));
}

#[test]
fn only_what_was_never_started_cannot_be_started() {
    let hook = Path::new("hook.rb");
    let never =
        Observation { end: ExitReason::SpawnFailed, exit_code: None, said: "no ruby".to_owned(), ..run() };
    is_broken(&starts(&never, hook), "no ruby", "hook.rb:1");
    let by_env = Observation { said: "env: 'ruby': No such file or directory".to_owned(), ..exited(127) };
    assert!(starts(&by_env, hook).is_broken());
    assert_eq!(starts(&exited(127), hook).reason, "exit 127: no luck", "it missed something itself");
    is_held(&starts(&run(), hook));
}

#[test]
fn a_good_request_is_answered_by_a_true_record() {
    is_held(&answer(&answered(), false));
    is_broken(&answer(&lied(), true), "its record has no abspath", "stdout.log:7");
    is_broken(&answer(&exited(3), false), "exit 3: no luck", "stderr.log:1");
    is_broken(&answer(&endless(), false), "it had not ended after 60 s", "stderr.log:1");
    let other =
        Claimed { line: 1, truth: Err(RecordError::WrongName { found: "a".into(), wanted: "b".into() }) };
    assert!(answer(&Observation { claims: vec![other.clone()], ..run() }, false).is_broken());
    is_held(&answer(&Observation { claims: vec![other, truth("/lib/jq", 9)], ..run() }, false));
}

#[test]
fn a_record_without_a_version_will_do_and_is_noted() {
    let truth = Truth { abspath: "/lib/jq".into(), version: String::new(), size: 9 };
    let run = Observation { claims: vec![Claimed { line: 1, truth: Ok(truth) }], ..run() };
    assert!(answer(&run, false).reason.starts_with("its record has no version"));
    is_held(&answer(&run, true));
}

#[test]
fn what_a_hook_declines_or_was_only_guessed_says_to_name_something_else() {
    for skipped in [answer(&run(), false), answer(&exited(10), false), answer(&exited(3), true)] {
        assert_eq!(skipped.outcome, Outcome::Skipped);
        assert!(skipped.reason.ends_with("-- --name=NAME"), "{}", skipped.reason);
    }
}

#[test]
fn what_nobody_provides_may_be_refused_in_any_way_but_not_claimed() {
    is_held(&absent(&run()));
    is_held(&absent(&exited(3)));
    is_held(&absent(&Observation { exit_code: Some(3), ..answered() }));
    is_broken(&absent(&answered()), "it claims to have what nobody provides", "stdout.log:3");
    is_broken(&absent(&lied()), "it claims to have what nobody provides", "stdout.log:7");
    assert!(absent(&endless()).is_broken());
}

#[test]
fn a_hook_that_is_not_asked_keeps_out_of_it() {
    is_held(&not_asked(&run()));
    is_held(&not_asked(&exited(10)));
    is_broken(&not_asked(&exited(1)), "exit 1 instead of 0 or 10: no luck", "stderr.log:1");
    assert!(not_asked(&answered()).is_broken());
    let written = Observation { installed: vec![PathBuf::from("/lib/x")], ..exited(10) };
    is_broken(&not_asked(&written), "it wrote /lib/x all the same", "stderr.log:1");
}

#[test]
fn what_should_change_nothing_changes_nothing() {
    is_held(&unchanged(&answered(), &answered(), "so"));
    is_held(&unchanged(&exited(3), &exited(3), "so"));
    is_broken(
        &unchanged(&answered(), &exited(2), "so"),
        "exit 2 so, exit 0 without that: no luck",
        "stderr.log:1",
    );
    assert!(unchanged(&answered(), &run(), "so").is_broken());
    assert!(unchanged(&answered(), &lied(), "so").is_broken());
    is_held(&unchanged(&lied(), &lied(), "so"));
}

#[test]
fn shell_text_is_found_out_by_the_file_that_it_makes() {
    let judge = |run: &Observation, is_absent| hostile(&answered(), run, "shell text", is_absent, place());
    let sings = Observation { canaries: vec!["/room/canary".into()], ..exited(1) };
    is_broken(&judge(&sings, true), "shell text was run: it made /room/canary", "hook.sh:2");
    is_held(&judge(&exited(1), true));
    is_held(&judge(&answered(), false));
    assert!(judge(&answered(), true).is_broken(), "such a name is nobody's");
    assert!(judge(&lied(), false).is_broken());
    let garbage = vec![Garbage { line: 5, problem: "is not JSON".to_owned() }];
    let raw = judge(&Observation { garbage, ..run() }, true);
    is_broken(&raw, "shell text gets into its output: line 5 is not JSON", "stdout.log:5");
}

#[test]
fn lines_that_are_no_records_are_a_note_and_broken_ones_are_not() {
    is_held(&stdout([&run(), &answered()]));
    let noted = stdout([&run(), &Observation { ignored: 2, ..run() }]);
    assert_eq!(said(&noted).1, "2 lines are no records, and are ignored");
    let garbage = vec![Garbage { line: 5, problem: "is not JSON".to_owned() }];
    is_broken(&stdout([&run(), &Observation { garbage, ..run() }]), "line 5 is not JSON", "stdout.log:5");
    let endless = Observation { end: ExitReason::Stopped, ..run() };
    assert!(stdout([&endless]).is_broken());
}

#[test]
fn the_same_request_has_the_same_answer() {
    is_held(&repeat(&answered(), &answered()));
    assert_eq!(repeat(&run(), &run()).outcome, Outcome::Skipped, "there is no answer");
    let elsewhere = Observation { claims: vec![truth("/tmp/jq", 9)], ..run() };
    is_broken(&repeat(&answered(), &elsewhere), "/lib/jq the first time, /tmp/jq the second", "stdout.log:3");
    assert!(repeat(&answered(), &run()).is_broken());
}

#[test]
fn a_hook_that_is_ended_obeys_and_claims_nothing() {
    let ended = || Observation { timeout: Duration::from_secs(1), took: Duration::from_secs(2), ..endless() };
    is_held(&term(&answered(), &ended(), place()));
    assert_eq!(term(&answered(), &run(), place()).outcome, Outcome::Skipped, "it was over before");
    let killed =
        Observation { took: Duration::from_secs(6), stubborn: vec!["sleep (pid 7)".into()], ..ended() };
    is_broken(
        &term(&answered(), &killed, place()),
        "it took KILL, 5 s after TERM: sleep (pid 7)",
        "hook.sh:2",
    );
    let survived = Observation { left: vec!["sleep (pid 7)".into()], ..ended() };
    assert!(term(&answered(), &survived, place()).is_broken());
    let proud = Observation { exit_code: Some(0), claims: answered().claims, ..ended() };
    assert!(term(&answered(), &proud, place()).is_broken(), "it went on for a second");
    let done = Observation { took: proud.timeout + Duration::from_millis(50), ..proud };
    assert_eq!(term(&answered(), &done, place()).outcome, Outcome::Skipped, "its work was done before");
    assert!(term(&answered(), &Observation { claims: lied().claims, ..done }, place()).is_broken());
    let idle = Observation { claims: lied().claims, exit_code: Some(0), ..ended() };
    assert_eq!(term(&lied(), &idle, place()).outcome, Outcome::Skipped, "it lies without TERM, too");
}

#[test]
fn a_daemon_ends_when_it_is_told_to() {
    let daemon = Observation { is_daemon: true, timeout: Duration::from_mins(1), ..endless() };
    is_held(&unchanged(&daemon, &daemon, "so"));
    assert!(cramped(&answered(), &Observation { took: Duration::from_secs(66), ..daemon }).is_broken());
}

#[test]
fn without_room_nothing_is_claimed_that_is_not_there() {
    is_held(&cramped(&answered(), &exited(1)));
    is_held(&cramped(&answered(), &answered()));
    is_held(&cramped(&answered(), &Observation { exit_code: Some(1), ..lied() }));
    is_broken(&cramped(&answered(), &lied()), "its record has no abspath", "stdout.log:7");
    assert_eq!(cramped(&lied(), &lied()).outcome, Outcome::Skipped, "that is the answer's fault");
    let empty = Observation { claims: vec![truth("/lib/jq", 0)], ..run() };
    is_broken(&cramped(&answered(), &empty), "it claims a file that is empty", "stdout.log:3");
}

#[test]
fn what_is_left_is_named() {
    is_held(&leftovers(&run(), place()));
    let left = Observation { left: vec!["it started a process that goes on: sleep".into()], ..run() };
    is_broken(&leftovers(&left, place()), "it started a process that goes on: sleep", "hook.sh:2");
}

#[test]
fn the_suspicious_line_of_a_hook_is_one_that_is_run() {
    let text = "#!/bin/sh\n# eval is evil\nname=$1\neval \"$name\"\n";
    assert_eq!(suspect(Path::new("hook.sh"), text, &["eval"]).line, 4);
    assert_eq!(suspect(Path::new("hook.sh"), text, &["exec("]).line, 1);
}
