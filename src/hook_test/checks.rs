//! Evaluates the runs of a hook for each check. Pure: it starts no process and reads no file.

use std::path::Path;
use std::time::Duration;

use crate::hook_test::check::{CheckOutcome, CheckResult, Location};
use crate::hook_test::expected_record::RecordError;
use crate::hook_test::run::{HookRun, InvalidLine, RecordLine};
use crate::model::ExitReason;
use crate::model::process::SKIPPED;
use crate::plugin::hook_name::{self, BINARY_REQUEST, HookName};
use crate::process::terminate::GRACE;

/// A hook that exits this soon after the timeout with a valid record may have finished before TERM arrived: before the
/// signal, rigup reads the process table, and the machine may be busy.
const SIGNAL_DELAY: Duration = Duration::from_secs(1);

/// The next step if the hook does not satisfy the request.
const NAME_ONE: &str = "name a binary that it can install: -- --name=NAME";

/// Checks the file name.
pub(crate) fn name(file: &Path) -> CheckResult {
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    let failed = |reason: String| CheckResult::broken(reason, Some(first_line(file)));
    match HookName::parse(&file_name) {
        None => {
            failed(format!("{file_name} is not the name of a hook, such as on_{BINARY_REQUEST}__50_mine.sh"))
        }
        Some(name) if hook_name::is_of_provider(&name.event) && name.background.is_some() => failed(
            "it is marked as a background hook, and a provider cannot run in the background".to_owned(),
        ),
        Some(name) if name.order.is_none() => {
            CheckResult::noted("it has no number, so it runs before all hooks that have one")
        }
        Some(_) => CheckResult::held(),
    }
}

/// Checks that the hook can be started. `env` in a shebang exits with 126 or 127 if it does not find the interpreter;
/// the same codes with another message are the hook's own.
pub(crate) fn starts(run: &HookRun, hook: &Path) -> CheckResult {
    let is_env = ["env:", "/usr/bin/env:"].iter().any(|env| run.last_stderr.starts_with(env));
    match (run.exit_reason, run.exit_code) {
        (ExitReason::SpawnFailed, _) => CheckResult::broken(&run.last_stderr, Some(first_line(hook))),
        (_, Some(126 | 127)) if is_env => CheckResult::broken(&run.last_stderr, Some(first_line(hook))),
        (ExitReason::Exited, Some(code)) if code != 0 && code != SKIPPED => {
            CheckResult::noted(exit_with_stderr(run))
        }
        _ => CheckResult::held(),
    }
}

/// Checks the run for a good request, or for a guessed one.
pub(crate) fn answer(run: &HookRun, is_guess: bool) -> CheckResult {
    if let Some(failed) = failure(run).or_else(|| invalid_record(run)) {
        return failed;
    }
    let is_success = run.succeeded();
    match run.exit_code {
        _ if is_success && run.records.is_empty() => unanswered("it declined the request", run, is_guess),
        _ if is_success && !is_guess && has_no_version(run) => {
            CheckResult::noted("its record has no version, so it cannot satisfy a min_version")
        }
        _ if is_success => CheckResult::held(),
        Some(SKIPPED) => unanswered("it skipped the request", run, is_guess),
        _ if is_guess => CheckResult::skipped(format!("{}; {NAME_ONE}", exit_with_stderr(run))),
        _ => run.broken(exit_with_stderr(run)),
    }
}

/// Returns the result of a hook that does not answer. A guessed request need not be one that it can satisfy.
fn unanswered(what: &str, run: &HookRun, is_guess: bool) -> CheckResult {
    let reason = format!("{what}{}; {NAME_ONE}", with_stderr(run));
    if is_guess { CheckResult::skipped(reason) } else { run.broken(reason) }
}

/// Replaces the result of a check that a hook passes because it answers nothing.
pub(crate) fn only_if_answered(result: CheckResult, good: &HookRun) -> CheckResult {
    let has_answered = good.succeeded() && !good.records.is_empty();
    if has_answered || result.outcome != CheckOutcome::Held {
        return result;
    }
    CheckResult::skipped("the hook never answered the request with a record, so this shows nothing")
}

fn has_no_version(run: &HookRun) -> bool {
    run.records
        .iter()
        .filter_map(|record| record.verified.as_ref().ok())
        .all(|found| found.version.is_empty())
}

/// Checks the run for a name that does not exist.
pub(crate) fn absent(run: &HookRun) -> CheckResult {
    let failed = failure(run).or_else(|| unexpected_record(run, "for a name that does not exist"));
    failed.unwrap_or_else(CheckResult::held)
}

/// Checks the run for a request that does not allow the provider.
pub(crate) fn not_asked(run: &HookRun) -> CheckResult {
    let what = "although --binproviders does not allow it";
    if let Some(failed) = failure(run).or_else(|| unexpected_record(run, what)) {
        return failed;
    }
    if let Some(written) = run.installed.first() {
        return run.broken(format!("it wrote {}, {what}", written.display()));
    }
    match run.exit_code {
        Some(0 | SKIPPED) => CheckResult::held(),
        _ => run.broken(format!("{} instead of 0 or {SKIPPED}{}", exit(run), with_stderr(run))),
    }
}

