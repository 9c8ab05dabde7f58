//! A command with the times of its hooks, and the critical path: the hooks that would have to be faster for the command to be
//! faster.

use std::collections::HashMap;
use std::iter;

use jiff::{SignedDuration, Timestamp};

use crate::model::Outcome;
use crate::report::job_report::ItemOutcome;
use crate::report::timings::hook_timing::{Bar, HookTiming};
use crate::report::timings::provider_total::ProviderTotal;
use crate::sorting::sort_by_key;

/// The longest time between the end of a wait and the start of the hook: in between, rigup links, stores records and
/// starts the hook, which takes a few milliseconds, or a few hundred on a busy machine.
const SHORT_GAP: SignedDuration = SignedDuration::from_millis(250);

/// A command and when it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedCommand {
    /// The command line.
    pub command_line: String,
    /// When the command started.
    pub started: Timestamp,
    /// When its work was done.
    pub ended: Timestamp,
}

/// The timings of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timings {
    /// The command.
    pub command: TimedCommand,
    /// Its hooks, in the order in which they started.
    pub bars: Vec<Bar>,
    /// The indexes of the bars on the critical path, first to last: each hook could only start after the one before it,
    /// and the last one finished last.
    pub critical_path: Vec<usize>,
}

impl Timings {
    /// Determines what each hook waited for.
    pub fn new(mut command: TimedCommand, mut hooks: Vec<HookTiming>) -> Self {
        sort_by_key(&mut hooks, |hook| (hook.started, hook.process_id));
        let ends = hooks.iter().map(HookTiming::verified_at);
        command.ended = ends.fold(command.ended.max(command.started), Timestamp::max);
        command.started = hooks.iter().map(|hook| hook.started).fold(command.started, Timestamp::min);
        let previous = previous_attempts(&hooks);
        let bars = hooks.into_iter().zip(previous).map(|(hook, previous)| Bar {
            hook,
            ready_at: previous.map_or(command.started, |(at, _)| at),
            previous: previous.map(|(_, index)| index),
        });
        let bars: Vec<Bar> = bars.collect();
        let critical_path = critical_path(&bars);
        Self { command, bars, critical_path }
    }

    /// Returns how long the command took.
    pub fn duration(&self) -> SignedDuration {
        self.command.ended.duration_since(self.command.started)
    }

    /// Returns the number of binaries that no attempt installed, and of hooks without attempts that failed.
    pub fn failed(&self) -> usize {
        let mut installed: HashMap<&str, bool> = HashMap::new();
        for attempt in self.bars.iter().flat_map(|bar| &bar.hook.attempts) {
            *installed.entry(&attempt.binary).or_default() |= attempt.outcome == Outcome::Installed;
        }
        let hooks = self.bars.iter().filter(|bar| bar.hook.exit_outcome == Some(ItemOutcome::Failed));
        installed.values().filter(|is_installed| !**is_installed).count() + hooks.count()
    }

    /// Returns how long the hooks on the critical path ran and their records were verified.
    pub fn critical_time(&self) -> SignedDuration {
        self.critical_bars().map(|bar| bar.hook.busy_time()).sum()
    }

    /// Returns the bars on the critical path, first to last.
    pub fn critical_bars(&self) -> impl Iterator<Item = &Bar> {
        self.critical_path.iter().map(|&index| &self.bars[index])
    }

    /// Returns the providers in the order of their first bars, each with the indexes of its bars.
    pub(super) fn providers(&self) -> Vec<(&str, Vec<usize>)> {
        let mut providers: Vec<(&str, Vec<usize>)> = Vec::new();
        for (index, bar) in self.bars.iter().enumerate() {
            let provider = bar.hook.provider.as_str();
            match providers.iter_mut().find(|(known, _)| *known == provider) {
                Some((_, bars)) => bars.push(index),
                None => providers.push((provider, vec![index])),
            }
        }
        providers
    }

    /// Returns the times of each provider, in the order of their first hooks.
    pub fn totals(&self) -> Vec<ProviderTotal> {
        let total = |(provider, bars): (&str, Vec<usize>)| {
            ProviderTotal::of(provider, bars.into_iter().map(|index| &self.bars[index]))
        };
        self.providers().into_iter().map(total).collect()
    }

    /// Returns the times of all providers together.
    pub fn total(&self) -> ProviderTotal {
        ProviderTotal::of("", &self.bars)
    }
}

/// Returns for each hook the latest previous attempt at one of its binaries: when it was verified, and the index of its
/// hook.
fn previous_attempts(hooks: &[HookTiming]) -> Vec<Option<(Timestamp, usize)>> {
    let mut attempts: HashMap<&str, Vec<(Timestamp, usize)>> = HashMap::new();
    for (index, hook) in hooks.iter().enumerate() {
        for attempt in &hook.attempts {
            attempts.entry(&attempt.binary).or_default().push((attempt.at, index));
        }
    }
    let previous = |(index, hook): (usize, &HookTiming)| {
        let binaries = hook.attempts.iter().map(|attempt| attempt.binary.as_str());
        let subject = hook.attempts.is_empty().then_some(hook.subject.as_str());
        let attempts = binaries.chain(subject).filter_map(|binary| attempts.get(binary)).flatten();
        attempts.filter(|&&(at, other)| at <= hook.started && other < index).max().copied()
    };
    hooks.iter().enumerate().map(previous).collect()
}

/// Returns the indexes of the bars on the critical path, first to last: it follows the predecessors of the bar that
/// finished last. The bars are in the order in which their hooks started.
fn critical_path(bars: &[Bar]) -> Vec<usize> {
    let last = (0..bars.len()).max_by_key(|&index| bars[index].hook.verified_at());
    let mut path: Vec<usize> = iter::successors(last, |&index| predecessor(bars, index)).collect();
    path.reverse();
    path
}

/// Returns the bar that this one waited for: the previous attempt at the same binary. If that one finished long before,
/// the hook waited for one that finished just before it started: a hook of the same provider, which held its lock, or
/// any other hook, which kept a thread busy or installed a program that the provider needs. A predecessor always has a
/// lower index, so the path ends.
fn predecessor(bars: &[Bar], index: usize) -> Option<usize> {
    let bar = &bars[index];
    if bar.previous.is_some() && bar.wait_time() <= SHORT_GAP {
        return bar.previous;
    }
    let started = bar.hook.started;
    let is_just_before = |&other: &usize| {
        let done = bars[other].hook.verified_at();
        done <= started && started.duration_since(done) <= SHORT_GAP
    };
    let rank = |&other: &usize| {
        let hook = &bars[other].hook;
        (hook.provider == bar.hook.provider, hook.verified_at())
    };
    (0..index).filter(is_just_before).max_by_key(rank).or(bar.previous)
}
