//! What an observation means for an item. Pure: no process, no disk.

use std::path::Path;
use std::time::Duration;

use crate::hook_test::finding::{Judgement, LookAt};
use crate::hook_test::observation::{Claimed, Observation};
use crate::install::verify::RecordError;
use crate::model::process::{ExitReason, SKIPPED};
use crate::plugin::hook_name::{BINARY_REQUEST, HookName};
use crate::process::terminate::GRACE;

/// Who ends so soon, with a true record, may have done all his work before TERM came: between the time being up and the
/// signal lies a look at the process table, and a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What somebody can do about a request that was not answered.
const NAME_ONE: &str = "name something that it can provide: -- --name=NAME";

/// The file name.
pub fn name(file: &Path) -> Judgement {
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    let here = Some(LookAt { path: file.to_owned(), line: 1 });
    match HookName::parse(&file_name) {
        None => Judgement::broken(
            format!("{file_name} is not the name of a hook, such as on_{BINARY_REQUEST}__50_mine.sh"),
            here,
        ),
        Some(name) if name.event == BINARY_REQUEST && name.background.is_some() => Judgement::broken(
            "it is marked as a background hook, and no provider is asked in the background",
            here,
        ),
        Some(name) if name.order.is_none() => {
            Judgement::noted("it has no number, and so runs before all that have one".to_owned())
        }
        Some(_) => Judgement::held(),
    }
}

/// A run by which the hook shows that it can be started. 126 and 127 are what `env` in a shebang ends with that does
/// not find the interpreter; the hook's own words are not taken for that.
pub fn starts(run: &Observation, hook: &Path) -> Judgement {
    let here = || Some(LookAt { path: hook.to_owned(), line: 1 });
    let is_env = run.said.starts_with("env:") || run.said.starts_with("/usr/bin/env:");
    match (run.end, run.exit_code) {
        (ExitReason::SpawnFailed, _) => Judgement::broken(run.said.clone(), here()),
        (_, Some(126 | 127)) if is_env => Judgement::broken(run.said.clone(), here()),
        (ExitReason::Exited, Some(0 | SKIPPED)) => Judgement::held(),
        (ExitReason::Exited, Some(code)) => Judgement::noted(format!("exit {code}{}", with_said(run))),
        _ => Judgement::held(),
    }
}

/// A good request, or a guess at one.
pub fn answer(run: &Observation, is_guess: bool) -> Judgement {
    if let Some(failure) = failure(run) {
        return failure;
    }
    if !run.succeeded() {
        let how = format!("exit {}{}", run.exit_code.unwrap_or_default(), with_said(run));
        return match run.exit_code {
            Some(SKIPPED) => {
                Judgement::skipped(format!("it skipped the request{}; {NAME_ONE}", with_said(run)))
            }
            _ if is_guess => Judgement::skipped(format!("{how}; {NAME_ONE}")),
            _ => Judgement::broken(how, Some(run.said_at.clone())),
        };
    }
    match (lie(run), run.claims.is_empty()) {
        (Some(lie), _) => lie,
        (None, true) => Judgement::skipped(format!("it declined{}; {NAME_ONE}", with_said(run))),
        (None, false) if !is_guess && tells_no_version(run) => Judgement::noted(
            "its record has no version; where a lowest version is asked for, it will not do".to_owned(),
        ),
        (None, false) => Judgement::held(),
    }
}

fn tells_no_version(run: &Observation) -> bool {
    run.claims.iter().filter_map(|it| it.truth.as_ref().ok()).all(|it| it.version.is_empty())
}

/// A name that nobody provides.
pub fn absent(run: &Observation) -> Judgement {
    failure(run).or_else(|| claim_of_nothing(run, "nobody provides")).unwrap_or_else(Judgement::held)
}

/// A request to others.
pub fn not_asked(run: &Observation) -> Judgement {
    if let Some(failure) = failure(run) {
        return failure;
    }
    if let Some(claimed) = claim_of_nothing(run, "it was not asked for: it is not in --binproviders") {
        return claimed;
    }
    if let Some(written) = run.installed.first() {
        let problem = format!("it wrote {} all the same", written.display());
        return Judgement::broken(problem, Some(run.said_at.clone()));
    }
    match run.exit_code {
        Some(0 | SKIPPED) => Judgement::held(),
        code => Judgement::broken(
            format!("exit {} instead of 0 or {SKIPPED}{}", code.unwrap_or_default(), with_said(run)),
            Some(run.said_at.clone()),
        ),
    }
}

/// The good request together with one for what nobody provides.
pub fn batch(good: &Observation, run: &Observation) -> Judgement {
    let Some(alone) = path_of(good) else {
        return Judgement::skipped("it did not answer when it was asked alone");
    };
    if let Some(failure) = failure(run) {
        return failure;
    }
    let stranger = run.claims.iter().find(|it| matches!(it.truth, Err(RecordError::WrongName { .. })));
    if let Some(claim) = stranger.filter(|_| run.succeeded()) {
        return Judgement::broken("it claims to have what nobody provides", Some(run.out(claim.line)));
    }
    match path_of(run) {
        Some(together) if together == alone => Judgement::held(),
        _ => Judgement::broken(
            format!("beside one for what nobody provides, it does not answer the request{}", with_said(run)),
            Some(run.said_at.clone()),
        ),
    }
}

