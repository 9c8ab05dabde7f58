//! The clients that wait until all daemons have come up.

use std::time::Duration;

use crate::duration;
use crate::model::DaemonName;
use crate::report::text::printable;
use crate::supervisor::control::Answer;
use crate::supervisor::control_loop::ControlLoop;
use crate::supervisor::control_loop::connected_client::{AnswerCondition, ClientState, ConnectedClient};
use crate::supervisor::policy::Startup;

/// How long after a daemon was not ready in time the clients learn that: others that were started with it are often not
/// ready in time either, and the error names all of them.
const TIMEOUT_NOTICE: Duration = Duration::from_millis(500);

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
        if deadlines.is_empty() {
            return None;
        }
        let pause = pause_of_clients(&deadlines, &self.policy.startup(now), now);
        let refusal = self.refusal_at.map(|at| at.saturating_sub(now));
        pause.into_iter().chain(refusal).min()
    }

    /// Notes that a daemon was not ready in time.
    pub(super) fn note_timeout(&mut self) {
        let at = self.now() + TIMEOUT_NOTICE;
        self.refusal_at.get_or_insert(at);
    }

    /// Tells the clients that wait until all daemons are ready why they wait in vain, or that their time is over.
    pub(super) fn answer_failing_startup(&mut self) {
        if !self.clients.iter().any(|client| client.startup_limit().is_some()) {
            self.refusal_at = None;
            return;
        }
        let now = self.now();
        if self.refusal_at.take_if(|at| *at <= now).is_some() {
            self.refuse_startup(|_| true);
        }
        match self.policy.startup(now) {
            // One with a deadline has said how long a daemon may fail.
            Startup::Failing(..) => self.refuse_startup(|deadline| deadline.is_none()),
            Startup::Done if self.policy.has_failed() => self.refuse_startup(|_| true),
            Startup::Done | Startup::Pending(_) => {}
        }
        let problems = self.policy.startup_problems(now).into_iter();
        let problems: Vec<String> = problems.map(|(name, problem)| format!("{name} ({problem})")).collect();
        let problems = printable(&problems.join(", "));
        for client in &mut self.clients {
            if let Some((Some(timeout), Some(deadline))) = client.startup_limit()
                && deadline <= now
                && !problems.is_empty()
            {
                let seconds = duration::seconds(timeout);
                client.answer(&Answer::refused(format!("not ready within {seconds} s: {problems}")));
            }
        }
    }

    /// Answers with a line for each daemon that has failed or is not ready.
    fn refuse_startup(&mut self, is_refused: impl Fn(Option<Duration>) -> bool) {
        let line = |(name, problem): (DaemonName, String)| {
            let name = printable(&name);
            format!("{name}: {}; see `rigup logs {name}`", printable(&problem))
        };
        let problems: Vec<String> = self.policy.startup_problems(self.now()).into_iter().map(line).collect();
        if problems.is_empty() {
            return;
        }
        let answer = Answer::refused(problems.join("\n"));
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
