//! A request to run events, and what it led to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::error::EngineError;
use crate::plugin::hook_name::{HookName, canonical_event};
use crate::plugin::requirement;

/// Events, with the arguments and limits of their hooks.
#[derive(Debug, Clone)]
pub struct EventRequest {
    /// The names of the events, in order and separated by commas, such as `Snapshot` or `CrawlSetup,Snapshot`.
    pub events: String,
    /// The arguments of the hooks, `--key=value` each.
    pub arguments: Vec<OsString>,
    /// The plugins whose hooks run; all enabled plugins if empty.
    pub plugins: Vec<String>,
    /// The names of the hooks that run, without number and extension; all hooks of these plugins if empty.
    pub hooks: Vec<String>,
    /// The standard input of each foreground hook; `None` for `/dev/null`.
    pub input: Option<Vec<u8>>,
    /// How long each hook may run. If `None`, the setting `<PLUGIN>_TIMEOUT` applies, or else `TIMEOUT`, or else 300 s.
    pub timeout: Option<Duration>,
    /// How long a daemon may take to print its first line. If `None`, 30 s or the setting `<PLUGIN>_TIMEOUT`, whichever is
    /// longer.
    pub ready_timeout: Option<Duration>,
    /// The folder with a subfolder for each plugin; a folder in the data dir if `None`.
    pub output_dir: Option<PathBuf>,
    /// The records that start further events.
    pub follow: Follow,
    /// Whether to resolve and store the `BinaryRequest`, Binary and Machine records of the hooks.
    pub applies_records: bool,
}

/// The type of the records that change the configuration of this machine.
const MACHINE: &str = "Machine";

/// Whether a record of this type is applied if the command applies records.
pub(super) fn is_applied(kind: &str) -> bool {
    kind == MACHINE || requirement::is_requirement(kind)
}

impl EventRequest {
    /// Whether a record of this type leads to more than its output.
    pub(super) fn handles(&self, kind: &str) -> bool {
        self.follow.follows(kind) || self.applies_records && is_applied(kind)
    }

    /// Whether a hook of the events runs, if its plugin is enabled.
    pub(super) fn selects(&self, hook: &HookName) -> bool {
        self.hooks.is_empty() || self.hooks.contains(&hook.name)
    }

    /// Returns a request for events, whose names are separated by commas, without arguments.
    pub fn new(events: impl Into<String>) -> Self {
        Self {
            events: events.into(),
            arguments: Vec::new(),
            plugins: Vec::new(),
            hooks: Vec::new(),
            input: None,
            timeout: None,
            ready_timeout: None,
            output_dir: None,
            follow: Follow::default(),
            applies_records: false,
        }
    }

    /// Returns the canonical names of the events: a trailing `Event` is dropped. No event would run twice.
    pub(crate) fn names(&self) -> Result<Vec<&str>, EngineError> {
        let mut names = Vec::new();
        for event in self.events.split(',') {
            let name = event_name(event.trim())?;
            if names.contains(&name) {
                let reason = format!("the event {name} is named twice; name each event once");
                return Err(EngineError::InvalidRequest(reason));
            }
            names.push(name);
        }
        let mut before_end = names.iter().filter_map(|name| name.strip_suffix("End"));
        if let Some(event) = before_end.find(|event| names.contains(event)) {
            let reason = format!("the event {event}End runs at the end of {event}; leave it out");
            return Err(EngineError::InvalidRequest(reason));
        }
        Ok(names)
    }
}

/// The records that start events, and the limits of these.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The types of the records, which are the names of the events.
    pub types: Vec<String>,
    /// The greatest depth of an event. Those that the hooks of the command start have the depth 1.
    pub max_depth: u32,
    /// How many of the events may run at the same time. If `None`, this is the number of cores.
    pub jobs: Option<usize>,
}

impl Default for Follow {
    /// Returns the limits, and no types.
    fn default() -> Self {
        Self { types: Vec::new(), max_depth: 1, jobs: None }
    }
}

impl Follow {
    /// Returns the names of the events.
    pub(crate) fn names(&self) -> Result<Vec<&str>, EngineError> {
        self.types.iter().map(|name| event_name(name.trim())).collect()
    }

    /// Whether records of this type start events.
    pub(crate) fn follows(&self, kind: &str) -> bool {
        let name = canonical_event(kind);
        self.types.iter().any(|followed| canonical_event(followed.trim()) == name)
    }
}

/// Normalizes an argument for hooks: `--snapshot_id=1` becomes `--snapshot-id=1`. The value does not change.
pub(crate) fn hook_argument(argument: OsString) -> Result<OsString, EngineError> {
    let mut bytes = argument.into_vec();
    let key = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
    if !bytes.starts_with(b"--") || key <= 2 {
        return Err(EngineError::InvalidRequest(format!(
            "{:?} is not an argument for hooks; write --key=value, and put rigup's own options before the event",
            String::from_utf8_lossy(&bytes)
        )));
    }
    for byte in bytes[2..key].iter_mut().filter(|byte| **byte == b'_') {
        *byte = b'-';
    }
    Ok(OsString::from_vec(bytes))
}

/// Returns the canonical name of an event, or an error if the text is not one.
fn event_name(event: &str) -> Result<&str, EngineError> {
    let name = canonical_event(event);
    if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(EngineError::InvalidRequest(format!(
            "{event:?} is not the name of an event; use a name without white space and control characters"
        )));
    }
    if name.is_empty() || name.contains('/') || name.starts_with(['.', '-']) {
        return Err(EngineError::InvalidRequest(format!(
            "{event:?} is not the name of an event; `rigup hook list` shows the events that have hooks"
        )));
    }
    Ok(name)
}

/// What events led to.
#[derive(Debug)]
pub struct EventSummary {
    /// The folder that contains the files of the hooks; `None` if they wrote none.
    pub output_dir: Option<PathBuf>,
    /// The number of hooks that failed, and of events started by records that did not succeed.
    pub failed: usize,
    /// The number of records of each type that were printed, with those of events that records started.
    pub records: BTreeMap<String, u64>,
    /// The number of records that started no event because they were too deep.
    pub too_deep: u64,
    /// The number of records that started no event because they came after the last hook of the events.
    pub too_late: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_argument_has_hyphens_and_its_value_is_not_changed() {
        let normalized =
            |text: &str| hook_argument(text.into()).ok().and_then(|argument| argument.into_string().ok());
        assert_eq!(normalized("--snapshot_id=a_b=c d").as_deref(), Some("--snapshot-id=a_b=c d"));
        assert_eq!(normalized("--dry_run").as_deref(), Some("--dry-run"));
        for invalid in ["url=x", "-u", "--", "--=x", ""] {
            assert_eq!(normalized(invalid), None, "{invalid}");
        }
        let bytes = OsString::from_vec(b"--a_b=\xff_".to_vec());
        assert_eq!(hook_argument(bytes).unwrap().into_vec(), b"--a-b=\xff_");
    }
}
