//! The state of the samples of the resources that daemons use.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::DaemonName;
use crate::supervisor::usage_history::UsageHistory;

/// What is known about the resources that daemons use.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// The samples of the current executions.
    pub histories: BTreeMap<DaemonName, UsageHistory>,
    /// When the next sample is due, if samples are being taken.
    pub next: Option<Duration>,
    /// When the hooks that get samples are due.
    pub hooks_due: Duration,
    /// Whether a thread takes one.
    pub is_measuring: bool,
}
