//! The clients whose answers are due later.

use std::time::Duration;

use crate::model::DaemonName;
use crate::supervisor::control::Client;

/// A client whose answer is due later.
pub(super) struct PendingClient {
    pub client: Client,
    pub condition: AnswerCondition,
}

/// What a client waits for.
pub(super) enum AnswerCondition {
    /// These daemons are not alive.
    AreDown(Vec<DaemonName>),
    /// These daemons have ended, and are not started again.
    HaveEnded(Vec<DaemonName>),
    /// All daemons have come up, or have ended.
    AreReady {
        /// How long the client waits for that; `None` as long as no daemon fails.
        timeout: Option<Duration>,
        /// The end of that time.
        deadline: Option<Duration>,
    },
    /// All daemons are down.
    IsDown,
    /// The supervisor is ending, so that only the next one can do what the client wants. This one ends without an answer.
    Never,
}
