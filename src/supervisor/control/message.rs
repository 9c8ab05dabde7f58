//! What commands and the supervisor send to each other, as lines of JSON.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{DaemonName, DaemonSpec};

/// A request to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum ControlRequest {
    /// Applies a manifest, and starts the daemons with these names, or all that start by themselves.
    Apply {
        /// All declared daemons.
        daemons: Vec<DaemonSpec>,
        /// The daemons to start.
        names: Vec<String>,
        /// Whether daemons that are no longer declared are stopped.
        remove_orphans: bool,
    },
    /// Starts daemons.
    Start { names: Vec<String> },
    /// Stops daemons, and answers once they are stopped.
    Stop { names: Vec<String> },
    /// Stops and starts daemons.
    Restart { names: Vec<String> },
    /// Stops all daemons and the supervisor, and answers once all are stopped.
    Down {
        /// The grace period in place of that of each daemon.
        grace: Option<Duration>,
    },
    /// Answers once the daemons with these names are ready or have ended without a failure.
    AwaitReady {
        /// The daemons.
        names: BTreeSet<DaemonName>,
        /// How long that may take. Without a limit, a daemon that fails again and again is an error.
        timeout: Option<Duration>,
    },
    /// Answers once the daemons with these names have ended.
    Wait { names: Vec<String> },
    /// Restarts the daemons that are to be restarted at once if an install has changed one of their binaries.
    RestartStale,
    /// Answers at once, also while all daemons are being stopped.
    Ping,
    /// Answers with each event of the daemons with these names, or of all if there are none, until the supervisor ends.
    Events { names: Vec<String> },
    /// Answers every second with a sample of each of the daemons with these names, or of all if there are none, until the
    /// supervisor ends.
    Stats { names: Vec<String> },
}

/// The answer to a request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The records of the daemons.
    pub daemons: Vec<Value>,
    /// Why the request cannot be carried out.
    pub error: Option<String>,
    /// The problems with the stop of all daemons, or the daemons that are no longer declared.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Answer {
    /// Returns the answer with these records.
    pub(crate) fn with(daemons: Vec<Value>) -> Self {
        Self { daemons, error: None, warnings: Vec::new() }
    }

    /// Returns the answer with this error.
    pub(crate) fn refused(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::with(Vec::new()) }
    }
}
