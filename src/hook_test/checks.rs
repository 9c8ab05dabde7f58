//! What a run means for a check. Pure: no process, no disk.

use std::path::Path;
use std::time::Duration;

use crate::hook_test::result::{CheckResult, Location};
use crate::hook_test::run::{BinaryLine, HookRun};
use crate::install::verify::VerifyError;
use crate::model::process::{ExitReason, SKIPPED};
use crate::plugin::hook_name::{BINARY_REQUEST, HookName};
use crate::process::terminate::GRACE;

/// A hook that exits this soon after the timeout with a valid record may have finished before TERM arrived: before the signal,
/// rigup reads the process table, and the machine may be busy.
const SIGNAL_DELAY: Duration = Duration::from_secs(1);

/// The next step after a request that the hook does not satisfy.
const NAME_ONE: &str = "name a binary that it can install: -- --name=NAME";

/// Checks the file name.
pub fn name(file: &Path) -> CheckResult {
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    let here = Some(Location { path: file.to_owned(), line: 1 });
    match HookName::parse(&file_name) {
        None => CheckResult::failed(
            format!("{file_name} is not the name of a hook, such as on_{BINARY_REQUEST}__50_mine.sh"),
            here,
        ),
        Some(name) if name.event == BINARY_REQUEST && name.background.is_some() => CheckResult::failed(
            "it is marked as a background hook, and a provider cannot run in the background",
            here,
        ),
        Some(name) if name.order.is_none() => {
            CheckResult::noted("it has no number, so it runs before all hooks that have one".to_owned())
        }
        Some(_) => CheckResult::passed(),
    }
}

/// Checks that the hook can be started. `env` in a shebang exits with 126 or 127 if it does not find the interpreter; the same
/// codes with another message are the hook's own.
pub fn starts(run: &HookRun, hook: &Path) -> CheckResult {
    let here = || Some(Location { path: hook.to_owned(), line: 1 });
    let is_env = run.last_stderr.starts_with("env:") || run.last_stderr.starts_with("/usr/bin/env:");
    match (run.exit_reason, run.exit_code) {
        (ExitReason::SpawnFailed, _) => CheckResult::failed(run.last_stderr.clone(), here()),
        (_, Some(126 | 127)) if is_env => CheckResult::failed(run.last_stderr.clone(), here()),
        (ExitReason::Exited, Some(0 | SKIPPED)) => CheckResult::passed(),
        (ExitReason::Exited, Some(code)) => CheckResult::noted(format!("exit {code}{}", with_stderr(run))),
        _ => CheckResult::passed(),
    }
}

/// Checks the run for a good request, or for a guess at one.
pub fn answer(run: &HookRun, is_guess: bool) -> CheckResult {
    if let Some(failure) = failure(run) {
        return failure;
    }
    if !run.succeeded() {
        let how = format!("exit {}{}", run.exit_code.unwrap_or_default(), with_stderr(run));
        return match run.exit_code {
            Some(SKIPPED) => {
                CheckResult::skipped(format!("it skipped the request{}; {NAME_ONE}", with_stderr(run)))
            }
            _ if is_guess => CheckResult::skipped(format!("{how}; {NAME_ONE}")),
            _ => CheckResult::failed(how, Some(run.stderr_location.clone())),
        };
    }
    match (invalid_record(run), run.records.is_empty()) {
        (Some(invalid), _) => invalid,
        (None, true) => CheckResult::skipped(format!("it declined{}; {NAME_ONE}", with_stderr(run))),
        (None, false) if !is_guess && has_no_version(run) => {
            CheckResult::noted("its record has no version, so it cannot satisfy a min_version".to_owned())
        }
        (None, false) => CheckResult::passed(),
    }
}

fn has_no_version(run: &HookRun) -> bool {
    run.records.iter().filter_map(|record| record.verified.as_ref().ok()).all(|file| file.version.is_empty())
}

/// Checks the run for a name that does not exist.
pub fn absent(run: &HookRun) -> CheckResult {
    failure(run)
        .or_else(|| unexpected_record(run, "for a name that does not exist"))
        .unwrap_or_else(CheckResult::passed)
}

