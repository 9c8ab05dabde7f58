//! The outcome of a hook that has exited, for each of its requests.

use std::collections::HashMap;
use std::io::BufReader;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::duration;
use crate::install::begin::{BUILT, BegunHook};
use crate::install::event::InstallEvent;
use crate::install::verify::{self, Expected, VerifyError};
use crate::model::policy::UNENFORCED;
use crate::model::process::SKIPPED;
use crate::model::{ExitReason, Installed, Outcome, ProcessExit, Warnings};
use crate::process::signals::Interrupt;
use crate::process::supervise::FinishedProcess;
use crate::protocol::{self, Record};

/// The outcome of a hook for one request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// A Binary record was verified. The provider could not enforce these rules of the policy, which are only defaults.
    Installed(Box<Installed>, Vec<String>),
    /// The provider did not install the binary, with the cause.
    NotInstalled(Outcome, String),
    /// The provider declines the request whatever is installed, so what it itself requires is not installed for it. This is
    /// the reason.
    NotOffered(String),
}

/// Returns the verdict for each request of a hook. Warnings in the hook's output are passed to `on_event`. What the hook has
/// built is put in place by `begun`, if rigup began the hook.
pub(crate) fn verdicts(
    finished: &mut FinishedProcess,
    provider: &str,
    expected: &[Expected<'_>],
    begun: Option<&dyn BegunHook>,
    interrupt: &Interrupt,
    timeout: Duration,
    on_event: &impl Fn(InstallEvent),
) -> Vec<Verdict> {
    let for_all = |outcome: Outcome, reason: &str| {
        expected.iter().map(|_| Verdict::NotInstalled(outcome, reason.to_owned())).collect()
    };
    let Some(exit) = finished.process.exit().cloned() else { return for_all(Outcome::Failed, NO_EXIT) };
    let failed = outcome_of_exit(&exit, timeout);
    if let Some((outcome, reason)) = &failed
        && exit.reason != ExitReason::Exited
    {
        return for_all(*outcome, reason);
    }
    let mut output = ProviderOutput::default();
    let stdout = BufReader::new(finished.logs.stdout.read_from(0, exit.stdout_bytes));
    let unparsed = match protocol::read(stdout, |record| output.take(record, expected.len())) {
        Ok(unparsed) => unparsed,
        Err(error) => return for_all(Outcome::Failed, &format!("cannot read its output: {error}")),
    };
    if failed.is_none() {
        output.put_in_place(expected, begun, interrupt, on_event);
    }
    for notice in output.warnings.texts() {
        on_event(InstallEvent::Notice(format!("{provider}: {notice}")));
    }
    for warning in unparsed.into_warnings() {
        output.warnings.push(&warning);
        on_event(InstallEvent::Warning(format!("{provider}: {warning}")));
    }
    if !output.warnings.texts().is_empty() {
        finished.process.warnings.extend(output.warnings.texts());
        // The store has them as well.
        let _ = finished.run_dir.write_exit(&finished.process);
    }
    let is_only_one = expected.len() == 1;
    let verdict = |expected: &Expected<'_>| match &failed {
        Some((outcome, reason)) => {
            // `rigup hook binary` exits with 1 for a program that cannot run.
            let rejected =
                output.failures.get(expected.name).filter(|(outcome, _)| *outcome == Outcome::Rejected);
            let (outcome, reason) = rejected.cloned().unwrap_or((*outcome, reason.clone()));
            Verdict::NotInstalled(outcome, reason)
        }
        None => output.verdict(*expected, is_only_one, &exit),
    };
    expected.iter().map(verdict).collect()
}

/// The reason for a hook that rigup terminated, or for which it did not do the rest.
const STOPPED: &str = "terminated on request";

/// The reason for a record with [`BUILT`] of a hook that has to put in place what it has built.
const NOT_BEGUN: &str =
    "its Binary record states `built`, which is only for a hook that evaluates RIGUP_BEGIN";

/// The reason for a hook that prints other Binary records besides one with [`BUILT`].
const SEVERAL_RECORDS: &str =
    "it printed several Binary records, but one that states `built` must be the only one";

/// The reason for a hook whose exit is unknown.
pub(super) const NO_EXIT: &str = "no process observed its exit";

/// The records in a hook's output that matter for its requests.
#[derive(Debug, Default)]
struct ProviderOutput {
    /// The fields of its Binary records.
    binaries: Vec<Map<String, Value>>,
    failures: HashMap<String, (Outcome, String)>,
    /// The messages of its Warning records.
    warnings: Warnings,
}

impl ProviderOutput {
    fn take(&mut self, record: Record, requests: usize) {
        // Endless output must not fill the memory.
        if self.binaries.len() + self.failures.len() >= protocol::MAX_RECORDS.max(2 * requests) {
            return;
        }
        let text = |key: &str| record.fields.get(key).and_then(Value::as_str).unwrap_or_default();
        match record.kind.as_str() {
            "Warning" => self.warnings.push(text("message")),
            "BinaryFailure" => {
                let stated = [Outcome::Declined, Outcome::Rejected];
                let outcome = stated.into_iter().find(|outcome| text("outcome") == outcome.as_str());
                let outcome = outcome.unwrap_or(Outcome::Failed);
                let reason = text("reason").to_owned();
                self.failures.entry(text("name").to_owned()).or_insert((outcome, reason));
            }
            "Binary" => self.binaries.push(record.fields),
            _ => {}
        }
    }

