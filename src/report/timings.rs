//! Where the time of a run went: which hook waited, ran and was checked how long, and which ones decided how long it all
//! took.

mod axis;
mod chart;
mod lanes;
mod page;
mod path;
mod text;
mod total;

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::clock;
use crate::model::attempt::Outcome;
use crate::model::id::ProcessId;
use crate::model::process::Process;
use crate::report::tables;

pub use total::Total;

/// The run that is told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What was typed.
    pub command: String,
    /// When it began.
    pub began: Timestamp,
    /// When its work was done.
    pub ended: Timestamp,
}

/// What became of a binary when a hook was asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarOutcome {
    /// The binary's name.
    pub binary: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why; empty where the binary was installed.
    pub reason: String,
    /// When this was known: the answer checked, the file digested, the version asked.
    pub at: Timestamp,
}

/// One execution of a provider's hook, which may have been asked for several binaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// The process.
    pub process_id: ProcessId,
    /// The provider, which is a lane of the page.
    pub provider: String,
    /// The hook's file name.
    pub hook_name: String,
    /// When it was started; its end where it never was.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// How it was over: `exit 0`.
    pub exit: String,
    /// The binary that its arguments name; those of a batch hook name none.
    pub subject: String,
    /// What it came to, binary by binary; none where nobody judged it.
    pub verdicts: Vec<BarOutcome>,
    /// CPU time in milliseconds, where it was measured.
    pub cpu_ms: Option<u64>,
    /// Peak memory in bytes, where it was measured.
    pub max_rss: Option<u64>,
    /// The last lines of standard output.
    pub stdout_tail: String,
    /// The last lines of standard error.
    pub stderr_tail: String,
}

impl Bar {
    /// The bar of a process; one that is not over ends `now`.
    pub fn of(process: &Process, verdicts: Vec<BarOutcome>, now: Timestamp) -> Self {
        let exit = process.exit();
        let ended = exit.map_or(now, |it| it.ended_at);
        let usage = exit.and_then(|it| it.usage);
        Self {
            process_id: process.id,
            provider: process.spec.plugin.clone(),
            hook_name: process.spec.hook_name.clone(),
            started: process.running().map_or(ended, |it| it.started_at).min(ended),
            ended,
            exit: tables::process_state(process).text,
            subject: process.subject().to_owned(),
            verdicts,
            cpu_ms: usage.map(|it| it.user_ms + it.sys_ms),
            max_rss: usage.map(|it| it.max_rss),
            stdout_tail: exit.map(|it| it.stdout_tail.clone()).unwrap_or_default(),
            stderr_tail: exit.map(|it| it.stderr_tail.clone()).unwrap_or_default(),
        }
    }

    /// When all that it was asked for was judged.
    pub fn judged(&self) -> Timestamp {
        self.verdicts.iter().map(|it| it.at).fold(self.ended, Timestamp::max)
    }

    /// How long the hook ran.
    pub fn run(&self) -> SignedDuration {
        self.ended.duration_since(self.started)
    }

    /// How long its answer was checked.
    pub fn probe(&self) -> SignedDuration {
        self.judged().duration_since(self.ended)
    }

    /// What it was asked for, short enough for a label.
    fn label(&self) -> String {
        const NAMES: usize = 3;
        let names: Vec<&str> = self.verdicts.iter().take(NAMES).map(|it| it.binary.as_str()).collect();
        match self.verdicts.len() {
            0 if self.subject.is_empty() => self.hook_name.clone(),
            0 => self.subject.clone(),
            count if count <= NAMES => names.join(", "),
            count => format!("{} and {} more", names[..NAMES - 1].join(", "), count - (NAMES - 1)),
        }
    }

    /// The one word for what it came to.
    fn outcome(&self) -> &'static str {
        match self.verdicts.as_slice() {
            [] => "unjudged",
            [first, rest @ ..] if rest.iter().all(|it| it.outcome == first.outcome) => first.outcome.as_str(),
            _ => "mixed",
        }
    }
}

/// A bar, and what it had to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// The bar.
    pub bar: Bar,
    /// Since when there was nothing left to do but this: the beginning of the run, or the judgement of the attempt before.
    pub waited_from: Timestamp,
    /// The bar of the attempt before at one of its binaries, the latest one.
    previous: Option<usize>,
}

impl Timed {
    /// How long it waited: for a free thread, a lock, or what its provider lacked.
    pub fn wait(&self) -> SignedDuration {
        self.bar.started.duration_since(self.waited_from)
    }
}

/// Where the time of a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timings {
    /// The run.
    pub run: Run,
    /// Its hooks, in the order in which they were started.
    pub bars: Vec<Timed>,
    /// The bars on the critical path, from the first to the last: each could only start after the one before, and the last
    /// one ended last of all.
    pub path: Vec<usize>,
}

