//! The critical path: what would have to be faster for the run to be faster.

use jiff::SignedDuration;

use super::Timed;

/// What was waited for ended so long, at most, before the next hook started: between them rigup links, records and starts,
/// which takes milliseconds, or some hundred of them on a busy machine.
const JUST_BEFORE: SignedDuration = SignedDuration::from_millis(250);

/// Walks back from the bar that ends last. The bars stand in the order in which they were started.
pub(super) fn critical(bars: &[Timed]) -> Vec<usize> {
    let mut path = Vec::new();
    let mut next = (0..bars.len()).max_by_key(|&index| (bars[index].bar.judged(), index));
    while let Some(index) = next {
        path.push(index);
        next = predecessor(bars, index);
    }
    path.reverse();
    path
}

/// The bar that this one had to wait for: the attempt before at the same binary. Where that was over long since, something
/// else stood in the way, and ended just before: at the same provider, whose lock was taken; or anywhere, where all threads
/// were busy or the provider lacked a program. What is given back was started earlier, so that a walk ends.
fn predecessor(bars: &[Timed], index: usize) -> Option<usize> {
    let timed = &bars[index];
    let started = timed.bar.started;
    if timed.previous.is_some() && timed.wait() <= JUST_BEFORE {
        return timed.previous;
    }
    let just_before = |&other: &usize| {
        let judged = bars[other].bar.judged();
        judged <= started && started.duration_since(judged) <= JUST_BEFORE
    };
    let latest = |others: &[usize]| others.iter().copied().max_by_key(|&it| (bars[it].bar.judged(), it));
    let others: Vec<usize> = (0..index).filter(just_before).collect();
    let same: Vec<usize> =
        others.iter().copied().filter(|&it| bars[it].bar.provider == timed.bar.provider).collect();
    latest(&same).or_else(|| latest(&others)).or(timed.previous)
}
