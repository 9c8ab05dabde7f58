//! Which hook is started next, and for which requests. Pure: it knows of no process and no time.
//!
//! Every request has a chain of hooks, in its order of preference, and is at one of them. Chains do not depend on each
//! other. A batch hook takes all that have come to it by the time it is free; any other hook takes one at a time, but any
//! number of its kind may run. Of the hooks that can be started, the one that usually takes longest goes first: started
//! last, it would be what all wait for.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

/// A hook, by its place among all hooks.
pub type HookIndex = usize;
/// A chain, by the order in which it was added.
pub type ChainIndex = usize;

/// A hook to start, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The hook.
    pub hook: HookIndex,
    /// The chains that are at it: one, or for a batch hook all.
    pub chains: Vec<ChainIndex>,
}

/// All chains, and where each is.
#[derive(Debug)]
pub struct Schedule {
    hooks: Vec<Hook>,
    chains: Vec<Chain>,
}

#[derive(Debug)]
struct Hook {
    is_batch: bool,
    is_busy: bool,
    /// How long it usually takes; nothing where that is not known.
    usually_takes: Duration,
    waiting: VecDeque<ChainIndex>,
}

#[derive(Debug)]
struct Chain {
    hooks: Vec<HookIndex>,
    at: usize,
}

impl Schedule {
    /// Knows these hooks: whether each is a batch hook.
    pub fn new(hooks: impl IntoIterator<Item = bool>) -> Self {
        let hook = |is_batch| Hook {
            is_batch,
            is_busy: false,
            usually_takes: Duration::ZERO,
            waiting: VecDeque::new(),
        };
        Self { hooks: hooks.into_iter().map(hook).collect(), chains: Vec::new() }
    }

    /// Learns how long a hook usually takes.
    pub fn weigh(&mut self, hook: HookIndex, usually_takes: Duration) {
        self.hooks[hook].usually_takes = usually_takes;
    }

    /// Adds a chain, which does not wait for a hook yet.
    pub fn add(&mut self, hooks: Vec<HookIndex>) -> ChainIndex {
        self.chains.push(Chain { hooks, at: 0 });
        self.chains.len() - 1
    }

    /// The hook that a chain is at; none behind the last one.
    pub fn hook_of(&self, chain: ChainIndex) -> Option<HookIndex> {
        let chain = &self.chains[chain];
        chain.hooks.get(chain.at).copied()
    }

    /// How many hooks of a chain were passed.
    pub fn position_of(&self, chain: ChainIndex) -> usize {
        self.chains[chain].at
    }

    /// Has a chain wait for the hook that it is at: for the first time, or once more. False behind the last one.
    pub fn wait(&mut self, chain: ChainIndex) -> bool {
        let Some(hook) = self.hook_of(chain) else { return false };
        self.hooks[hook].waiting.push_back(chain);
        true
    }

    /// Moves a chain behind the hook that it is at.
    pub fn pass(&mut self, chain: ChainIndex) {
        self.chains[chain].at += 1;
    }

    /// What to start next, if anything can be. Batch hooks go first: one of them serves many, and what it does not have
    /// comes to the next hook together. Among their kind the longest goes first, and else the first in hook order.
    pub fn turn(&mut self) -> Option<Turn> {
        let is_free = |hook: &Hook| !(hook.waiting.is_empty() || hook.is_batch && hook.is_busy);
        let free = self.hooks.iter().enumerate().filter(|(_, hook)| is_free(hook));
        let (index, _) =
            free.max_by_key(|(index, hook)| (hook.is_batch, hook.usually_takes, Reverse(*index)))?;
        let hook = &mut self.hooks[index];
        let chains = if hook.is_batch {
            hook.is_busy = true;
            hook.waiting.drain(..).collect()
        } else {
            hook.waiting.pop_front().into_iter().collect()
        };
        Some(Turn { hook: index, chains })
    }

    /// How many chains wait for a hook.
    pub fn waiting_for(&self, hook: HookIndex) -> usize {
        self.hooks[hook].waiting.len()
    }

    /// Takes back every chain that waits for this hook.
    pub fn take_back(&mut self, hook: HookIndex) -> Vec<ChainIndex> {
        self.hooks[hook].waiting.drain(..).collect()
    }

    /// A hook is over.
    pub fn free(&mut self, hook: HookIndex) {
        self.hooks[hook].is_busy = false;
    }