/// Checks the run for a request that does not allow the provider.
pub fn not_asked(run: &HookRun) -> CheckResult {
    if let Some(failure) = failure(run) {
        return failure;
    }
    if let Some(claimed) = unexpected_record(run, "although --binproviders does not allow it") {
        return claimed;
    }
    if let Some(written) = run.installed.first() {
        let problem = format!("it wrote {}, although --binproviders does not allow it", written.display());
        return CheckResult::failed(problem, Some(run.stderr_location.clone()));
    }
    match run.exit_code {
        Some(0 | SKIPPED) => CheckResult::passed(),
        code => CheckResult::failed(
            format!("exit {} instead of 0 or {SKIPPED}{}", code.unwrap_or_default(), with_stderr(run)),
            Some(run.stderr_location.clone()),
        ),
    }
}

/// Checks the run for a batch of the good request and one for a name that does not exist.
pub fn batch(good: &HookRun, run: &HookRun) -> CheckResult {
    let Some(alone) = path_of(good) else {
        return CheckResult::skipped("the request alone has no valid record");
    };
    if let Some(failure) = failure(run) {
        return failure;
    }
    let foreign =
        run.records.iter().find(|record| matches!(record.verified, Err(VerifyError::WrongName { .. })));
    if let Some(record) = foreign.filter(|_| run.succeeded()) {
        let problem = "it prints a record for a name that does not exist";
        return CheckResult::failed(problem, Some(run.stdout_line(record.line)));
    }
    match path_of(run) {
        Some(together) if together == alone => CheckResult::passed(),
        _ => CheckResult::failed(
            format!("in a batch with another request, it does not print its record{}", with_stderr(run)),
            Some(run.stderr_location.clone()),
        ),
    }
}

/// Checks the run for the good request with an addition that must change nothing.
pub fn unchanged(good: &HookRun, run: &HookRun, what: &str) -> CheckResult {
    if let Some(failure) = failure(run) {
        return failure;
    }
    if (good.exit_reason, good.exit_code) != (run.exit_reason, run.exit_code) {
        let exit = |run: &HookRun| format!("exit {}", run.exit_code.unwrap_or_default());
        let problem = format!("{} {what}, {} without it{}", exit(run), exit(good), with_stderr(run));
        return CheckResult::failed(problem, Some(run.stderr_location.clone()));
    }
    if let Some(invalid) = new_invalid_record(good, run) {
        return invalid;
    }
    if run.records.is_empty() != good.records.is_empty() {
        let problem = format!("its records {what} differ from those without it{}", with_stderr(run));
        return CheckResult::failed(problem, Some(run.stderr_location.clone()));
    }
    CheckResult::passed()
}

/// Checks the run for a request with shell syntax.
pub fn hostile(good: &HookRun, run: &HookRun, what: &str, is_absent: bool, line: Location) -> CheckResult {
    if let Some(canary) = run.canaries.first() {
        let problem = format!("{what} was run: it created {}", canary.display());
        return CheckResult::failed(problem, Some(line));
    }
    if let Some(failure) = failure(run) {
        return failure;
    }
    if let Some(invalid) = invalid_line(run) {
        return CheckResult::failed(
            format!("{what} reaches its output: {}", invalid.reason),
            invalid.look_at,
        );
    }
    let problem = if is_absent {
        unexpected_record(run, "for a name that does not exist")
    } else {
        new_invalid_record(good, run)
    };
    problem.unwrap_or_else(CheckResult::passed)
}

/// Checks the run for a request with a huge argument.
pub fn huge(good: &HookRun, run: &HookRun) -> CheckResult {
    match invalid_line(run) {
        Some(invalid) => invalid,
        None => unchanged(good, run, "with an argument of 100 KiB"),
    }
}

