//! The clients that wait until all daemons have come up.

use std::time::Duration;

use crate::duration;
use crate::model::DaemonName;
use crate::report::text::printable;
use crate::supervisor::control::refused;
use crate::supervisor::control_loop::ControlLoop;
use crate::supervisor::control_loop::pending::{AnswerCondition, PendingClient};
use crate::supervisor::policy::Startup;

impl ControlLoop<'_> {
    /// Returns how long the pause may be for the clients that wait until all daemons have come up.
    pub(super) fn startup_timer(&self) -> Option<Duration> {
        let deadlines = self.pending.iter().filter_map(|pending| match pending.condition {
            AnswerCondition::AreReady { deadline, .. } => Some(deadline),
            _ => None,
        });
        let first = deadlines.min()?;
        let settled = if let Startup::Pending(at) = self.policy.startup(self.now()) { at } else { None };
        let deadline = first.into_iter().chain(settled).min()?;
        Some(deadline.saturating_sub(self.now()))
    }

    /// Tells the clients that wait until all daemons are ready that one was not ready in time.
    pub(super) fn refuse_readiness(&mut self, name: &DaemonName, problem: &str) {
        self.refuse_startup(name, problem, |_| true);
    }

    /// Tells the clients that wait until all daemons are ready why they wait in vain, or that their time is over.
    pub(super) fn answer_failing_startup(&mut self) {
        let now = self.now();
        // One with a deadline has said how long a daemon may fail.
        if let Startup::Failing(name, problem) = self.policy.startup(now) {
            self.refuse_startup(&name, &problem, |deadline| deadline.is_none());
        }
        let is_late = |pending: &mut PendingClient| matches!(pending.condition, AnswerCondition::AreReady { deadline: Some(deadline), .. } if deadline <= now);
        for pending in self.pending.extract_if(.., is_late) {
            let AnswerCondition::AreReady { timeout: Some(timeout), .. } = pending.condition else {
                continue;
            };
            let unready = printable(&self.policy.unready(now).join(", "));
            let seconds = duration::seconds(timeout);
            pending.client.answer(&refused(format!("not ready within {seconds} s: {unready}")));
        }
    }

    fn refuse_startup(
        &mut self,
        name: &DaemonName,
        problem: &str,
        is_refused: impl Fn(Option<Duration>) -> bool,
    ) {
        let is_refused = |pending: &mut PendingClient| matches!(pending.condition, AnswerCondition::AreReady { deadline, .. } if is_refused(deadline));
        for pending in self.pending.extract_if(.., is_refused) {
            let (name, problem) = (printable(name), printable(problem));
            pending.client.answer(&refused(format!("{name}: {problem}; see `rigup logs {name}`")));
        }
    }
}
