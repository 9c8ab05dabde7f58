//! The hooks of a daemon.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::lifecycle::LifecycleEvent;

/// The hooks of a daemon, and where `rigup up` found them: other projects may share its supervisor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonHooks {
    /// The names of the hooks that serve each event; an event without hooks is absent.
    pub names: BTreeMap<LifecycleEvent, Vec<String>>,
    /// The folder in which `rigup up` ran.
    pub folder: PathBuf,
    /// The folders that it searched for plugins.
    pub plugin_path: Vec<PathBuf>,
    /// The folders that it trusted by exception.
    pub trusted: Vec<PathBuf>,
}