    /// Puts in place what the hook has built, and replaces its record by that of the binary in the prefix.
    fn put_in_place(
        &mut self,
        expected: &[Expected<'_>],
        begun: Option<&dyn BegunHook>,
        interrupt: &Interrupt,
        on_event: &impl Fn(InstallEvent),
    ) {
        let Some(index) = self.binaries.iter().position(|fields| fields.contains_key(BUILT)) else { return };
        let fields = self.binaries.swap_remove(index);
        let on_message = |line| on_event(InstallEvent::Output(line));
        let records = match begun {
            Some(_) if !self.binaries.is_empty() => Err((Outcome::Failed, SEVERAL_RECORDS.to_owned())),
            Some(begun) => begun.put_in_place(&fields, interrupt, &on_message),
            None => Err((Outcome::Failed, NOT_BEGUN.to_owned())),
        };
        let failure = match records {
            Ok(records) if records.is_empty() => (Outcome::Failed, STOPPED.to_owned()),
            Ok(records) => return records.into_iter().for_each(|record| self.take(record, 1)),
            Err(failure) => failure,
        };
        let stated = fields.get("name").and_then(Value::as_str).unwrap_or_default();
        let name = if let [only] = expected { only.name } else { stated };
        self.failures.insert(name.to_owned(), failure);
    }

    /// Returns the verdict for one request. Accepts the first record that can be verified, unless the hook reported a
    /// failure.
    fn verdict(&self, expected: Expected<'_>, is_only_one: bool, exit: &ProcessExit) -> Verdict {
        if let Some((outcome, reason)) = self.failures.get(expected.name) {
            return match outcome {
                Outcome::Declined => Verdict::NotOffered(reason.clone()),
                outcome => Verdict::NotInstalled(*outcome, reason.clone()),
            };
        }
        let is_of_request = |fields: &&Map<String, Value>| {
            is_only_one || fields.get("name").and_then(Value::as_str).map(str::trim) == Some(expected.name)
        };
        let mut errors = Vec::new();
        for fields in self.binaries.iter().filter(is_of_request) {
            match verify::verify(expected, fields) {
                Ok(installed) => return Verdict::Installed(Box::new(installed), unenforced(fields)),
                Err(error) => errors.push(error),
            }
        }
        // An error in a record of the requested name is more useful than one in another binary's record.
        let is_of_name = |error: &&VerifyError| !matches!(error, VerifyError::WrongName { .. });
        if let Some(error) = errors.iter().find(is_of_name).or(errors.first()) {
            return Verdict::NotInstalled(error.outcome(), error.to_string());
        }
        let reason = error_line(exit).unwrap_or_else(|| "printed no Binary record".to_owned());
        Verdict::NotInstalled(Outcome::Declined, reason)
    }
}

/// Returns the rules of the policy that a Binary record says were not enforced.
fn unenforced(fields: &Map<String, Value>) -> Vec<String> {
    let rules = fields.get(UNENFORCED).and_then(Value::as_array);
    rules.into_iter().flatten().filter_map(|rule| rule.as_str().map(str::to_owned)).collect()
}

/// Returns the outcome of an exit after which the hook's output is ignored, or `None` after exit code 0.
pub(super) fn outcome_of_exit(exit: &ProcessExit, timeout: Duration) -> Option<(Outcome, String)> {
    let line = error_line(exit);
    let cause = match (exit.reason, exit.exit_code) {
        (ExitReason::Exited, Some(0)) => return None,
        (ExitReason::Exited, Some(SKIPPED)) => {
            return Some((Outcome::Skipped, line.unwrap_or_else(|| "exit code 10".to_owned())));
        }
        (ExitReason::SpawnFailed, _) => return Some((Outcome::Failed, exit.stderr_tail.clone())),
        (ExitReason::Lost, _) => return Some((Outcome::Failed, NO_EXIT.to_owned())),
        (ExitReason::Timeout, _) => format!("terminated after {} s", duration::seconds(timeout)),
        (ExitReason::Memory, _) => "killed over its memory limit".to_owned(),
        (ExitReason::Stopped, _) => STOPPED.to_owned(),
        (ExitReason::Signalled, _) => format!("killed by signal {}", exit.signal.unwrap_or_default()),
        (ExitReason::Exited, code) => format!("exit code {}", code.unwrap_or_default()),
    };
    let is_timeout = exit.reason == ExitReason::Timeout;
    let outcome = if is_timeout { Outcome::Timeout } else { Outcome::Failed };
    Some((outcome, line.map(|line| format!("{cause}: {line}")).unwrap_or(cause)))
}

/// Returns the line of a hook's standard error that says why it failed, without rigup's own prefix, or `None` if there is
/// none.
pub(super) fn error_line(exit: &ProcessExit) -> Option<String> {
    let line = exit.error_line()?;
    Some(line.strip_prefix("error: ").unwrap_or(&line).to_owned())
}
