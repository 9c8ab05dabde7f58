//! Requests through their providers, each to its first honest winner.
//!
//! One thread keeps the schedule and the records; hooks are started and judged on others.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rayon::ThreadPool;

use crate::install::attempt::{self, Answer, AskError, Question};
use crate::install::event::InstallEvent;
use crate::install::plan::Request;
use crate::install::resolver::state::{Asked, Work};
use crate::install::resolver::{Resolver, Settled};
use crate::install::scheduler::HookIndex;
use crate::store::StoreError;

/// How often is looked whether another rigup is done with a name.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Longer than any hook may take.
const A_LONG_TIME: Duration = Duration::from_hours(24);

impl Resolver<'_> {
    /// Takes requests through their providers, with as many hooks at once as the pool has threads. Only one rigup at a
    /// time works on a name; whoever waited finds the work done. The results are in the order of the requests.
    pub fn resolve(&self, requests: Vec<Request>, pool: &ThreadPool) -> Result<Vec<Settled>, StoreError> {
        let wanted = requests.len();
        let mut work = Work::new(self, requests)?;
        let (answers, answered) = mpsc::channel();
        pool.in_place_scope(|scope| {
            let mut running = 0;
            loop {
                work.begin();
                while running < pool.current_num_threads()
                    && let Some(turn) = work.turn()
                {
                    let asked = work.asked(&turn);
                    let answers = answers.clone();
                    running += 1;
                    scope.spawn(move |_| {
                        let asking = AssertUnwindSafe(|| self.attempt(turn.hook, &asked));
                        // Without an answer, all would wait for it for ever.
                        let answer = panic::catch_unwind(asking).unwrap_or(Err(AskError::Panicked));
                        // The receiver lives until nothing runs any more.
                        let _ = answers.send((turn, answer));
                    });
                }
                if running == 0 && !work.is_locked_out() {
                    break;
                }
                // The name that another rigup works on is looked at again and again.
                let patience = if work.is_locked_out() { LOOK_AGAIN } else { A_LONG_TIME };
                if let Ok((turn, answer)) = answered.recv_timeout(patience) {
                    running -= 1;
                    work.take(&turn, answer);
                }
                work.look_at_locks();
            }
        });
        Ok(work.results(wanted))
    }

    /// Runs a hook for its requests.
    fn attempt(&self, hook: HookIndex, asked: &[Asked]) -> Result<Answer, AskError> {
        let hook = self.hooks[hook];
        let on_event = |event: InstallEvent| {
            let is_for_all = matches!(event, InstallEvent::Started { .. } | InstallEvent::Output { .. });
            // A batch hook's other messages do not say which of its requests they are about.
            let count = if is_for_all { asked.len() } else { 1 };
            for target in asked.iter().take(count) {
                (self.on_event)(&target.request, event.clone());
            }
        };
        let questions: Vec<Question> = asked
            .iter()
            .map(|target| Question {
                request: Arc::clone(&target.request),
                binary: target.binary.clone(),
                is_unsaved: target.is_unsaved,
                link: self.linker().path(&target.request.name),
            })
            .collect();
        attempt::ask(&self.runner, hook, &questions, self.timeout, on_event)
    }
}