impl Timings {
    /// Finds out who waited for whom.
    pub fn new(mut run: Run, mut bars: Vec<Bar>) -> Self {
        bars.sort_by_key(|it| (it.started, it.process_id));
        run.ended = bars.iter().map(Bar::judged).fold(run.ended.max(run.began), Timestamp::max);
        run.began = bars.iter().map(|it| it.started).fold(run.began, Timestamp::min);
        let previous = previous(&bars);
        let timed = |(bar, previous): (Bar, Option<(Timestamp, usize)>)| Timed {
            bar,
            waited_from: previous.map_or(run.began, |(at, _)| at),
            previous: previous.map(|(_, index)| index),
        };
        let bars: Vec<Timed> = bars.into_iter().zip(previous).map(timed).collect();
        let path = path::critical(&bars);
        Self { run, bars, path }
    }

    /// How long it took.
    pub fn span(&self) -> SignedDuration {
        self.run.ended.duration_since(self.run.began)
    }

    /// How much of it the hooks on the critical path ran and were checked.
    pub fn path_time(&self) -> SignedDuration {
        self.on_path().map(|it| it.bar.run() + it.bar.probe()).sum()
    }

    /// The bars on the critical path, from the first to the last.
    pub fn on_path(&self) -> impl Iterator<Item = &Timed> {
        self.path.iter().map(|&index| &self.bars[index])
    }

    /// The providers in the order in which they were first asked, with what they took.
    pub fn totals(&self) -> Vec<Total> {
        total::by_provider(&self.bars)
    }

    /// What all providers took together.
    pub fn total(&self) -> Total {
        total::all(&self.bars)
    }

    /// One page that needs nothing else: no network, no script.
    pub fn to_html(&self) -> String {
        page::page(self)
    }

    /// The same as one JSON object.
    pub fn to_record(&self) -> Value {
        let totals = self.totals();
        json!({
            "type": "Timings",
            "command": self.run.command,
            "began_at": clock::spell(self.run.began),
            "ended_at": clock::spell(self.run.ended),
            "duration_ms": millis(self.span()),
            "critical_path": {
                "duration_ms": millis(self.path_time()),
                "process_ids": self.on_path().map(|it| it.bar.process_id).collect::<Vec<_>>(),
            },
            "providers": totals.iter().map(|it| it.to_record(&self.total())).collect::<Vec<_>>(),
            "bars": (0..self.bars.len()).map(|index| self.bar_record(index)).collect::<Vec<_>>(),
        })
    }

    fn bar_record(&self, index: usize) -> Value {
        let timed = &self.bars[index];
        let bar = &timed.bar;
        let attempt =
            |it: &BarOutcome| json!({"binary": it.binary, "outcome": it.outcome, "reason": it.reason});
        json!({
            "process_id": bar.process_id,
            "provider": bar.provider,
            "hook_name": bar.hook_name,
            "waiting_since": clock::spell(timed.waited_from),
            "started_at": clock::spell(bar.started),
            "ended_at": clock::spell(bar.ended),
            "judged_at": clock::spell(bar.judged()),
            "wait_ms": millis(timed.wait()),
            "run_ms": millis(bar.run()),
            "probe_ms": millis(bar.probe()),
            "is_critical": self.path.contains(&index),
            "ending": bar.exit,
            "attempts": bar.verdicts.iter().map(attempt).collect::<Vec<_>>(),
            "cpu_ms": bar.cpu_ms,
            "max_rss": bar.max_rss,
            "stdout_tail": bar.stdout_tail,
            "stderr_tail": bar.stderr_tail,
        })
    }
}

/// For each bar, the latest attempt before it at one of its binaries: when it was judged, and its bar.
fn previous(bars: &[Bar]) -> Vec<Option<(Timestamp, usize)>> {
    let mut attempts: HashMap<&str, Vec<(Timestamp, usize)>> = HashMap::new();
    for (index, bar) in bars.iter().enumerate() {
        for verdict in &bar.verdicts {
            attempts.entry(&verdict.binary).or_default().push((verdict.at, index));
        }
    }
    let before = |(index, bar): (usize, &Bar)| {
        let binaries = bar.verdicts.iter().map(|it| it.binary.as_str());
        let subject = bar.verdicts.is_empty().then_some(bar.subject.as_str());
        let attempts = binaries.chain(subject).filter_map(|it| attempts.get(it)).flatten();
        attempts.filter(|&&(at, of)| at <= bar.started && of < index).max().copied()
    };
    bars.iter().enumerate().map(before).collect()
}

fn millis(time: SignedDuration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
