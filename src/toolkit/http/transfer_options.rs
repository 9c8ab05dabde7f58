//! What curl or wget transfers, and how.

use std::time::Duration;

/// How files are transferred.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransferOptions<'a> {
    /// The headers of the request. Each but `Accept` may be a secret.
    pub(super) headers: &'a [String],
    /// The size of a file, in bytes, at which the transfer fails.
    pub(super) max_bytes: Option<u64>,
    pub(super) kind: TransferKind,
}

/// What is transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferKind {
    /// A file, whose redirects are returned. The first `offset` bytes exist.
    File { offset: u64 },
    /// A page of a registry, whose redirects are followed, within a time.
    Page { max_time: Duration },
}
