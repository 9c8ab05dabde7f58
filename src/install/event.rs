//! What happens to a request while it is resolved.

use crate::model::attempt::Attempt;
use crate::model::plugin_name::ProviderName;

/// A step of a request on its way to an installed binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallEvent {
    /// Another rigup holds the lock of the name.
    Waiting {
        /// The pid of the process that holds the lock, with a remark if it is in another pid namespace.
        holder: String,
    },
    /// A provider's hook is started.
    Started {
        /// The provider.
        provider: ProviderName,
    },
    /// The last line that the hook has written to standard error.
    Output {
        /// The line, trimmed.
        line: String,
    },
    /// A provider was tried.
    Attempted(Attempt),
    /// A problem that does not change the outcome.
    Warning(String),
    /// A remark on a provider. Several requests may report the same one, and a reader wants to see it once.
    Notice(String),
    /// Nothing more happens to the request.
    Finished,
}