/// The good request with something beside it that should change nothing.
pub fn unchanged(good: &Observation, run: &Observation, what: &str) -> Judgement {
    if let Some(failure) = failure(run) {
        return failure;
    }
    if (good.end, good.exit_code) != (run.end, run.exit_code) {
        let ended = |it: &Observation| format!("exit {}", it.exit_code.unwrap_or_default());
        let problem = format!("{} {what}, {} without that{}", ended(run), ended(good), with_said(run));
        return Judgement::broken(problem, Some(run.said_at.clone()));
    }
    if let Some(lie) = new_lie(good, run) {
        return lie;
    }
    if run.claims.is_empty() != good.claims.is_empty() {
        let problem = format!("it answers {what} otherwise than without that{}", with_said(run));
        return Judgement::broken(problem, Some(run.said_at.clone()));
    }
    Judgement::held()
}

/// A request with shell text.
pub fn hostile(
    good: &Observation,
    run: &Observation,
    what: &str,
    is_absent: bool,
    suspect: LookAt,
) -> Judgement {
    if let Some(canary) = run.canaries.first() {
        let problem = format!("{what} was run: it made {}", canary.display());
        return Judgement::broken(problem, Some(suspect));
    }
    if let Some(failure) = failure(run) {
        return failure;
    }
    if let Some(garbage) = garbage(run) {
        return Judgement::broken(
            format!("{what} gets into its output: {}", garbage.reason),
            garbage.look_at,
        );
    }
    let claimed = if is_absent { claim_of_nothing(run, "nobody provides") } else { new_lie(good, run) };
    claimed.unwrap_or_else(Judgement::held)
}

/// A request with a huge argument.
pub fn huge(good: &Observation, run: &Observation) -> Judgement {
    match garbage(run) {
        Some(garbage) => garbage,
        None => unchanged(good, run, "with an argument of 100 KiB"),
    }
}

/// What was printed in all runs that were not cut short.
pub fn stdout<'a>(runs: impl IntoIterator<Item = &'a Observation>) -> Judgement {
    let mut ignored = 0;
    for run in runs {
        if run.end == ExitReason::Stopped {
            return failure(run).unwrap_or_else(Judgement::held);
        }
        if let Some(garbage) = garbage(run) {
            return garbage;
        }
        ignored = ignored.max(run.ignored);
    }
    match ignored {
        0 => Judgement::held(),
        1 => Judgement::noted("1 line is no record, and is ignored".to_owned()),
        lines => Judgement::noted(format!("{lines} lines are no records, and are ignored")),
    }
}

/// The good request once more.
pub fn repeat(good: &Observation, again: &Observation) -> Judgement {
    let Some(first) = path_of(good) else {
        return Judgement::skipped("it did not answer the first time");
    };
    if let Some(failure) = failure(again).or_else(|| lie(again)) {
        return failure;
    }
    match again.claims.first() {
        Some(Claimed { truth: Ok(truth), .. }) if again.succeeded() && truth.abspath == first => {
            Judgement::held()
        }
        Some(Claimed { line, truth: Ok(truth) }) if again.succeeded() => Judgement::broken(
            format!("{} the first time, {} the second", first.display(), truth.abspath.display()),
            Some(again.out(*line)),
        ),
        _ => Judgement::broken(
            format!(
                "it answered once, and not again: exit {}{}",
                again.exit_code.unwrap_or_default(),
                with_said(again)
            ),
            Some(again.said_at.clone()),
        ),
    }
}

/// A run that was ended in the middle, or could not be: the last one that was tried. What is no more true than in the
/// good run tells nothing of TERM.
pub fn term(good: &Observation, run: &Observation, suspect: LookAt) -> Judgement {
    if run.end != ExitReason::Timeout {
        return Judgement::skipped(format!(
            "it ends within {} ms, before it can be told to",
            millis(run.took)
        ));
    }
    if let Some(survivor) = run.left.first() {
        return Judgement::broken(format!("it left a process behind: {survivor}"), Some(suspect));
    }
    if !obeyed(run) {
        let who = run.stubborn.first().map(|it| format!(": {it}")).unwrap_or_default();
        return Judgement::broken(
            format!("it took KILL, {} s after TERM{who}", GRACE.as_secs()),
            Some(suspect),
        );
    }
    let Some(claim) = run.claims.first().filter(|_| run.exit_code == Some(0)) else {
        return Judgement::held();
    };
    if lie(good).is_some() {
        return Judgement::skipped("its answer is not true where it is not told to end either");
    }
    let has_truth = run.claims.iter().any(|it| it.truth.is_ok());
    if has_truth && run.took < run.timeout + AT_ONCE {
        let took = millis(run.took);
        return Judgement::skipped(format!("its work was done when it was told to end, after {took} ms"));
    }
    let problem = "it ended with exit 0 and a Binary record, as if nothing had happened";
    Judgement::broken(problem, Some(run.out(claim.line)))
}