/// Checks the output of all runs that were not terminated.
pub fn stdout<'a>(runs: impl IntoIterator<Item = &'a HookRun>) -> CheckResult {
    let mut ignored = 0;
    for run in runs {
        if run.exit_reason == ExitReason::Stopped {
            return failure(run).unwrap_or_else(CheckResult::passed);
        }
        if let Some(invalid) = invalid_line(run) {
            return invalid;
        }
        ignored = ignored.max(run.ignored_lines);
    }
    match ignored {
        0 => CheckResult::passed(),
        1 => CheckResult::noted("1 line is not a record and is ignored".to_owned()),
        lines => CheckResult::noted(format!("{lines} lines are not records and are ignored")),
    }
}

/// Checks a second run for the good request.
pub fn repeat(good: &HookRun, again: &HookRun) -> CheckResult {
    let Some(first) = path_of(good) else {
        return CheckResult::skipped("the first run has no valid record");
    };
    if let Some(failure) = failure(again).or_else(|| invalid_record(again)) {
        return failure;
    }
    match again.records.first() {
        Some(BinaryLine { verified: Ok(file), .. }) if again.succeeded() && file.abspath == first => {
            CheckResult::passed()
        }
        Some(BinaryLine { line, verified: Ok(file) }) if again.succeeded() => CheckResult::failed(
            format!("{} the first time, {} the second", first.display(), file.abspath.display()),
            Some(again.stdout_line(*line)),
        ),
        _ => CheckResult::failed(
            format!(
                "it prints its record only the first time: exit {}{}",
                again.exit_code.unwrap_or_default(),
                with_stderr(again)
            ),
            Some(again.stderr_location.clone()),
        ),
    }
}

/// Checks the last run that was terminated in the middle, or that finished too soon for that. A record that is as invalid as
/// that of the good run shows nothing about TERM.
pub fn term(good: &HookRun, run: &HookRun, line: Location) -> CheckResult {
    if run.exit_reason != ExitReason::Timeout {
        return CheckResult::skipped(format!(
            "it exits within {} ms, before it can be terminated",
            millis(run.duration)
        ));
    }
    if let Some(survivor) = run.leftovers.first() {
        return CheckResult::failed(format!("it left a process: {survivor}"), Some(line));
    }
    if !exited_in_grace(run) {
        let process = run.slow_to_exit.first().map(|process| format!(": {process}")).unwrap_or_default();
        return CheckResult::failed(
            format!("it exited only by KILL, {} s after TERM{process}", GRACE.as_secs()),
            Some(line),
        );
    }
    let Some(record) = run.records.first().filter(|_| run.exit_code == Some(0)) else {
        return CheckResult::passed();
    };
    if invalid_record(good).is_some() {
        return CheckResult::skipped("its record is invalid without TERM, too");
    }
    let has_valid_record = run.records.iter().any(|record| record.verified.is_ok());
    if has_valid_record && run.duration < run.timeout + SIGNAL_DELAY {
        let duration = millis(run.duration);
        return CheckResult::skipped(format!("its work was done before TERM, after {duration} ms"));
    }
    let problem = "it exited with 0 and a Binary record in spite of TERM";
    CheckResult::failed(problem, Some(run.stdout_line(record.line)))
}

/// Checks that no process outlives the run.
pub fn leftovers(run: &HookRun, line: Location) -> CheckResult {
    match run.leftovers.first() {
        Some(process) => CheckResult::failed(process.clone(), Some(line)),
        None => CheckResult::passed(),
    }
}

/// Checks a run on a faulty file system. A file for which there is no space stays empty.
pub fn disk_fault(good: &HookRun, run: &HookRun) -> CheckResult {
    if invalid_record(good).is_some() {
        return CheckResult::skipped("its record is invalid without the fault, too");
    }
    if let Some(failure) = failure(run) {
        return failure;
    }
    let is_empty = |record: &&BinaryLine| record.verified.as_ref().is_ok_and(|file| file.size == 0);
    match run.records.iter().find(is_empty) {
        Some(record) if run.succeeded() => {
            CheckResult::failed("its record names an empty file", Some(run.stdout_line(record.line)))
        }
        _ if run.succeeded() => invalid_record(run).unwrap_or_else(CheckResult::passed),
        _ => CheckResult::passed(),
    }
}

