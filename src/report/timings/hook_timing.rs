//! The times of one execution of a provider's hook.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::model::{Outcome, Process, ProcessId};
use crate::report::job_report::ItemOutcome;
use crate::report::{tables, text};

/// An attempt at a binary, and when its outcome was known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptTiming {
    /// The binary's name.
    pub binary: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The reason; empty if the binary was installed.
    pub reason: String,
    /// When the outcome was known: the record verified, the file hashed, the version probed.
    #[serde(skip)]
    pub at: Timestamp,
}

/// One execution of a provider's hook, for one binary or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookTiming {
    /// The process.
    pub process_id: ProcessId,
    /// The provider.
    pub provider: String,
    /// The hook's file name.
    pub hook_name: String,
    /// When the hook started; `ended` if it never started.
    pub started: Timestamp,
    /// When the hook exited.
    pub ended: Timestamp,
    /// How the hook exited, like `exit 0`.
    pub exit: String,
    /// The outcome of a hook without attempts: that of an event, or one whose attempts are not stored. `None` if it has
    /// attempts, or if it is that of a provider and has not exited.
    pub exit_outcome: Option<ItemOutcome>,
    /// The binary in its arguments; empty for a hook for several binaries.
    pub subject: String,
    /// The attempts, one for each binary; empty if they were never stored, or were removed with the records of the binaries.
    pub attempts: Vec<AttemptTiming>,
    /// CPU time in milliseconds, if it was measured.
    pub cpu_ms: Option<u64>,
    /// Peak memory in bytes, if it was measured.
    pub max_rss: Option<u64>,
    /// The last lines of standard output.
    pub stdout_tail: String,
    /// The last lines of standard error.
    pub stderr_tail: String,
}

impl HookTiming {
    /// Returns the times of a process. The times of a running process end at `now`.
    pub fn of(process: &Process, is_of_event: bool, attempts: Vec<AttemptTiming>, now: Timestamp) -> Self {
        let exit = process.exit();
        let ended = exit.map_or(now, |exit| exit.ended_at);
        let usage = exit.and_then(|exit| exit.usage);
        Self {
            process_id: process.id,
            provider: process.spec.plugin.clone(),
            hook_name: process.spec.hook_name.clone(),
            started: process.running().map_or(ended, |running| running.started_at).min(ended),
            ended,
            exit: tables::process_state(process).text,
            exit_outcome: (is_of_event || attempts.is_empty() && exit.is_some())
                .then(|| ItemOutcome::of_hook(process)),
            subject: process.subject().to_owned(),
            attempts,
            cpu_ms: usage.map(|usage| usage.user_ms + usage.sys_ms),
            max_rss: usage.map(|usage| usage.max_rss),
            stdout_tail: exit.map(|exit| exit.stdout_tail.clone()).unwrap_or_default(),
            stderr_tail: exit.map(|exit| exit.stderr_tail.clone()).unwrap_or_default(),
        }
    }

    /// Returns when the outcomes of all attempts were known.
    pub fn verified_at(&self) -> Timestamp {
        self.attempts.iter().map(|attempt| attempt.at).fold(self.ended, Timestamp::max)
    }

    /// Returns how long the hook ran.
    pub fn run_time(&self) -> SignedDuration {
        self.ended.duration_since(self.started)
    }

    /// Returns how long it took to verify the records of the hook.
    pub fn verify_time(&self) -> SignedDuration {
        self.verified_at().duration_since(self.ended)
    }

    /// Returns how long the hook ran and its records were verified.
    pub fn busy_time(&self) -> SignedDuration {
        self.run_time() + self.verify_time()
    }

    /// Returns the last lines of each log, with the name of the stream.
    pub(super) fn logs(&self) -> [(&'static str, &str); 2] {
        [("stderr", self.stderr_tail.trim_end()), ("stdout", self.stdout_tail.trim_end())]
    }

    /// Returns the share of the busy time in which the hook ran, from 0 to 1.
    pub(super) fn run_share(&self) -> f64 {
        let busy = self.busy_time().as_secs_f64();
        if busy > 0.0 { self.run_time().as_secs_f64() / busy } else { 1.0 }
    }

    /// Returns the names of the binaries, short enough for a label.
    pub(super) fn label(&self) -> String {
        let names: Vec<&str> = self.attempts.iter().map(|attempt| attempt.binary.as_str()).collect();
        match names.as_slice() {
            [] if self.subject.is_empty() => self.hook_name.clone(),
            [] => self.subject.clone(),
            names => text::list(names, 3),
        }
    }

    /// Returns the outcome of all attempts, or `mixed` if they differ. Without attempts, this is how the hook exited, or
    /// `unknown` before.
    pub(super) fn outcome(&self) -> &'static str {
        match self.attempts.as_slice() {
            [] => match self.exit_outcome {
                Some(ItemOutcome::Done) => "succeeded",
                Some(ItemOutcome::Skipped) => "skipped",
                Some(ItemOutcome::Failed) => "failed",
                None => "unknown",
            },
            [first, rest @ ..] if rest.iter().all(|attempt| attempt.outcome == first.outcome) => {
                first.outcome.as_str()
            }
            _ => "mixed",
        }
    }
}

/// A hook in the chart, with the time that it waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// The hook.
    pub hook: HookTiming,
    /// When the hook could have started: when the command started, or when the previous attempt at one of its binaries was
    /// verified.
    pub ready_at: Timestamp,
    /// The index of the bar with the latest previous attempt at one of its binaries.
    pub(super) previous: Option<usize>,
}

impl Bar {
    /// Returns how long the hook waited: for a thread, a lock, or a program that its provider needs.
    pub fn wait_time(&self) -> SignedDuration {
        self.hook.started.duration_since(self.ready_at)
    }
}