/// What was left when a run was over.
pub fn leftovers(run: &Observation, suspect: LookAt) -> Judgement {
    match run.left.first() {
        Some(left) => Judgement::broken(left.clone(), Some(suspect)),
        None => Judgement::held(),
    }
}

/// A run in folders that cannot be written. An empty file is what is left of one for which there was no room.
pub fn cramped(good: &Observation, run: &Observation) -> Judgement {
    if lie(good).is_some() {
        return Judgement::skipped("what it claims is not true where there is room, either");
    }
    if let Some(failure) = failure(run) {
        return failure;
    }
    let is_empty = |it: &&Claimed| it.truth.as_ref().is_ok_and(|truth| truth.size == 0);
    match run.claims.iter().find(is_empty) {
        Some(claim) if run.succeeded() => {
            Judgement::broken("it claims a file that is empty", Some(run.out(claim.line)))
        }
        _ if run.succeeded() => lie(run).unwrap_or_else(Judgement::held),
        _ => Judgement::held(),
    }
}

/// An end that is no answer at all. A daemon is told to end, and does so.
fn failure(run: &Observation) -> Option<Judgement> {
    let broken = |what: String| Some(Judgement::broken(what, Some(run.said_at.clone())));
    match run.end {
        ExitReason::Exited => None,
        ExitReason::SpawnFailed => broken(run.said.clone()),
        ExitReason::Timeout if run.is_daemon && obeyed(run) => None,
        ExitReason::Timeout if run.is_daemon => {
            broken(format!("it took KILL, {} s after TERM", GRACE.as_secs()))
        }
        ExitReason::Timeout => {
            broken(format!("it had not ended after {} s{}", run.timeout.as_secs_f64(), with_said(run)))
        }
        ExitReason::Signalled => {
            broken(format!("signal {} ended it{}", run.exit_code.unwrap_or(128) - 128, with_said(run)))
        }
        ExitReason::Stopped => broken("it wrote more than it may, and was ended".to_owned()),
        ExitReason::Lost => broken("nobody saw its end".to_owned()),
    }
}

/// Whether all of it was gone before the grace was over.
fn obeyed(run: &Observation) -> bool {
    run.took < run.timeout + GRACE
}

/// The first record of a success that is not true.
fn lie(run: &Observation) -> Option<Judgement> {
    if !run.succeeded() {
        return None;
    }
    // Beside a true record, one of another binary is no lie.
    let has_truth = run.claims.iter().any(|it| it.truth.is_ok());
    run.claims.iter().find_map(|claim| match &claim.truth {
        Ok(_) => None,
        Err(RecordError::WrongName { .. }) if has_truth => None,
        Err(lie) => Some(Judgement::broken(lie.to_string(), Some(run.out(claim.line)))),
    })
}

/// A lie that the answer to a good request does not hold already: one fault is one item's.
fn new_lie(good: &Observation, run: &Observation) -> Option<Judgement> {
    if lie(good).is_some() { None } else { lie(run) }
}

/// A success for what cannot be there.
fn claim_of_nothing(run: &Observation, what: &str) -> Option<Judgement> {
    let claim = run.claims.first().filter(|_| run.succeeded())?;
    Some(Judgement::broken(format!("it claims to have what {what}"), Some(run.out(claim.line))))
}

fn garbage(run: &Observation) -> Option<Judgement> {
    let garbage = run.garbage.first()?;
    let problem = format!("line {} {}", garbage.line, garbage.problem);
    Some(Judgement::broken(problem, Some(run.out(garbage.line))).of_run(run.process_id))
}

fn path_of(run: &Observation) -> Option<&Path> {
    let truth = run.claims.iter().find_map(|it| it.truth.as_ref().ok())?;
    run.succeeded().then_some(truth.abspath.as_path())
}

fn with_said(run: &Observation) -> String {
    if run.said.is_empty() { String::new() } else { format!(": {}", run.said) }
}

fn millis(time: Duration) -> u128 {
    time.as_millis().max(1)
}

/// The line of a hook where one of these words stands first; the first line where none does.
pub fn suspect(hook: &Path, text: &str, words: &[&str]) -> LookAt {
    let is_suspect = |line: &&(u64, &str)| {
        !line.1.trim_start().starts_with(['#', '/']) && words.iter().any(|it| line.1.contains(it))
    };
    let numbered: Vec<(u64, &str)> = (1..).zip(text.lines()).collect();
    let line = numbered.iter().find(is_suspect).map_or(1, |it| it.0);
    LookAt { path: hook.to_owned(), line }
}

#[cfg(test)]
mod tests;
