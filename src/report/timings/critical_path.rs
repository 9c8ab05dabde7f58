//! The critical path: the hooks that would have to be faster for the command to be faster.

use jiff::SignedDuration;

use crate::report::timings::hook_timing::Bar;

/// A hook starts at most this long after what it waited for: in between, rigup links, stores records and starts the hook,
/// which takes a few milliseconds, or a few hundred on a busy machine.
const SHORT_GAP: SignedDuration = SignedDuration::from_millis(250);

/// Returns the indexes of the bars on the critical path, first to last: it follows the predecessors of the bar that was
/// done last. The bars are in the order in which their hooks started.
pub(super) fn find(bars: &[Bar]) -> Vec<usize> {
    let mut path = Vec::new();
    let mut next = latest(bars, 0..bars.len());
    while let Some(index) = next {
        path.push(index);
        next = predecessor(bars, index);
    }
    path.reverse();
    path
}

/// Returns the bar that this one waited for: the previous attempt at the same binary. If that was done long before, the hook
/// waited for one that was done just before it started: a hook of the same provider, which held its lock, or any other hook,
/// which kept a thread busy or installed a program that the provider needs. A predecessor always has a lower index, so the
/// path ends.
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
    let has_same_provider = |&other: &usize| bars[other].hook.provider == bar.hook.provider;
    let just_before: Vec<usize> = (0..index).filter(is_just_before).collect();
    latest(bars, just_before.iter().copied().filter(has_same_provider))
        .or_else(|| latest(bars, just_before.iter().copied()))
        .or(bar.previous)
}

/// Returns the bar that was done last.
fn latest(bars: &[Bar], indexes: impl Iterator<Item = usize>) -> Option<usize> {
    indexes.max_by_key(|&index| (bars[index].hook.verified_at(), index))
}
