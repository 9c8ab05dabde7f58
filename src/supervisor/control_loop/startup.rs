//! The clients that wait until daemons have come up.

use std::time::Duration;

use fs_err as fs;

use crate::duration;
use crate::model::DaemonName;
use crate::process::run_dir::{self, RunDir};
use crate::report::text::printable;
use crate::shell;
use crate::supervisor::control::Answer;
use crate::supervisor::control_loop::ControlLoop;
use crate::supervisor::control_loop::connected_client::{
    AnswerCondition, ClientState, ConnectedClient, StartupWait,
};
use crate::supervisor::policy::Startup;

/// How long after a daemon was not ready in time the clients learn that: others that were started with it are often not
/// ready in time either, and the error names all of them.
const TIMEOUT_NOTICE: Duration = Duration::from_millis(500);

impl ConnectedClient {
    /// Returns what the client waits for, or `None` if that is not the start of daemons.
    fn startup_wait(&self) -> Option<&StartupWait> {
        match &self.state {
            ClientState::Waiting(AnswerCondition::AreReady(wait)) => Some(wait),
            _ => None,
        }
    }
}

impl StartupWait {
    /// Returns when the client must be answered if nothing happens before; `None` if only an event can end its wait.
    fn next_answer(&self, startup: &Startup, now: Duration) -> Option<Duration> {
        let settled = match startup {
            Startup::Pending(at) => *at,
            // It has come up since the clients were answered last.
            Startup::Done | Startup::Failed | Startup::Stopped => Some(now),
            Startup::Failing(..) => None,
        };
        let deadline = self.limit.map(|(_, deadline)| deadline);
        [deadline, self.refusal_at, settled].into_iter().flatten().min()
    }
}

impl ControlLoop<'_> {
    /// Returns how long the pause may be for the clients that wait until daemons have come up.
    pub(super) fn startup_timer(&self) -> Option<Duration> {
        let now = self.now();
        let waits = self.clients.iter().filter_map(ConnectedClient::startup_wait);
        let answers = waits.filter_map(|wait| wait.next_answer(&self.policy.startup(&wait.names, now), now));
        Some(answers.min()?.saturating_sub(now))
    }

    /// Notes for the clients that wait for it that a daemon was not ready in time.
    pub(super) fn note_timeout(&mut self, name: &DaemonName) {
        let at = self.now() + TIMEOUT_NOTICE;
        for client in &mut self.clients {
            if let ClientState::Waiting(AnswerCondition::AreReady(wait)) = &mut client.state
                && wait.names.contains(name)
            {
                wait.refusal_at.get_or_insert(at);
            }
        }
    }

    /// Whether the current or last execution of a daemon has written something to its logs.
    fn has_written(&self, name: &DaemonName) -> bool {
        let id = self.daemons.get(name).and_then(|daemon| daemon.process_id);
        let run_dir = id.map(|id| RunDir::at(&run_dir::path(&self.settings.data_dir, id)));
        let mut logs = run_dir.iter().flat_map(|run_dir| [run_dir.stdout(), run_dir.stderr()]);
        logs.any(|log| fs::metadata(log).is_ok_and(|metadata| metadata.len() > 0))
    }

    /// Tells the clients that wait until daemons are ready why they wait in vain, or that their time is over.
    pub(super) fn answer_failing_startup(&mut self) {
        let now = self.now();
        for index in 0..self.clients.len() {
            let wait = self.clients[index].startup_wait();
            if let Some(problem) = wait.and_then(|wait| self.startup_problem(wait, now)) {
                self.clients[index].answer(&Answer::refused(problem));
            }
        }
    }

    /// Returns why a client waits in vain, or `None` if its wait goes on or the daemons have come up.
    fn startup_problem(&self, wait: &StartupWait, now: Duration) -> Option<String> {
        let is_in_vain = match self.policy.startup(&wait.names, now) {
            Startup::Done => return None,
            Startup::Failed | Startup::Stopped => true,
            // A client with a limit has said how long a daemon may fail.
            Startup::Failing(..) => wait.limit.is_none(),
            Startup::Pending(_) => false,
        };
        let problems = || self.policy.startup_problems(&wait.names, now).into_iter();
        if is_in_vain || wait.refusal_at.is_some_and(|at| at <= now) {
            let lines = problems().map(|(name, problem)| {
                let next = if self.has_written(&name) {
                    format!("; see `rigup logs {}`", shell::quote_text(&name))
                } else {
                    String::new()
                };
                printable(&format!("{name}: {problem}{next}"))
            });
            return Some(lines.collect::<Vec<_>>().join("\n"));
        }
        let (timeout, _) = wait.limit.filter(|(_, deadline)| *deadline <= now)?;
        let unready = problems().map(|(name, problem)| format!("{name} ({problem})"));
        let unready = unready.collect::<Vec<_>>().join(", ");
        Some(format!("not ready within {} s: {}", duration::seconds(timeout), printable(&unready)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn clients_are_answered_at_once_if_all_has_come_up_right_before_the_pause() {
        let second = Duration::from_secs;
        let failing = Startup::Failing("a".parse().unwrap(), "exit 1".to_owned());
        for (deadline, refusal_at, startup, expected) in [
            (None, None, Startup::Done, Some(5)),
            (Some(9), None, Startup::Failed, Some(5)),
            (Some(9), None, Startup::Done, Some(5)),
            (None, None, Startup::Pending(Some(second(7))), Some(7)),
            (Some(6), None, Startup::Pending(Some(second(7))), Some(6)),
            (Some(9), Some(8), Startup::Pending(None), Some(8)),
            (Some(4), None, Startup::Pending(None), Some(4)),
            (Some(9), None, failing, Some(9)),
            (None, None, Startup::Pending(None), None),
        ] {
            let limit = deadline.map(|deadline| (second(1), second(deadline)));
            let wait = StartupWait { names: BTreeSet::new(), limit, refusal_at: refusal_at.map(second) };
            let answer = wait.next_answer(&startup, second(5));
            assert_eq!(answer, expected.map(second), "{deadline:?} {refusal_at:?} {startup:?}");
        }
    }
}
