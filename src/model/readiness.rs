//! Whether a daemon is ready.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a daemon shows that it is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Readiness {
    /// What is checked.
    pub probe: ReadinessCheck,
    /// How long it may take.
    pub timeout: Duration,
    /// The pause between two checks.
    pub interval: Duration,
    /// How long one check may take.
    pub check_timeout: Duration,
    /// Whether a timeout stops all daemons.
    pub stops_all: bool,
}

/// A check of readiness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessCheck {
    /// This host and port accept a connection.
    Tcp(String, u16),
    /// This URL is answered with a status of 2xx.
    Http(String),
    /// This file exists.
    File(PathBuf),
    /// Something was written to this fifo, which rigup creates.
    Fifo(PathBuf),
    /// A line `ready` was written to this fifo, which the daemon creates.
    Pipe(PathBuf),
    /// It notifies its waiter, by the protocol of systemd.
    Notify,
    /// A command exits with 0.
    Exec(Vec<String>),
    /// A line of a log matches this regular expression.
    Log(String),
    /// A line was written to standard output.
    StdoutLine,
}
