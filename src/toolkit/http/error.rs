//! The errors of downloads.

use std::io;

use crate::toolkit::http::url::{Url, UrlError};

/// How many redirects are followed: as many as by browsers.
pub(super) const MAX_REDIRECTS: usize = 20;

/// An error of a download.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// No program that downloads.
    #[error("neither curl nor wget is on PATH; install one with `apt-get install curl`")]
    NoDownloader,
    /// The address cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// curl or wget cannot be run.
    #[error("{0}")]
    NotStarted(String),
    /// The server sent another status than that of a success.
    #[error("cannot download {0}: the server sent the status {1}{next}", next = next_step(*.1))]
    Status(Url, u16),
    /// The transfer failed.
    #[error("cannot download {0}: {1}; check the network and the proxy")]
    Failed(Url, String),
    /// Each transfer ended before the end of the file: the address, the bytes that there are, those of the file if the server says, how
    /// often it was tried, and the reason.
    #[error(
        "cannot download {0}: the server sent {1}{of} bytes in the last of {3} tries: {4}; try again later",
        of = .2.map(|size| format!(" of {size}")).unwrap_or_default()
    )]
    Cut(String, u64, Option<u64>, u32, String),
    /// The file cannot be written.
    #[error("cannot download {0}: {1}; check the free space")]
    NotWritten(Url, String),
    /// The file is larger than it may be.
    #[error("cannot download {0}: the file is larger than {1} bytes")]
    TooLarge(Url, u64),
    /// Redirects lead nowhere.
    #[error("cannot download {0}: more than {MAX_REDIRECTS} redirects")]
    Redirects(Url),
    /// A signal.
    #[error("interrupted by signal {0}")]
    Interrupted(i32),
    /// A file cannot be written.
    #[error(transparent)]
    Io(io::Error),
}

/// Returns what to do about a status; empty if it does not say.
fn next_step(status: u16) -> &'static str {
    match status {
        404 | 410 => "; check the address",
        500.. => "; try again later",
        _ => "",
    }
}