/// Checks the run for a batch of the good request and one for a name that does not exist.
pub(crate) fn batch(good: &HookRun, run: &HookRun) -> CheckResult {
    let Some(alone) = answer_of(good) else {
        return CheckResult::skipped("the request alone has no valid record");
    };
    if let Some(failure) = failure(run) {
        return failure;
    }
    let is_foreign = |record: &&RecordLine| record.verified.as_ref().is_err_and(RecordError::is_other_name);
    match run.records.iter().find(is_foreign) {
        Some(record) if run.succeeded() => {
            run.broken_at(record.line, "it prints a record for a name that does not exist")
        }
        _ if answer_of(run) == Some(alone) => CheckResult::held(),
        _ => run.broken(format!(
            "in a batch with another request, it does not print its record{}",
            with_stderr(run)
        )),
    }
}

/// Checks the run for the good request with an addition that must not change the result.
pub(crate) fn unchanged(good: &HookRun, run: &HookRun, what: &str) -> CheckResult {
    if let Some(failure) = failure(run) {
        return failure;
    }
    if (good.exit_reason, good.exit_code) != (run.exit_reason, run.exit_code) {
        return run.broken(format!("{} {what}, {} without it{}", exit(run), exit(good), with_stderr(run)));
    }
    if let Some(invalid) = new_invalid_record(good, run) {
        return invalid;
    }
    if run.records.is_empty() != good.records.is_empty() {
        return run.broken(format!("its records {what} differ from those without it{}", with_stderr(run)));
    }
    CheckResult::held()
}

/// Checks the run for a request with shell syntax.
pub(crate) fn hostile(
    good: &HookRun,
    run: &HookRun,
    what: &str,
    is_absent: bool,
    line: Location,
) -> CheckResult {
    if let Some(canary) = run.canaries.first() {
        let problem = format!("{what} was run: it created {}", canary.display());
        return CheckResult::broken(problem, Some(line));
    }
    if let Some(failure) = failure(run) {
        return failure;
    }
    if let Some(CheckResult { reason, look_at, .. }) = invalid_line(run) {
        return CheckResult::broken(format!("{what} reaches its output: {reason}"), look_at);
    }
    let failed = if is_absent {
        unexpected_record(run, "for a name that does not exist")
    } else {
        new_invalid_record(good, run)
    };
    failed.unwrap_or_else(CheckResult::held)
}

/// Checks the run for a request with a huge argument.
pub(crate) fn huge(good: &HookRun, run: &HookRun) -> CheckResult {
    invalid_line(run).unwrap_or_else(|| unchanged(good, run, "with an argument of 100 KiB"))
}

/// Checks the output of all runs that were not terminated.
pub(crate) fn stdout<'a>(runs: impl IntoIterator<Item = &'a HookRun>) -> CheckResult {
    let mut ignored = 0;
    for run in runs {
        if run.exit_reason == ExitReason::Stopped {
            return failure(run).unwrap_or_else(CheckResult::held);
        }
        if let Some(invalid) = invalid_line(run) {
            return invalid;
        }
        ignored = ignored.max(run.ignored_lines);
    }
    match ignored {
        0 => CheckResult::held(),
        1 => CheckResult::noted("1 line is not a record and is ignored"),
        lines => CheckResult::noted(format!("{lines} lines are not records and are ignored")),
    }
}

/// Checks a second run for the good request.
pub(crate) fn repeat(good: &HookRun, second: &HookRun) -> CheckResult {
    let Some(first) = answer_of(good) else {
        return CheckResult::skipped("the first run has no valid record");
    };
    if let Some(failed) = failure(second).or_else(|| invalid_record(second)) {
        return failed;
    }
    match second.records.first() {
        Some(RecordLine { line, verified: Ok(found) }) if second.succeeded() => {
            if found.answer == first {
                return CheckResult::held();
            }
            second.broken_at(*line, format!("{first} the first time, {} the second", found.answer))
        }
        _ => second.broken(format!("it prints its record only the first time: {}", exit_with_stderr(second))),
    }
}

/// Checks the last run that was terminated halfway, or that finished too soon to be terminated. If the record of the
/// good run is invalid, too, an invalid record is not caused by TERM.
pub(crate) fn term(good: &HookRun, run: &HookRun, line: Location) -> CheckResult {
    let millis = run.duration.as_millis().max(1);
    if run.exit_reason != ExitReason::Timeout {
        return CheckResult::skipped(format!("it exits within {millis} ms, before it can be terminated"));
    }
    if let Some(survivor) = run.leftovers.first() {
        return CheckResult::broken(format!("it left a process: {survivor}"), Some(line));
    }
    if !exited_in_grace(run) {
        let process = run.slow_to_exit.first().map(|process| format!(": {process}")).unwrap_or_default();
        return CheckResult::broken(killed_after_term() + &process, Some(line));
    }
    let Some(record) = run.records.first().filter(|_| run.exit_code == Some(0)) else {
        return CheckResult::held();
    };
    if invalid_record(good).is_some() {
        return CheckResult::skipped("its record is invalid without TERM, too");
    }
    if has_valid_record(run) && run.duration < run.timeout + SIGNAL_DELAY {
        return CheckResult::skipped(format!("its work was done before TERM, after {millis} ms"));
    }
    run.broken_at(record.line, "it exited with 0 and a record in spite of TERM")
}

