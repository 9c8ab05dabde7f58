//! What curl or wget transfers, and how.

use std::path::Path;
use std::time::Duration;

/// How wget's summary of several files begins, which is not about the last one.
const SUMMARY: [&str; 3] = ["FINISHED --", "Total wall clock time:", "Downloaded: "];

/// How files are transferred.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransferOptions<'a> {
    /// The headers of the request. Each but `Accept` may be a secret.
    pub(super) headers: &'a [String],
    /// The size of a file, in bytes, at which the transfer fails.
    pub(super) max_bytes: Option<u64>,
    pub(super) kind: TransferKind,
}

impl TransferOptions<'_> {
    /// Returns whether a file is larger than allowed.
    pub(super) fn is_exceeded_by(&self, file: &Path) -> bool {
        self.max_bytes.is_some_and(|limit| file.metadata().is_ok_and(|metadata| metadata.len() > limit))
    }

    /// Returns why a transfer failed: what a program, whose lines begin with `name`, wrote to `stderr` unless the file is too
    /// large.
    pub(super) fn reason(&self, is_too_large: bool, name: &str, stderr: &str) -> String {
        match self.max_bytes {
            Some(limit) if is_too_large => format!("the file is larger than {limit} bytes"),
            _ => {
                let line = last_line(stderr);
                line.strip_prefix(name).unwrap_or(line).to_owned()
            }
        }
    }
}

/// Returns the last line that says something about a transfer.
pub(super) fn last_line(text: &str) -> &str {
    let is_of_transfer =
        |line: &&str| !line.is_empty() && !SUMMARY.iter().any(|start| line.starts_with(start));
    text.lines().map(str::trim).rfind(is_of_transfer).unwrap_or("no error message")
}

/// What is transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferKind {
    /// A file, whose redirects are returned. The first `offset` bytes exist.
    File { offset: u64 },
    /// A page of a registry, whose redirects are followed, within a time.
    Page { max_time: Duration },
}
