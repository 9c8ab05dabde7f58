//! The clients that wait until all daemons have come up.

use std::time::Duration;

use crate::duration;
use crate::model::DaemonName;
use crate::report::text::printable;
use crate::supervisor::control::Answer;
use crate::supervisor::control_loop::ControlLoop;
use crate::supervisor::control_loop::connected_client::{AnswerCondition, ClientState, ConnectedClient};
use crate::supervisor::policy::Startup;

impl ConnectedClient {
    /// Returns how long the client waits until all daemons have come up, with the end of that time; `None` if it does not
    /// wait for that.
    fn startup_limit(&self) -> Option<(Option<Duration>, Option<Duration>)> {
        match self.state {
            ClientState::Waiting(AnswerCondition::AreReady { timeout, deadline }) => {
                Some((timeout, deadline))
            }
            _ => None,
        }
    }
}

/// Returns how long the pause may be for clients with these deadlines that wait until all daemons have come up; `None` if
/// only an event can end their wait.
fn pause_of_clients(deadlines: &[Option<Duration>], startup: &Startup, now: Duration) -> Option<Duration> {
    let settled = match startup {
        Startup::Pending(at) => *at,
        // It has come up since the clients were answered last.
        Startup::Done => Some(now),
        Startup::Failing(..) => None,
    };
    let first = deadlines.iter().copied().flatten().chain(settled).min()?;
    Some(first.saturating_sub(now))
}

impl ControlLoop<'_> {
    /// Returns how long the pause may be for the clients that wait until all daemons have come up.
    pub(super) fn startup_timer(&self) -> Option<Duration> {
        let limits = self.clients.iter().filter_map(ConnectedClient::startup_limit);
        let deadlines: Vec<Option<Duration>> = limits.map(|(_, deadline)| deadline).collect();
        let now = self.now();
        if deadlines.is_empty() { None } else { pause_of_clients(&deadlines, &self.policy.startup(now), now) }
    }

    /// Tells the clients that wait until all daemons are ready that one was not ready in time.
    pub(super) fn refuse_readiness(&mut self, name: &DaemonName, problem: &str) {
        self.refuse_startup(name, problem, |_| true);
    }

    /// Tells the clients that wait until all daemons are ready why they wait in vain, or that their time is over.
    pub(super) fn answer_failing_startup(&mut self) {
        if !self.clients.iter().any(|client| client.startup_limit().is_some()) {
            return;
        }
        let now = self.now();
        // One with a deadline has said how long a daemon may fail.
        if let Startup::Failing(name, problem) = self.policy.startup(now) {
            self.refuse_startup(&name, &problem, |deadline| deadline.is_none());
        }
        let unready = printable(&self.policy.unready(now).join(", "));
        for client in &mut self.clients {
            if let Some((Some(timeout), Some(deadline))) = client.startup_limit()
                && deadline <= now
                && !unready.is_empty()
            {
                let seconds = duration::seconds(timeout);
                client.answer(&Answer::refused(format!("not ready within {seconds} s: {unready}")));
            }
        }
    }

    fn refuse_startup(
        &mut self,
        name: &DaemonName,
        problem: &str,
        is_refused: impl Fn(Option<Duration>) -> bool,
    ) {
        let (name, problem) = (printable(name), printable(problem));
        let answer = Answer::refused(format!("{name}: {problem}; see `rigup logs {name}`"));
        for client in &mut self.clients {
            if client.startup_limit().is_some_and(|(_, deadline)| is_refused(deadline)) {
                client.answer(&answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_answered_at_once_if_all_has_come_up_right_before_the_pause() {
        let second = Duration::from_secs;
        let failing = Startup::Failing("a".parse().unwrap(), "exit 1".to_owned());
        for (deadlines, startup, expected) in [
            (vec![None], Startup::Done, Some(second(0))),
            (vec![Some(second(9))], Startup::Done, Some(second(0))),
            (vec![None], Startup::Pending(Some(second(7))), Some(second(2))),
            (vec![None, Some(second(6))], Startup::Pending(Some(second(7))), Some(second(1))),
            (vec![Some(second(4))], Startup::Pending(None), Some(second(0))),
            (vec![Some(second(9)), None], failing, Some(second(4))),
            (vec![None], Startup::Pending(None), None),
        ] {
            let pause = pause_of_clients(&deadlines, &startup, second(5));
            assert_eq!(pause, expected, "{deadlines:?} {startup:?}");
        }
    }
}
