//! Decides which hook starts next, and for which requests. Pure: it starts no processes and reads no clock.
//!
//! Each request has a list of hooks in order of preference, and waits for one of them. Requests do not depend on each
//! other. A batch hook takes all requests that wait for it when it is idle. Any other hook takes one request; if it is
//! concurrent, it may run several times at once. The hook that usually takes longest runs first: if it ran last, everything would wait for
//! it.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

/// A hook, by its index among all hooks.
pub(crate) type HookIndex = usize;
/// A request, by the order in which it was added.
pub(crate) type RequestIndex = usize;

/// A hook to start, and its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScheduledHook {
    /// The hook.
    pub hook: HookIndex,
    /// The requests: one, or all that wait for a batch hook.
    pub requests: Vec<RequestIndex>,
}

/// How a hook takes its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HookMode {
    /// One request, and several of them at once.
    Concurrent,
    /// One request, one after the other.
    Exclusive,
    /// All waiting requests together, one batch after the other.
    Batch,
}

/// The queue of each hook, and the position of each request in its list of hooks.
#[derive(Debug)]
pub(crate) struct Schedule {
    hooks: Vec<HookQueue>,
    requests: Vec<Candidates>,
}

#[derive(Debug)]
struct HookQueue {
    mode: HookMode,
    /// Whether a hook that is not concurrent is running.
    is_busy: bool,
    /// How long the hook usually takes, or zero if that is unknown.
    usual_duration: Duration,
    waiting: VecDeque<RequestIndex>,
}

/// The hooks of a request in order, and the position of the next one.
#[derive(Debug)]
struct Candidates {
    hooks: Vec<HookIndex>,
    position: usize,
}

impl Schedule {
    /// Creates a schedule of hooks with these modes.
    pub(crate) fn new(hooks: impl IntoIterator<Item = HookMode>) -> Self {
        let queue = |mode| HookQueue {
            mode,
            is_busy: false,
            usual_duration: Duration::ZERO,
            waiting: VecDeque::new(),
        };
        Self { hooks: hooks.into_iter().map(queue).collect(), requests: Vec::new() }
    }

    /// Sets how long a hook usually takes.
    pub(crate) fn set_usual_duration(&mut self, hook: HookIndex, duration: Duration) {
        self.hooks[hook].usual_duration = duration;
    }

    /// Adds a request with its hooks in order. It does not wait for a hook yet.
    pub(crate) fn add(&mut self, hooks: Vec<HookIndex>) -> RequestIndex {
        self.requests.push(Candidates { hooks, position: 0 });
        self.requests.len() - 1
    }

    /// Returns the current hook of a request, or `None` after its last one.
    pub(crate) fn hook_of(&self, request: RequestIndex) -> Option<HookIndex> {
        let candidates = &self.requests[request];
        candidates.hooks.get(candidates.position).copied()
    }

    /// Returns the number of hooks that a request has passed.
    pub(crate) fn position_of(&self, request: RequestIndex) -> usize {
        self.requests[request].position
    }

    /// Queues a request for its current hook, and returns whether it has one.
    pub(crate) fn enqueue(&mut self, request: RequestIndex) -> bool {
        let Some(hook) = self.hook_of(request) else { return false };
        self.hooks[hook].waiting.push_back(request);
        true
    }

    /// Moves a request to its next hook.
    pub(crate) fn advance(&mut self, request: RequestIndex) {
        self.requests[request].position += 1;
    }

    /// Returns the next hook to start, or `None` if none can start now. Batch hooks start first: one serves many
    /// requests, and those that it does not install reach the next hook together. Among hooks of the same kind, the
    /// slowest starts first; equally slow hooks start in hook order.
    pub(crate) fn next_hook(&mut self) -> Option<ScheduledHook> {
        let can_run = |hook: &HookQueue| !hook.waiting.is_empty() && !hook.is_busy;
        let runnable = self.hooks.iter().enumerate().filter(|(_, hook)| can_run(hook));
        let (index, _) = runnable.max_by_key(|(index, hook)| {
            (hook.mode == HookMode::Batch, hook.usual_duration, Reverse(*index))
        })?;
        let hook = &mut self.hooks[index];
        hook.is_busy = hook.mode != HookMode::Concurrent;
        let requests = if hook.mode == HookMode::Batch {
            hook.waiting.drain(..).collect()
        } else {
            hook.waiting.pop_front().into_iter().collect()
        };
        Some(ScheduledHook { hook: index, requests })
    }

    /// Returns the number of requests that wait for a hook.
    pub(crate) fn queue_length(&self, hook: HookIndex) -> usize {
        self.hooks[hook].waiting.len()
    }

    /// Removes every request that waits for this hook from its queue, and returns them.
    pub(crate) fn drain_hook(&mut self, hook: HookIndex) -> Vec<RequestIndex> {
        self.hooks[hook].waiting.drain(..).collect()
    }

    /// Marks a hook as idle after its exit.
    pub(crate) fn release(&mut self, hook: HookIndex) {
        self.hooks[hook].is_busy = false;
    }

