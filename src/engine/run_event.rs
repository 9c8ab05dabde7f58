//! The notifications about the events of `rigup run`.

use serde_json::{Map, Value};

use crate::engine::apply::BatchOutput;
use crate::hook::reporter::HookEvent;
use crate::model::Process;
use crate::plugin::discovery::Hook;

/// A notification about the events of `rigup run`.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// About a hook.
    Hook(&'a Hook, HookEvent<'a>),
    /// About an event that a record started.
    Followed(FollowEvent<'a>),
    /// The records that a hook, `plugin/file name`, printed were applied.
    Applied(String, BatchOutput),
}

impl RunEvent<'_> {
    /// Returns the type of the record that a hook printed, or `None` if this is about something else.
    pub(super) fn record_type(&self) -> Option<&str> {
        match self {
            Self::Hook(_, HookEvent::Record(record)) => Some(&record.kind),
            // Other records have no name of a hook, except for those about the hooks themselves.
            Self::Followed(FollowEvent::Record(record)) if record.contains_key("hook_name") => {
                record.get("type")?.as_str().filter(|kind| *kind != "Process")
            }
            _ => None,
        }
    }
}

/// A notification about an event that a record started.
#[derive(Debug)]
pub enum FollowEvent<'a> {
    /// A hook of it printed a record, or exited: then this is its Process record.
    Record(Map<String, Value>),
    /// The event with this value printed a line to standard error: a warning or an error.
    Message(&'a str, String),
    /// Events were not started, for this reason.
    NotStarted(String),
    /// It ended, or could not be started.
    Ended(&'a EndedEvent),
}

/// An event that a record started and that has ended.
#[derive(Debug)]
pub struct EndedEvent {
    /// Its name.
    pub name: String,
    /// The URL of the record, or else its id.
    pub value: String,
    /// The record of its process; `None` if it ended before it had one.
    pub process: Option<Process>,
    /// Why it did not do its work, if that is not the failure of a hook.
    pub problem: Option<String>,
}
