//! The clients of a supervisor, each with what it waits for.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::PollFlags;

use crate::model::{DaemonName, ProcessId};
use crate::supervisor::control::{Answer, Client};

/// A connected client.
pub(super) struct ConnectedClient {
    pub client: Client,
    pub state: ClientState,
}

/// What happens next with a client.
pub(super) enum ClientState {
    /// It sends its request.
    Sending,
    /// It waits for its answer.
    Waiting(AnswerCondition),
    /// It follows the events of these daemons, or of all if there are none, until it closes its end.
    FollowingEvents(Vec<DaemonName>),
    /// It follows the samples of these daemons, or of all if there are none, until it closes its end.
    FollowingStats(Vec<DaemonName>),
    /// It reads its answer, and is dropped then.
    Reading,
}

/// The condition of an answer that is due later.
pub(super) enum AnswerCondition {
    /// These executions are over, and daemons without one are not alive.
    AreDown(Vec<(DaemonName, Option<ProcessId>)>),
    /// These daemons have ended, and are not started again.
    HaveEnded(Vec<DaemonName>),
    /// Daemons have come up, or have ended without a failure.
    AreReady(StartupWait),
    /// All daemons are down, and the supervisor ends.
    IsDown,
    /// The supervisor is ending, so that only the next one can do what the client wants. This one ends without an answer.
    Never,
}

/// A wait until daemons have come up.
pub(super) struct StartupWait {
    /// The daemons.
    pub names: BTreeSet<DaemonName>,
    /// How long the client waits, with the end of that time; `None` as long as no daemon fails.
    pub limit: Option<(Duration, Duration)>,
    /// When the client learns that one was not ready in time.
    pub refusal_at: Option<Duration>,
}

impl ConnectedClient {
    /// Sends the last answer. A client that is gone is dropped at the next flush.
    pub(super) fn answer(&mut self, answer: &Answer) {
        let _ = self.client.send(answer);
        self.state = ClientState::Reading;
    }

    /// Whether it follows the events of a daemon.
    pub(super) fn follows(&self, name: &DaemonName) -> bool {
        matches!(&self.state, ClientState::FollowingEvents(names) if names.is_empty() || names.contains(name))
    }

    /// Returns the descriptor of the connection, and what is expected of it.
    pub(super) fn fd(&self) -> (BorrowedFd<'_>, PollFlags) {
        let (fd, output) = self.client.fd();
        match self.state {
            // Also once it has read everything, so that it is dropped then. What else it sends does not count.
            ClientState::Reading => (fd, PollFlags::POLLOUT),
            _ => (fd, output | PollFlags::POLLIN),
        }
    }
}