    /// Removes every waiting request from its queue, and returns them.
    pub(crate) fn drain(&mut self) -> Vec<RequestIndex> {
        (0..self.hooks.len()).flat_map(|hook| self.drain_hook(hook)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENV: HookIndex = 0;
    const NPM: HookIndex = 1;
    const PIP: HookIndex = 2;
    const APT: HookIndex = 3;

    /// Returns a schedule of these requests, in which env and apt are batch hooks.
    fn schedule(requests: &[&[HookIndex]]) -> Schedule {
        let mut schedule =
            Schedule::new([HookMode::Batch, HookMode::Concurrent, HookMode::Concurrent, HookMode::Batch]);
        for hooks in requests {
            let request = schedule.add(hooks.to_vec());
            schedule.enqueue(request);
        }
        schedule
    }

    fn scheduled(hook: HookIndex, requests: &[RequestIndex]) -> ScheduledHook {
        ScheduledHook { hook, requests: requests.to_vec() }
    }

    /// Finishes a hook that installed nothing.
    fn finish(schedule: &mut Schedule, next: &ScheduledHook) {
        schedule.release(next.hook);
        for &request in &next.requests {
            schedule.advance(request);
            schedule.enqueue(request);
        }
    }

    #[test]
    fn a_batch_hook_takes_all_waiting_requests_and_any_other_hook_one() {
        let mut schedule = schedule(&[&[ENV], &[PIP], &[ENV, APT], &[PIP]]);
        assert_eq!(schedule.next_hook(), Some(scheduled(ENV, &[0, 2])));
        assert_eq!(schedule.next_hook(), Some(scheduled(PIP, &[1])));
        assert_eq!(schedule.next_hook(), Some(scheduled(PIP, &[3])));
        assert_eq!(schedule.next_hook(), None);
    }

    #[test]
    fn an_exclusive_hook_takes_one_request_after_the_other() {
        let mut schedule = Schedule::new([HookMode::Exclusive, HookMode::Concurrent]);
        for hooks in [vec![0], vec![0], vec![1]] {
            let request = schedule.add(hooks);
            schedule.enqueue(request);
        }
        let first = schedule.next_hook().unwrap();
        assert_eq!((first.clone(), schedule.next_hook()), (scheduled(0, &[0]), Some(scheduled(1, &[2]))));
        assert_eq!(schedule.next_hook(), None);
        finish(&mut schedule, &first);
        assert_eq!(schedule.next_hook(), Some(scheduled(0, &[1])));
    }

    #[test]
    fn requests_that_arrive_during_a_batch_form_the_next_one() {
        let mut schedule = schedule(&[&[APT], &[PIP, APT], &[PIP, APT]]);
        let apt = schedule.next_hook().unwrap();
        let (first, second) = (schedule.next_hook().unwrap(), schedule.next_hook().unwrap());
        finish(&mut schedule, &first);
        finish(&mut schedule, &second);
        assert_eq!(schedule.next_hook(), None, "one batch at a time");
        finish(&mut schedule, &apt);
        assert_eq!(schedule.next_hook(), Some(scheduled(APT, &[1, 2])));
    }

    #[test]
    fn a_request_does_not_wait_for_the_hooks_of_other_requests() {
        let mut schedule = schedule(&[&[NPM, APT], &[PIP]]);
        let npm = schedule.next_hook().unwrap();
        assert_eq!(schedule.next_hook(), Some(scheduled(PIP, &[1])));
        finish(&mut schedule, &npm);
        assert_eq!(schedule.next_hook(), Some(scheduled(APT, &[0])));
    }

    #[test]
    fn a_request_visits_its_hooks_in_order_of_preference() {
        let mut schedule = schedule(&[&[APT, ENV, PIP]]);
        for hook in [APT, ENV, PIP] {
            let next = schedule.next_hook().unwrap();
            assert_eq!((next.hook, schedule.hook_of(0)), (hook, Some(hook)));
            finish(&mut schedule, &next);
        }
        assert_eq!((schedule.next_hook(), schedule.hook_of(0), schedule.position_of(0)), (None, None, 3));
        assert!(!schedule.enqueue(0));
    }

    #[test]
    fn batch_hooks_run_first_and_then_the_slowest() {
        let mut schedule = schedule(&[&[NPM], &[PIP], &[ENV], &[APT], &[PIP]]);
        schedule.set_usual_duration(PIP, Duration::from_secs(9));
        schedule.set_usual_duration(APT, Duration::from_secs(1));
        let order: Vec<HookIndex> =
            std::iter::from_fn(|| schedule.next_hook()).map(|next| next.hook).collect();
        assert_eq!(order, [APT, ENV, PIP, PIP, NPM]);
    }

    #[test]
    fn a_drained_schedule_has_no_next_hook() {
        let mut schedule = schedule(&[&[PIP], &[ENV]]);
        let mut waiting = schedule.drain();
        waiting.sort_unstable();
        assert_eq!((waiting, schedule.next_hook()), (vec![0, 1], None));
    }

    proptest::proptest! {
        #[test]
        fn every_request_visits_all_its_hooks_in_order(
            requests in proptest::collection::vec(proptest::collection::vec(0_usize..4, 0..5), 0..20),
            picks in proptest::collection::vec(0_usize..100, 200),
        ) {
            let mut schedule = schedule(&requests.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let mut visited: Vec<Vec<HookIndex>> = vec![Vec::new(); requests.len()];
            let mut running: Vec<ScheduledHook> = Vec::new();
            let mut picks = picks.into_iter().cycle();
            loop {
                while let Some(next) = schedule.next_hook() {
                    let is_alone = !running.iter().any(|other| other.hook == next.hook);
                    proptest::prop_assert!(is_alone || ![ENV, APT].contains(&next.hook));
                    running.push(next);
                }
                if running.is_empty() {
                    break;
                }
                let ended = running.swap_remove(picks.next().unwrap_or(0) % running.len());
                for &request in &ended.requests {
                    visited[request].push(ended.hook);
                }
                finish(&mut schedule, &ended);
            }
            proptest::prop_assert_eq!(visited, requests);
        }
    }
}