    /// Takes back every chain that waits for a hook.
    pub fn stop(&mut self) -> Vec<ChainIndex> {
        (0..self.hooks.len()).flat_map(|hook| self.take_back(hook)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENV: HookIndex = 0;
    const NPM: HookIndex = 1;
    const PIP: HookIndex = 2;
    const APT: HookIndex = 3;

    /// env and apt take batches.
    fn schedule(chains: &[&[HookIndex]]) -> Schedule {
        let mut schedule = Schedule::new([true, false, false, true]);
        for chain in chains {
            let index = schedule.add(chain.to_vec());
            schedule.wait(index);
        }
        schedule
    }

    fn to_start(hook: HookIndex, chains: &[ChainIndex]) -> Turn {
        Turn { hook, chains: chains.to_vec() }
    }

    fn lose(schedule: &mut Schedule, turn: &Turn) {
        schedule.free(turn.hook);
        for &chain in &turn.chains {
            schedule.pass(chain);
            schedule.wait(chain);
        }
    }

    #[test]
    fn a_batch_hook_takes_all_that_are_at_it_and_any_other_one_at_a_time() {
        let mut schedule = schedule(&[&[ENV], &[PIP], &[ENV, APT], &[PIP]]);
        assert_eq!(schedule.turn(), Some(to_start(ENV, &[0, 2])));
        assert_eq!(schedule.turn(), Some(to_start(PIP, &[1])));
        assert_eq!(schedule.turn(), Some(to_start(PIP, &[3])));
        assert_eq!(schedule.turn(), None);
    }

    #[test]
    fn what_comes_while_a_batch_hook_is_busy_is_its_next_batch() {
        let mut schedule = schedule(&[&[APT], &[PIP, APT], &[PIP, APT]]);
        let apt = schedule.turn().unwrap();
        let (first, second) = (schedule.turn().unwrap(), schedule.turn().unwrap());
        lose(&mut schedule, &first);
        lose(&mut schedule, &second);
        assert_eq!(schedule.turn(), None, "one batch at a time");
        lose(&mut schedule, &apt);
        assert_eq!(schedule.turn(), Some(to_start(APT, &[1, 2])));
    }

    #[test]
    fn a_request_goes_on_as_soon_as_its_hook_is_over_whatever_the_others_do() {
        let mut schedule = schedule(&[&[NPM, APT], &[PIP]]);
        let npm = schedule.turn().unwrap();
        assert_eq!(schedule.turn(), Some(to_start(PIP, &[1])));
        lose(&mut schedule, &npm);
        assert_eq!(schedule.turn(), Some(to_start(APT, &[0])));
    }

    #[test]
    fn a_chain_keeps_its_order_of_preference_and_ends_behind_its_last_hook() {
        let mut schedule = schedule(&[&[APT, ENV, PIP]]);
        for hook in [APT, ENV, PIP] {
            let turn = schedule.turn().unwrap();
            assert_eq!((turn.hook, schedule.hook_of(0)), (hook, Some(hook)));
            lose(&mut schedule, &turn);
        }
        assert_eq!((schedule.turn(), schedule.hook_of(0), schedule.position_of(0)), (None, None, 3));
        assert!(!schedule.wait(0));
    }

    #[test]
    fn what_usually_takes_longest_is_started_first_but_batches_before_all() {
        let mut schedule = schedule(&[&[NPM], &[PIP], &[ENV], &[APT], &[PIP]]);
        schedule.weigh(PIP, Duration::from_secs(9));
        schedule.weigh(APT, Duration::from_secs(1));
        let order: Vec<HookIndex> = std::iter::from_fn(|| schedule.turn()).map(|turn| turn.hook).collect();
        assert_eq!(order, [APT, ENV, PIP, PIP, NPM]);
    }

    #[test]
    fn a_stopped_schedule_starts_nothing_more() {
        let mut schedule = schedule(&[&[PIP], &[ENV]]);
        let mut waiting = schedule.stop();
        waiting.sort_unstable();
        assert_eq!((waiting, schedule.turn()), (vec![0, 1], None));
    }

    proptest::proptest! {
        #[test]
        fn every_chain_visits_all_its_hooks_in_order_whatever_ends_first(
            chains in proptest::collection::vec(proptest::collection::vec(0_usize..4, 0..5), 0..20),
            picks in proptest::collection::vec(0_usize..100, 200),
        ) {
            let mut schedule = schedule(&chains.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let mut visited: Vec<Vec<HookIndex>> = vec![Vec::new(); chains.len()];
            let mut running: Vec<Turn> = Vec::new();
            let mut picks = picks.into_iter().cycle();
            loop {
                while let Some(turn) = schedule.turn() {
                    let is_alone = !running.iter().any(|it| it.hook == turn.hook);
                    proptest::prop_assert!(is_alone || ![ENV, APT].contains(&turn.hook));
                    running.push(turn);
                }
                if running.is_empty() {
                    break;
                }
                let over = running.swap_remove(picks.next().unwrap_or(0) % running.len());
                for &chain in &over.chains {
                    visited[chain].push(over.hook);
                }
                lose(&mut schedule, &over);
            }
            proptest::prop_assert_eq!(visited, chains);
        }
    }
}
