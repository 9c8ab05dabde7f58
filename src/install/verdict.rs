//! What a hook that is over amounts to: its ending and its records, judged.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::hook::run::FinishedHook;
use crate::install::event::InstallEvent;
use crate::install::verify::{self, Claim, RecordError};
use crate::model::attempt::Outcome;
use crate::model::binary::Installed;
use crate::model::process::{ExitReason, ProcessExit, SKIPPED};
use crate::protocol::{self, Record};

/// The judgement.
#[derive(Debug)]
pub enum Verdict {
    /// It told the truth about a file that does.
    Won(Installed),
    /// It did not, and why.
    Lost(Outcome, String),
}

/// Judges a hook, for each of the requests that it was started for; `tell` is told what it says besides.
pub fn verdicts(
    finished: &FinishedHook,
    provider: &str,
    claims: &[Claim<'_>],
    timeout: Duration,
    on_event: &impl Fn(InstallEvent),
) -> Vec<Verdict> {
    let all = |outcome: Outcome, reason: &str| {
        claims.iter().map(|_| Verdict::Lost(outcome, reason.to_owned())).collect()
    };
    let Some(exit) = finished.process.exit() else {
        return all(Outcome::Failed, "nobody saw its end");
    };
    if let Some((outcome, reason)) = without_a_say(exit, timeout) {
        return all(outcome, &reason);
    }
    let mut answers = Answers::default();
    let read = File::open(finished.run_dir.stdout()).and_then(|output| {
        protocol::read(BufReader::new(output), |record| {
            answers.take(record, provider, claims.len(), on_event);
        })
    });
    match read {
        Ok(leftover) => leftover
            .diagnostics
            .iter()
            .for_each(|line| on_event(InstallEvent::Warning(format!("{provider}: stdout {line}")))),
        Err(error) => return all(Outcome::Failed, &format!("its output cannot be read: {error}")),
    }
    let of_one = |claim: &Claim<'_>| answers.verdict(*claim, claims.len() == 1, exit);
    claims.iter().map(of_one).collect()
}

/// What a hook answered.
#[derive(Debug, Default)]
struct Answers {
    records: Vec<Map<String, Value>>,
    failures: HashMap<String, (Outcome, String)>,
}

impl Answers {
    fn take(&mut self, record: Record, provider: &str, claims: usize, on_event: &impl Fn(InstallEvent)) {
        // A hook that prints records without end does not fill the memory.
        if self.records.len() + self.failures.len() >= protocol::MAX_RECORDS.max(2 * claims) {
            return;
        }
        let text = |key: &str| record.fields.get(key).and_then(Value::as_str).unwrap_or_default();
        match record.kind.as_str() {
            "Warning" => on_event(InstallEvent::Notice(format!("{provider}: {}", text("message")))),
            "BinaryFailure" => {
                let is_declined = text("outcome") == Outcome::Declined.to_string();
                let outcome = if is_declined { Outcome::Declined } else { Outcome::Failed };
                let reason = text("reason").to_owned();
                self.failures.entry(text("name").to_owned()).or_insert((outcome, reason));
            }
            "Binary" => self.records.push(record.fields),
            _ => {}
        }
    }

    /// The first true record wins, unless the hook says itself that it failed.
    fn verdict(&self, claim: Claim<'_>, is_alone: bool, exit: &ProcessExit) -> Verdict {
        if let Some((outcome, reason)) = self.failures.get(claim.name) {
            return Verdict::Lost(*outcome, reason.clone());
        }
        let is_of = |fields: &&Map<String, Value>| {
            is_alone || fields.get("name").and_then(Value::as_str).map(str::trim) == Some(claim.name)
        };
        let mut lies = Vec::new();
        for fields in self.records.iter().filter(is_of) {
            match verify::verify(claim, fields) {
                Ok(installed) => return Verdict::Won(installed),
                Err(lie) => lies.push(lie),
            }
        }
        // The lie about the right binary tells more than another binary's record.
        let telling = lies.iter().find(|lie| !matches!(lie, RecordError::WrongName { .. })).or(lies.first());
        match telling {
            Some(lie) => Verdict::Lost(Outcome::Rejected, lie.to_string()),
            None => Verdict::Lost(
                Outcome::Declined,
                said(exit).unwrap_or("it printed no Binary record").to_owned(),
            ),
        }
    }
}

/// The outcome of an end after which nothing that was printed counts.
fn without_a_say(exit: &ProcessExit, timeout: Duration) -> Option<(Outcome, String)> {
    let said = said(exit);
    let with_said = |what: String| match said {
        Some(line) => format!("{what}: {line}"),
        None => what,
    };
    match (exit.reason, exit.exit_code) {
        (ExitReason::SpawnFailed, _) => Some((Outcome::Failed, exit.stderr_tail.clone())),
        (ExitReason::Timeout, _) => {
            Some((Outcome::Timeout, with_said(format!("ended after {} s", timeout.as_secs()))))
        }
        (ExitReason::Stopped, _) => Some((Outcome::Failed, with_said("stopped".to_owned()))),
        (ExitReason::Lost, _) => Some((Outcome::Failed, "nobody saw its end".to_owned())),
        (ExitReason::Signalled, _) => {
            let number = exit.signal.unwrap_or_default();
            Some((Outcome::Failed, with_said(format!("killed by signal {number}"))))
        }
        (ExitReason::Exited, Some(0)) => None,
        (ExitReason::Exited, Some(SKIPPED)) => {
            Some((Outcome::Skipped, said.unwrap_or("it skipped the request").to_owned()))
        }
        (ExitReason::Exited, code) => {
            Some((Outcome::Failed, with_said(format!("exit {}", code.unwrap_or_default()))))
        }
    }
}

/// The last thing a hook said on standard error.
fn said(exit: &ProcessExit) -> Option<&str> {
    exit.stderr_tail.lines().map(str::trim).rfind(|line| !line.is_empty())
}
