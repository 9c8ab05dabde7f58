//! What happens to a request while it is resolved.

use crate::model::{Attempt, ProviderName};

/// A step of a request on its way to an installed binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallEvent {
    /// Another rigup holds the lock of the name: the process with this pid, with a remark if it is in another pid
    /// namespace.
    Waiting(String),
    /// The hook of this provider is started.
    Started(ProviderName),
    /// The last line that the hook has written to standard error, trimmed.
    Output(String),
    /// A provider was tried.
    Attempted(Attempt),
    /// A problem that does not change the outcome.
    Warning(String),
    /// A remark on a provider. Several requests may report the same one, and a reader wants to see it once.
    Notice(String),
    /// Nothing more happens to the request.
    Finished,
}