/// Checks that no process outlives the run.
pub(crate) fn leftovers(run: &HookRun, line: Location) -> CheckResult {
    let failed = run.leftovers.first().map(|process| CheckResult::broken(process, Some(line)));
    failed.unwrap_or_else(CheckResult::held)
}

/// Checks a run on a faulty file system. A file for which there is no space stays empty, so its record is invalid.
pub(crate) fn disk_fault(good: &HookRun, run: &HookRun) -> CheckResult {
    if invalid_record(good).is_some() {
        return CheckResult::skipped("its record is invalid without the fault, too");
    }
    if let Some(failure) = failure(run) {
        return failure;
    }
    invalid_record(run).unwrap_or_else(CheckResult::held)
}

/// Returns the failure of a run that did not exit by itself. A daemon is terminated, and must exit then.
fn failure(run: &HookRun) -> Option<CheckResult> {
    let problem = match run.exit_reason {
        ExitReason::Exited => return None,
        ExitReason::Timeout if run.is_daemon && exited_in_grace(run) => return None,
        ExitReason::Timeout if run.is_daemon => killed_after_term(),
        ExitReason::Timeout => {
            format!("it did not exit within {} s{}", run.timeout.as_secs_f64(), with_stderr(run))
        }
        ExitReason::SpawnFailed => run.last_stderr.clone(),
        ExitReason::Signalled => {
            let signal = run.exit_code.unwrap_or(128) - 128;
            format!("it was killed by signal {signal}{}", with_stderr(run))
        }
        ExitReason::Memory => "it was killed, because it exceeded its memory limit".to_owned(),
        ExitReason::Stopped => "it was terminated, because it exceeded the output limit".to_owned(),
        ExitReason::Lost => "its exit was not observed".to_owned(),
    };
    Some(run.broken(problem))
}

/// Whether the hook and its processes exited within the grace period.
fn exited_in_grace(run: &HookRun) -> bool {
    run.duration < run.timeout + GRACE
}

fn killed_after_term() -> String {
    format!("it was killed, because it had not exited {} s after TERM", GRACE.as_secs())
}

/// Returns the failure of the first invalid record of a run that reported success, or `None` if there is none.
fn invalid_record(run: &HookRun) -> Option<CheckResult> {
    run.records.iter().filter(|_| run.succeeded()).find_map(|record| match &record.verified {
        Ok(_) => None,
        // Next to a valid record, one of another binary is allowed.
        Err(error) if error.is_other_name() && has_valid_record(run) => None,
        Err(error) => Some(run.broken_at(record.line, error.to_string())),
    })
}

fn has_valid_record(run: &HookRun) -> bool {
    run.records.iter().any(|record| record.verified.is_ok())
}

/// Returns the failure of the first invalid record, unless the good run has one, too, because one fault should fail
/// only one check.
fn new_invalid_record(good: &HookRun, run: &HookRun) -> Option<CheckResult> {
    if invalid_record(good).is_some() { None } else { invalid_record(run) }
}

/// Returns the failure of a run that must not have a record, or `None` if it has none.
fn unexpected_record(run: &HookRun, what: &str) -> Option<CheckResult> {
    let record = run.records.first().filter(|_| run.succeeded())?;
    Some(run.broken_at(record.line, format!("it prints a record {what}")))
}

fn invalid_line(run: &HookRun) -> Option<CheckResult> {
    let InvalidLine { line, problem } = run.invalid_lines.first()?;
    Some(run.broken_at(*line, format!("line {line} {problem}")).of_run(run.process_id))
}

fn answer_of(run: &HookRun) -> Option<&str> {
    let found = run.records.iter().find_map(|record| record.verified.as_ref().ok())?;
    run.succeeded().then_some(found.answer.as_str())
}

fn exit(run: &HookRun) -> String {
    format!("exit {}", run.exit_code.unwrap_or_default())
}

fn exit_with_stderr(run: &HookRun) -> String {
    exit(run) + &with_stderr(run)
}

fn with_stderr(run: &HookRun) -> String {
    if run.last_stderr.is_empty() { String::new() } else { format!(": {}", run.last_stderr) }
}

/// Returns the first line of a file.
pub(crate) fn first_line(file: &Path) -> Location {
    Location { path: file.to_owned(), line: 1 }
}

/// Returns the first line of a hook with one of these words, or the first line if there is none.
pub(crate) fn suspicious_line(hook: &Path, text: &str, words: &[&str]) -> Location {
    let is_suspicious = |line: &&(u64, &str)| {
        !line.1.trim_start().starts_with(['#', '/']) && words.iter().any(|word| line.1.contains(word))
    };
    let numbered: Vec<(u64, &str)> = (1..).zip(text.lines()).collect();
    let line = numbered.iter().find(is_suspicious).map_or(1, |line| line.0);
    Location { path: hook.to_owned(), line }
}

#[cfg(test)]
mod tests;
