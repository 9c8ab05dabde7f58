//! What a process gets from rigup before its program runs.

use std::collections::BTreeMap;

use rustix::fs::RawMode;
use serde::{Deserialize, Serialize};

/// The user, the priority and the limits of a process. Everything that it starts inherits them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessAttributes {
    /// The name or the uid of the user; `None` for the user of rigup.
    pub user: Option<String>,
    /// The niceness, from -20 to 19.
    pub nice: Option<i32>,
    /// The CPUs on which it may run; all if empty.
    pub cpu_affinity: Vec<usize>,
    /// The limits of resources by their names, such as `nofile`.
    pub rlimits: BTreeMap<String, ResourceLimit>,
    /// The permissions that its new files do not get.
    pub umask: Option<RawMode>,
}

/// The limits of a resource; [`ResourceLimit::NONE`] for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimit {
    /// The limit that applies.
    pub soft: u64,
    /// The highest value to which the process may raise it.
    pub hard: u64,
}

impl ResourceLimit {
    /// The value that stands for no limit.
    pub(crate) const NONE: u64 = u64::MAX;
}

impl ProcessAttributes {
    /// Returns the attributes, or `None` if none is set.
    pub(crate) fn if_any(&self) -> Option<&Self> {
        (*self != Self::default()).then_some(self)
    }
}
