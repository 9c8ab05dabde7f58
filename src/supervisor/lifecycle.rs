//! The events in the life of a daemon, which hooks handle and `rigup events` prints.

use serde_json::{Map, Value};

use crate::clock;
use crate::model::text_enum::text_enum;
use crate::model::{Daemon, Process};

text_enum! {
    /// An event in the life of a daemon, with the name of its hooks.
    pub(crate) enum LifecycleEvent {
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
    }
}

impl LifecycleEvent {
    /// Returns the record of the event, which happens now: its name and time, and the other fields of the daemon's record.
    pub(crate) fn to_record(self, daemon: &Daemon, process: Option<&Process>) -> Value {
        let mut record = Map::new();
        record.insert("type".to_owned(), self.as_str().into());
        record.insert("at".to_owned(), clock::format(clock::now()).into());
        if let Value::Object(fields) = daemon.to_record(process) {
            record.extend(fields.into_iter().filter(|(key, _)| key != "type"));
        }
        Value::Object(record)
    }
}
