//! The events in the life of a daemon, which hooks handle and `rigup events` prints.

use serde::Deserialize;

use crate::model::text_enum::{UnknownWord, text_enum};

text_enum! {
    /// An event in the life of a daemon, with the name of its hooks.
    #[derive(PartialOrd, Ord, Deserialize)]
    #[serde(try_from = "String")]
    pub enum LifecycleEvent {
        /// It is about to be started.
        PreStart = "DaemonPreStart",
        /// It has become ready.
        Ready = "DaemonReady",
        /// An execution of it has ended.
        Exited = "DaemonExited",
        /// It was started in place of an earlier execution, by its `restart` field or by a command.
        Restarted = "DaemonRestarted",
        /// Its health check has failed as often as it may.
        Unhealthy = "DaemonUnhealthy",
        /// It has failed, and is not started again by itself.
        Failed = "DaemonFailed",
        /// Samples of what it uses were taken.
        Stats = "DaemonStats",
    }
}

impl TryFrom<String> for LifecycleEvent {
    type Error = UnknownWord;

    fn try_from(word: String) -> Result<Self, UnknownWord> {
        word.parse()
    }
}
