//! The process that holds a lock, as the lock's file names it.

use std::fmt;

use crate::model::Identity;
use crate::process::system::{self, BOOT_ID, PID_NAMESPACE};

/// The holder of a lock: its pid, and what tells whether that can be compared with a pid of this process. A file that is
/// being written, or that another version of rigup wrote, may hold less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder(pub(super) String);

impl Holder {
    /// Returns the process with this pid.
    pub(super) fn of(pid: u32) -> Self {
        let known = system::entry(pid).zip(*PID_NAMESPACE);
        Self(known.map_or_else(
            || format!("{pid}\n"),
            |(entry, namespace)| format!("{pid} {} {} {namespace}\n", entry.start_ticks, *BOOT_ID),
        ))
    }

    /// Whether this process holds the lock.
    pub(crate) fn is_this_process(&self) -> bool {
        *self == Self::of(std::process::id())
    }

    /// Returns the identity of the holder, or `None` if it cannot be known here: a holder in another container, or on
    /// another machine, may have the pid of any process of this one.
    pub(super) fn identity(&self) -> Option<Identity> {
        let [pid, start_ticks, boot_id, namespace] = self.fields()?;
        if boot_id != *BOOT_ID || namespace.parse().ok() != *PID_NAMESPACE {
            return None;
        }
        Some(Identity {
            pid: pid.parse().ok()?,
            start_ticks: start_ticks.parse().ok()?,
            boot_id: boot_id.to_owned(),
        })
    }

    /// Returns everything that the file names, or `None` if it is not complete.
    fn fields(&self) -> Option<[&str; 4]> {
        let fields: Vec<&str> = self.0.strip_suffix('\n')?.split(' ').collect();
        fields.try_into().ok()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split_whitespace().next().unwrap_or_default())?;
        let is_elsewhere = self.fields().is_some() && self.identity().is_none();
        f.write_str(if is_elsewhere { " of another pid namespace" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_compared_only_with_processes_of_its_pid_namespace() {
        let this = Holder::of(std::process::id());
        assert_eq!(this.identity(), system::entry(std::process::id()).map(|entry| entry.identity()));
        let [pid, start, boot, namespace] = this.fields().unwrap();
        for (text, shown) in [
            (format!("{pid}\n"), pid.to_owned()),
            (format!("{pid} {start} {boot} {namespace}"), pid.to_owned()),
            (format!("{pid} {start} {boot} 1\n"), format!("{pid} of another pid namespace")),
            (format!("{pid} {start} other {namespace}\n"), format!("{pid} of another pid namespace")),
            (String::new(), String::new()),
        ] {
            let holder = Holder(text);
            assert_eq!((holder.identity(), holder.to_string()), (None, shown));
        }
    }
}
