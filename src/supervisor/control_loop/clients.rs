//! The clients of a supervisor: their requests, and the answers that are due later.

use crate::model::{Daemon, DaemonName, DaemonSpec, DaemonStatus};
use crate::report::text::printable;
use crate::supervisor::control::{Answer, Client, ControlRequest, refused, unknown_daemon};
use crate::supervisor::control_loop::ControlLoop;
use crate::supervisor::control_loop::manifest::with_dependencies;
use crate::supervisor::control_loop::pending::{AnswerCondition, PendingClient};
use crate::supervisor::policy::{self, PolicyEvent};

impl ControlLoop<'_> {
    /// Accepts clients, and carries out their requests.
    pub(super) fn serve(&mut self) {
        while let Some(client) = self.server.accept() {
            self.clients.push(client);
        }
        let mut clients = std::mem::take(&mut self.clients);
        let mut waiting = Vec::new();
        while let Some(mut client) = clients.pop() {
            match client.read() {
                Ok(None) => waiting.push(client),
                Ok(Some(request)) => self.carry_out(request, client),
                Err(_) => {}
            }
        }
        self.clients = waiting;
        self.pending.retain_mut(|pending| !pending.client.is_gone());
    }

    fn carry_out(&mut self, request: ControlRequest, client: Client) {
        use ControlRequest::{Apply, AwaitReady, Restart, Start};
        if self.policy.is_ending()
            && matches!(request, Apply { .. } | AwaitReady | Restart { .. } | Start { .. })
        {
            return self.pending.push(PendingClient { client, condition: AnswerCondition::Never });
        }
        let condition = match self.begin(request) {
            Ok(Some(condition)) => condition,
            Ok(None) => {
                self.perform();
                return client.answer(&self.answer());
            }
            Err(problem) => return client.answer(&refused(problem)),
        };
        // What the user wants is stored before the answer, even if the supervisor is killed before it is done.
        self.perform();
        self.pending.push(PendingClient { client, condition });
    }

    /// Begins to carry out a request. Returns the condition of its answer, or `None` if that is due at once.
    fn begin(&mut self, request: ControlRequest) -> Result<Option<AnswerCondition>, String> {
        match request {
            ControlRequest::Apply { daemons, names, remove_orphans } => {
                self.apply(daemons, &names, remove_orphans)?;
                Ok(None)
            }
            ControlRequest::Start { names } => {
                let wanted = self.known(&names)?;
                let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
                // A daemon cannot start without those that it depends on.
                let specs: Vec<DaemonSpec> =
                    self.daemons.values().map(|daemon| daemon.spec.clone()).collect();
                let started = with_dependencies(&specs, &names);
                for name in policy::order(&specs).iter().filter(|name| started.contains(name)) {
                    let is_down = self.policy.state(name).is_none_or(|state| !state.is_wanted);
                    if is_down || wanted.contains(name) {
                        self.handle(PolicyEvent::Want(name));
                    }
                }
                Ok(None)
            }
            ControlRequest::Stop { names } => {
                let names = self.known(&names)?;
                for name in &names {
                    self.handle(PolicyEvent::Unwant(name));
                }
                Ok(Some(AnswerCondition::AreDown(names)))
            }
            ControlRequest::Restart { names } => {
                let names = self.known(&names)?;
                for name in &names {
                    self.handle(PolicyEvent::Restart(name));
                }
                Ok(None)
            }
            ControlRequest::Down { grace } => {
                for daemon in self.daemons.values_mut() {
                    daemon.spec.stop_grace_period = grace.unwrap_or(daemon.spec.stop_grace_period);
                }
                self.handle(PolicyEvent::End);
                Ok(Some(AnswerCondition::IsDown))
            }
            ControlRequest::AwaitReady => Ok(Some(AnswerCondition::AreReady)),
            ControlRequest::Wait { names } => Ok(Some(AnswerCondition::HaveEnded(self.known(&names)?))),
        }
    }

    /// Returns the daemons with these names, each with all of its replicas, or the problem if a name is unknown.
    fn known(&self, names: &[String]) -> Result<Vec<DaemonName>, String> {
        policy::named(self.daemons.values().map(|daemon| &daemon.spec), names)
            .map_err(|name| unknown_daemon(&name))
    }

    fn answer(&self) -> Answer {
        let process =
            |daemon: &Daemon| daemon.process_id.and_then(|id| self.store.process(id).ok().flatten());
        let daemons =
            self.daemons.values().map(|daemon| daemon.to_record(process(daemon).as_ref())).collect();
        Answer { daemons, error: None }
    }

    /// Tells the clients that wait until all daemons are ready that one was not ready in time.
    pub(super) fn refuse_readiness(&mut self, name: &DaemonName, problem: &str) {
        let is_refused = |pending: &mut PendingClient| matches!(pending.condition, AnswerCondition::AreReady);
        for pending in self.pending.extract_if(.., is_refused) {
            let name = printable(name);
            pending.client.answer(&refused(format!("{name}: {problem}; see `rigup logs {name}`")));
        }
    }

    /// Answers the clients whose conditions hold.
    pub(super) fn answer_pending(&mut self) {
        let is_over = self.policy.is_over();
        let status = |name: &DaemonName| self.policy.state(name).map(|state| state.status);
        let has_ended = |name: &DaemonName| {
            status(name).is_none_or(|status| {
                matches!(status, DaemonStatus::Exited | DaemonStatus::Failed | DaemonStatus::Stopped)
            })
        };
        let is_settled = |name: &DaemonName| has_ended(name) || status(name) == Some(DaemonStatus::Running);
        let holds = |condition: &AnswerCondition| match condition {
            AnswerCondition::AreDown(names) => {
                names.iter().all(|name| !status(name).is_some_and(DaemonStatus::is_alive))
            }
            AnswerCondition::HaveEnded(names) => names.iter().all(has_ended),
            AnswerCondition::AreReady => self.daemons.keys().all(is_settled),
            AnswerCondition::IsDown => is_over,
            AnswerCondition::Never => false,
        };
        let (due, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| holds(&pending.condition));
        self.pending = pending;
        // The answer reads the store, and this is called after every event.
        if due.is_empty() {
            return;
        }
        let answer = self.answer();
        for pending in due {
            pending.client.answer(&answer);
            if matches!(pending.condition, AnswerCondition::IsDown) {
                self.clients_of_end.push(pending.client);
            }
        }
    }

    /// Ends the supervisor, and returns the connections to close once the next one can start.
    pub(crate) fn into_clients_of_end(self) -> Vec<Client> {
        self.clients_of_end
    }
}
