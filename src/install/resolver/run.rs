//! The loop that resolves requests. One thread updates the state and the records; hooks run on other threads.

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use rayon::ThreadPool;

use crate::install::attempt::{self, AttemptError, AttemptResult, AttemptTarget};
use crate::install::event::InstallEvent;
use crate::install::plan::Request;
use crate::install::resolver::state::ResolverState;
use crate::install::resolver::{RequestResult, Resolver};
use crate::install::scheduler::{HookIndex, ScheduledHook};
use crate::report::text::{MAX_LISTED, list};
use crate::store::StoreError;

/// The interval at which a lock that another rigup holds is tried.
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// A time that is longer than the longest timeout of a hook.
const LONG_TIME: Duration = Duration::from_hours(24);

/// A hook that has run, with its result.
type HookResult = (ScheduledHook, Result<AttemptResult, AttemptError>);

impl Resolver<'_> {
    /// Resolves requests, and runs one hook on each thread of the pool or, without one, one hook after the other. Only one
    /// rigup at a time resolves a name; any other waits, unless it only looks up, and then finds the binary installed.
    /// Returns the results in the order of the requests.
    pub(crate) fn resolve(
        &self,
        requests: Vec<Request>,
        pool: Option<&ThreadPool>,
    ) -> Result<Vec<RequestResult>, StoreError> {
        let count = requests.len();
        let mut state = ResolverState::new(self, requests)?;
        let (sender, receiver) = mpsc::channel();
        match pool {
            None => run_hooks(&mut state, 1, &receiver, |hook, targets| {
                self.run_hook(hook, &targets, &sender);
            }),
            Some(pool) => pool.in_place_scope(|scope| {
                run_hooks(&mut state, pool.current_num_threads(), &receiver, |hook, targets| {
                    let sender = sender.clone();
                    scope.spawn(move |_| self.run_hook(hook, &targets, &sender));
                });
            }),
        }
        Ok(state.into_results(count))
    }

    /// Runs a hook for its targets, and sends the result.
    fn run_hook(&self, hook: ScheduledHook, targets: &[AttemptTarget], sender: &Sender<HookResult>) {
        // A panic must be reported, or the loop would wait for a result that never comes.
        let result = panic::catch_unwind(AssertUnwindSafe(|| self.attempt(hook.hook, targets)))
            .unwrap_or(Err(AttemptError::Panicked));
        // The receiver outlives every hook.
        let _ = sender.send((hook, result));
    }

    /// Runs a hook for its targets.
    fn attempt(&self, hook: HookIndex, targets: &[AttemptTarget]) -> Result<AttemptResult, AttemptError> {
        let names: Vec<&str> = targets.iter().map(|target| target.request.name.as_str()).collect();
        let on_event = |event: InstallEvent| {
            let event = match event {
                // A warning about a batch hook does not state which of its requests it is about.
                InstallEvent::Warning(text) if names.len() > 1 => {
                    InstallEvent::Notice(format!("{}: {text}", list(&names, MAX_LISTED)))
                }
                event => event,
            };
            for target in targets {
                (self.on_event)(&target.request, event.clone());
            }
        };
        let hook = self.hooks[hook];
        let config = self.provider_configs.get(hook.plugin.as_str());
        let targets = &self.with_listed_versions(hook, targets);
        let mut result =
            attempt::run(&self.runner, hook, config, targets, self.timeout, self.begin, on_event)?;
        self.decline_missing(hook, targets, &mut result.verdicts);
        Ok(result)
    }
}

/// Starts at most `jobs` hooks at a time by `start`, and updates the state with their results, until none is left.
fn run_hooks(
    state: &mut ResolverState<'_, '_>,
    jobs: usize,
    results: &Receiver<HookResult>,
    start: impl Fn(ScheduledHook, Vec<AttemptTarget>),
) {
    let mut running = 0;
    loop {
        state.start_requests();
        while running < jobs
            && let Some(hook) = state.next_hook()
        {
            let targets = state.targets(&hook);
            running += 1;
            start(hook, targets);
        }
        if running == 0 && !state.is_blocked() {
            break;
        }
        let timeout = if state.is_blocked() { LOCK_INTERVAL } else { LONG_TIME };
        if let Ok((hook, result)) = results.recv_timeout(timeout) {
            running -= 1;
            state.complete_hook(&hook, result);
        }
        state.retry_locks();
    }
}
