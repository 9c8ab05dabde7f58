//! What a hook that is over amounts to: its ending and its records, judged.

use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::hook::run::Finished;
use crate::protocol;
use crate::provision::verify::{self, Claim, Lie};
use crate::record::attempt::Outcome;
use crate::record::binary::Installed;
use crate::record::process::{Ending, ExitReason, SKIPPED};

/// The judgement.
#[derive(Debug)]
pub enum Verdict {
    /// It told the truth about a file that does.
    Won(Installed),
    /// It did not, and why.
    Lost(Outcome, String),
}

/// What a hook's output says besides.
#[derive(Debug, Clone, Copy)]
pub enum Said<'a> {
    /// A line that was meant as a record and cannot be read; which, and why.
    Unreadable(&'a str),
    /// `{"type":"Warning","message":...}`: something for the user to know.
    Warning(&'a str),
}

/// Judges a hook; `tell` is told what it says besides.
pub fn verdict(
    finished: &Finished,
    claim: Claim<'_>,
    timeout: Duration,
    mut tell: impl FnMut(Said<'_>),
) -> Verdict {
    let Some(ending) = finished.process.ending() else {
        return Verdict::Lost(Outcome::Failed, "nobody saw its end".to_owned());
    };
    if let Some((outcome, reason)) = without_a_say(ending, timeout) {
        return Verdict::Lost(outcome, reason);
    }
    let mut records: Vec<Map<String, Value>> = Vec::new();
    let read = File::open(finished.run_dir.stdout()).and_then(|output| {
        protocol::read(BufReader::new(output), |record| {
            // A hook that prints records without end does not fill the memory.
            if records.len() >= protocol::MAX_RECORDS {
                return;
            }
            match record.kind.as_str() {
                "Binary" => records.push(record.fields),
                "Warning" => {
                    let message = record.fields.get("message").and_then(Value::as_str).unwrap_or_default();
                    tell(Said::Warning(message));
                }
                _ => {}
            }
        })
    });
    match read {
        Ok(leftover) => leftover.complaints.iter().for_each(|it| tell(Said::Unreadable(it))),
        Err(error) => {
            return Verdict::Lost(Outcome::Failed, format!("its output cannot be read: {error}"));
        }
    }
    let mut lies = Vec::new();
    for fields in &records {
        match verify::verify(claim, fields) {
            Ok(installed) => return Verdict::Won(installed),
            Err(lie) => lies.push(lie),
        }
    }
    // The lie about the right binary tells more than another binary's record.
    let telling = lies.iter().find(|lie| !matches!(lie, Lie::WrongName { .. })).or(lies.first());
    match telling {
        Some(lie) => Verdict::Lost(Outcome::Rejected, lie.to_string()),
        None => {
            Verdict::Lost(Outcome::Declined, said(ending).unwrap_or("it printed no Binary record").to_owned())
        }
    }
}

/// The outcome of an end after which nothing that was printed counts.
fn without_a_say(ending: &Ending, timeout: Duration) -> Option<(Outcome, String)> {
    let said = said(ending);
    let with_said = |what: String| match said {
        Some(line) => format!("{what}: {line}"),
        None => what,
    };
    match (ending.reason, ending.exit_code) {
        (ExitReason::SpawnFailed, _) => Some((Outcome::Failed, ending.stderr_tail.clone())),
        (ExitReason::Timeout, _) => {
            Some((Outcome::Timeout, with_said(format!("ended after {} s", timeout.as_secs()))))
        }
        (ExitReason::Stopped, _) => Some((Outcome::Failed, with_said("stopped".to_owned()))),
        (ExitReason::Lost, _) => Some((Outcome::Failed, "nobody saw its end".to_owned())),
        (ExitReason::Signalled, _) => {
            let number = ending.signal.unwrap_or_default();
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
fn said(ending: &Ending) -> Option<&str> {
    ending.stderr_tail.lines().map(str::trim).rfind(|line| !line.is_empty())
}
