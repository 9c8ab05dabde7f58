//! The events of a request while it is resolved.

use crate::model::{Attempt, ProviderName};

/// An event of a request that is being resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallEvent {
    /// Another rigup holds the lock of the name: the process with this pid, with a note if it is in another pid
    /// namespace.
    Waiting(String),
    /// The hook of this provider is about to start.
    Started(ProviderName),
    /// The last line that the hook has written to standard error, trimmed.
    Output(String),
    /// A provider was tried.
    Attempted(Attempt),
    /// A problem that does not change the outcome.
    Warning(String),
    /// A note about a provider, or about a hook that served several requests. Each request may report the same one, which
    /// is shown only once.
    Notice(String),
    /// The last event of the request.
    Finished,
}
