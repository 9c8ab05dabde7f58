//! The clients of a supervisor: their requests, and the answers that are due later.

use std::time::{Duration, Instant};

use crate::model::{Daemon, DaemonName, DaemonSpec, DaemonStatus};
use crate::supervisor::control::{self, Answer, Client, ControlRequest, unknown_daemon};
use crate::supervisor::control_loop::connected_client::{
    AnswerCondition, ClientState, ConnectedClient, StartupWait,
};
use crate::supervisor::control_loop::{ControlLoop, DaemonEvent};
use crate::supervisor::policy::{self, PolicyEvent, Startup};

/// The largest number of clients. If one more connects, the oldest one that is slow to send its request or to read its
/// answer is dropped.
const MAX_CLIENTS: usize = 256;

/// How long the clients may take to read what they were sent when the supervisor ends.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// What follows once a request was begun.
enum Begun {
    /// The client waits for this.
    Waiting(ClientState),
    /// The answer is due at once, with these warnings.
    Done(Vec<String>),
}

impl ControlLoop<'_> {
    /// Accepts clients, carries out their requests, and sends what they read.
    pub(super) fn serve(&mut self) {
        while let Some(client) = self.server.accept() {
            self.clients.push(ConnectedClient { client, state: ClientState::Sending });
            self.limit_clients();
        }
        for connected in std::mem::take(&mut self.clients) {
            let served = self.serve_client(connected);
            self.clients.extend(served);
        }
    }

    fn limit_clients(&mut self) {
        let is_slow = |connected: &ConnectedClient| {
            matches!(connected.state, ClientState::Sending | ClientState::Reading)
        };
        if self.clients.len() > MAX_CLIENTS
            && let Some(oldest) = self.clients.iter().position(is_slow)
        {
            self.clients.remove(oldest);
        }
    }

    /// Serves a client. Returns `None` if nothing more happens with it.
    fn serve_client(&mut self, mut connected: ConnectedClient) -> Option<ConnectedClient> {
        connected.client.flush().ok()?;
        match connected.state {
            ClientState::Sending => match connected.client.read().ok()? {
                None => {}
                Some(Ok(request)) => match self.carry_out(request) {
                    Ok(state) => connected.state = state,
                    Err(answer) => connected.answer(&answer),
                },
                Some(Err(error)) => {
                    let next = "if the supervisor has another version of rigup, restart it with `rigup down` and `rigup up -d`";
                    connected.answer(&Answer::refused(format!("cannot read the request: {error}; {next}")));
                }
            },
            ClientState::Reading => {}
            _ if connected.client.is_gone() => return None,
            _ => {}
        }
        let is_done = matches!(connected.state, ClientState::Reading) && !connected.client.has_unread();
        (!is_done).then_some(connected)
    }

    /// Carries out a request. Returns what the client waits for, or the answer if it is due at once.
    fn carry_out(&mut self, request: ControlRequest) -> Result<ClientState, Answer> {
        use ControlRequest::{Apply, Restart, Start};
        match request {
            Apply { .. } if self.policy.is_ending() => {
                return Ok(ClientState::Waiting(AnswerCondition::Never));
            }
            Restart { .. } | Start { .. } if self.policy.is_ending() => {
                return Err(Answer::refused(
                    "cannot start a daemon: the supervisor is stopping all daemons; run `rigup up -d` once it has ended",
                ));
            }
            _ => {}
        }
        let begun = self.begin(request).map_err(Answer::refused)?;
        // What the user wants is stored before the answer, even if the supervisor is killed before it is done.
        self.perform();
        match begun {
            Begun::Waiting(state) => Ok(state),
            Begun::Done(warnings) => Err(Answer { warnings, ..self.answer() }),
        }
    }

    /// Begins to carry out a request. Returns the problem if it cannot be carried out.
    fn begin(&mut self, request: ControlRequest) -> Result<Begun, String> {
        let condition = match request {
            ControlRequest::Apply { daemons, names, remove_orphans } => {
                let warnings = self.apply(daemons, &names, remove_orphans)?;
                return Ok(Begun::Done(warnings));
            }
            ControlRequest::Start { names } => {
                let wanted = self.declared(&names)?;
                let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
                // A daemon cannot start without those that it depends on.
                let specs: Vec<DaemonSpec> =
                    self.daemons.values().map(|daemon| daemon.spec.clone()).collect();
                let started = policy::with_dependencies(&specs, &names);
                for name in policy::order(&specs).iter().filter(|name| started.contains(name)) {
                    let is_down = self.policy.state(name).is_none_or(|state| !state.is_wanted);
                    if is_down || wanted.contains(name) {
                        self.handle(PolicyEvent::Want(name));
                    }
                }
                return Ok(Begun::Done(Vec::new()));
            }
            ControlRequest::Stop { names } => {
                let names = self.known(&names)?;
                for name in &names {
                    if let Err(error) = self.store.save_stop_by_hand(name) {
                        let text = format!("cannot store that {name} was stopped: {error}");
                        (self.on_event)(DaemonEvent::Warning(text));
                    }
                    if let Some(daemon) = self.daemons.get_mut(name) {
                        daemon.is_stopped_by_hand = true;
                    }
                    self.handle(PolicyEvent::Unwant(name));
                }
                let id = |name: &DaemonName| self.executions.get(name).map(|execution| execution.process_id);
                AnswerCondition::AreDown(names.into_iter().map(|name| (name.clone(), id(&name))).collect())
            }
            ControlRequest::Restart { names } => {
                for name in &self.declared(&names)? {
                    self.handle(PolicyEvent::Restart(name));
                }
                return Ok(Begun::Done(Vec::new()));
            }
            ControlRequest::Down { grace } => {
                for daemon in self.daemons.values_mut() {
                    daemon.spec.stop_grace_period = grace.unwrap_or(daemon.spec.stop_grace_period);
                }
                self.hook_patience = grace.unwrap_or(self.hook_patience);
                self.handle(PolicyEvent::End);
                AnswerCondition::IsDown
            }
            ControlRequest::Ping => return Ok(Begun::Done(Vec::new())),
            ControlRequest::RestartStale => {
                self.restart_stale();
                return Ok(Begun::Done(Vec::new()));
            }
            ControlRequest::AwaitReady { names, timeout } => {
                let limit = timeout.map(|timeout| (timeout, self.now().saturating_add(timeout)));
                AnswerCondition::AreReady(StartupWait { names, limit, refusal_at: None })
            }
            ControlRequest::Wait { names } => AnswerCondition::HaveEnded(self.known(&names)?),
            ControlRequest::Events { names } => {
                return Ok(Begun::Waiting(ClientState::FollowingEvents(self.known(&names)?)));
            }
            ControlRequest::Stats { names } => {
                return Ok(Begun::Waiting(ClientState::FollowingStats(self.known(&names)?)));
            }
        };
        Ok(Begun::Waiting(ClientState::Waiting(condition)))
    }

    /// Returns the daemons with these names, each with all of its replicas, or the problem if a name is unknown.
    fn known(&self, names: &[String]) -> Result<Vec<DaemonName>, String> {
        policy::named(self.daemons.values().map(|daemon| &daemon.spec), names)
            .map_err(|name| unknown_daemon(&name))
    }

    /// Returns the daemons with these names as [`Self::known`] does, without those that are no longer declared.
    fn declared(&self, names: &[String]) -> Result<Vec<DaemonName>, String> {
        let is_declared = |daemon: &&Daemon| !self.orphans.contains(&daemon.spec.name);
        let specs = self.daemons.values().filter(is_declared).map(|daemon| &daemon.spec);
        policy::named(specs, names).map_err(|name| match self.known(std::slice::from_ref(&name)) {
            Ok(_) => format!("{name} is no longer declared; declare it, and run `rigup up -d`"),
            Err(problem) => problem,
        })
    }

    fn answer(&self) -> Answer {
        let record = |daemon: &Daemon| daemon.to_record(self.execution_of(daemon).as_ref());
        Answer::with(self.daemons.values().map(record).collect())
    }

    /// Answers the clients whose conditions hold.
    pub(super) fn answer_pending(&mut self) {
        self.answer_failing_startup();
        let now = self.now();
        let status = |name: &DaemonName| self.policy.state(name).map(|state| state.status);
        let has_ended = |name: &DaemonName| {
            status(name).is_none_or(|status| {
                matches!(status, DaemonStatus::Exited | DaemonStatus::Failed | DaemonStatus::Stopped)
            })
        };
        let holds = |condition: &AnswerCondition| match condition {
            // Another command may have started the daemon again.
            AnswerCondition::AreDown(executions) => executions.iter().all(|(name, id)| match id {
                Some(id) => self.executions.get(name).is_none_or(|execution| execution.process_id != *id),
                None => !status(name).is_some_and(DaemonStatus::is_alive),
            }),
            AnswerCondition::HaveEnded(names) => names.iter().all(has_ended),
            AnswerCondition::AreReady(wait) => self.policy.startup(&wait.names, now) == Startup::Done,
            AnswerCondition::IsDown => self.is_over,
            AnswerCondition::Never => false,
        };
        let is_due = |connected: &ConnectedClient| matches!(&connected.state, ClientState::Waiting(condition) if holds(condition));
        let due: Vec<usize> = (0..self.clients.len()).filter(|index| is_due(&self.clients[*index])).collect();
        // The answer reads the store, and this is called after every event.
        if due.is_empty() {
            return;
        }
        let answer = Answer { warnings: self.stop_warnings.clone(), ..self.answer() };
        for index in due {
            self.clients[index].answer(&answer);
        }
    }

    /// Ends the supervisor, once the clients have read what they were sent. Returns the connections to close once the next
    /// supervisor can start.
    pub(crate) fn into_clients(self) -> Vec<Client> {
        let mut clients = self.clients.into_iter().map(|connected| connected.client).collect();
        control::drain(&mut clients, Instant::now() + LAST_PATIENCE);
        clients
    }
}