/// Returns the result of a run that did not exit by itself. A daemon is terminated, and must exit then.
fn failure(run: &HookRun) -> Option<CheckResult> {
    let failed = |problem: String| Some(CheckResult::failed(problem, Some(run.stderr_location.clone())));
    match run.exit_reason {
        ExitReason::Exited => None,
        ExitReason::SpawnFailed => failed(run.last_stderr.clone()),
        ExitReason::Timeout if run.is_daemon && exited_in_grace(run) => None,
        ExitReason::Timeout if run.is_daemon => {
            failed(format!("it exited only by KILL, {} s after TERM", GRACE.as_secs()))
        }
        ExitReason::Timeout => {
            failed(format!("it did not exit within {} s{}", run.timeout.as_secs_f64(), with_stderr(run)))
        }
        ExitReason::Signalled => failed(format!(
            "it was killed by signal {}{}",
            run.exit_code.unwrap_or(128) - 128,
            with_stderr(run)
        )),
        ExitReason::Stopped => failed("it was terminated, because it wrote more than it may".to_owned()),
        ExitReason::Lost => failed("its exit was not observed".to_owned()),
    }
}

/// Whether the hook and its processes exited within the grace period.
fn exited_in_grace(run: &HookRun) -> bool {
    run.duration < run.timeout + GRACE
}

/// Returns the first invalid record of a run that reported success, or `None` if there is none.
fn invalid_record(run: &HookRun) -> Option<CheckResult> {
    if !run.succeeded() {
        return None;
    }
    // Beside a valid record, one of another binary is allowed.
    let has_valid_record = run.records.iter().any(|record| record.verified.is_ok());
    run.records.iter().find_map(|record| match &record.verified {
        Ok(_) => None,
        Err(VerifyError::WrongName { .. }) if has_valid_record => None,
        Err(error) => Some(CheckResult::failed(error.to_string(), Some(run.stdout_line(record.line)))),
    })
}

/// Returns the first invalid record, unless the good run has one already: each fault breaks one check.
fn new_invalid_record(good: &HookRun, run: &HookRun) -> Option<CheckResult> {
    if invalid_record(good).is_some() { None } else { invalid_record(run) }
}

/// Returns the first record of a run that must not have one.
fn unexpected_record(run: &HookRun, what: &str) -> Option<CheckResult> {
    let record = run.records.first().filter(|_| run.succeeded())?;
    Some(CheckResult::failed(format!("it prints a record {what}"), Some(run.stdout_line(record.line))))
}

fn invalid_line(run: &HookRun) -> Option<CheckResult> {
    let invalid = run.invalid_lines.first()?;
    let problem = format!("line {} {}", invalid.line, invalid.problem);
    Some(CheckResult::failed(problem, Some(run.stdout_line(invalid.line))).of_run(run.process_id))
}

fn path_of(run: &HookRun) -> Option<&Path> {
    let file = run.records.iter().find_map(|record| record.verified.as_ref().ok())?;
    run.succeeded().then_some(file.abspath.as_path())
}

fn with_stderr(run: &HookRun) -> String {
    if run.last_stderr.is_empty() { String::new() } else { format!(": {}", run.last_stderr) }
}

fn millis(time: Duration) -> u128 {
    time.as_millis().max(1)
}

/// Returns the first line of a hook with one of these words, or the first line if there is none.
pub fn suspicious_line(hook: &Path, text: &str, words: &[&str]) -> Location {
    let is_suspicious = |line: &&(u64, &str)| {
        !line.1.trim_start().starts_with(['#', '/']) && words.iter().any(|word| line.1.contains(word))
    };
    let numbered: Vec<(u64, &str)> = (1..).zip(text.lines()).collect();
    let line = numbered.iter().find(is_suspicious).map_or(1, |line| line.0);
    Location { path: hook.to_owned(), line }
}

#[cfg(test)]
mod tests;
