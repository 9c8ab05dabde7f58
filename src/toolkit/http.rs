//! Downloads over HTTP, by curl or wget, with the user's own proxies and certificates.
//!
//! rigup follows the redirects of a file itself, so that a token is sent only to the server that it is for. Pages of
//! registries are downloaded by one curl, many at a time.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::toolkit::http::downloader::Downloader;
use crate::toolkit::http::error::{HttpError, MAX_REDIRECTS};
use crate::toolkit::http::headers::Headers;
use crate::toolkit::http::pages::{DownloadedPage, PageDownload, PageRequest};
use crate::toolkit::http::transfer::Transferred;
use crate::toolkit::http::transfer_options::{TransferKind, TransferOptions};
use crate::toolkit::http::url::{ServerOrigin, Url};

mod curl_config;
mod downloader;
pub(crate) mod error;
pub(crate) mod headers;
pub(crate) mod pages;
mod transfer;
mod transfer_options;
pub(crate) mod url;

/// How often a transfer is tried whose connection breaks, and how long to wait before the second try. Each further wait is
/// longer by as much.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// A token for a server.
#[derive(Clone)]
pub(crate) struct Credential {
    /// The header that contains the token.
    pub(crate) header: String,
    /// The only server that it is sent to.
    pub(crate) origin: ServerOrigin,
}

/// An address to download, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpRequest<'a> {
    /// The address.
    pub(crate) url: &'a Url,
    /// The `Accept` header.
    pub(crate) accept: &'a str,
    /// The token.
    pub(crate) credential: Option<&'a Credential>,
    /// The largest file, in bytes.
    pub(crate) max_bytes: Option<u64>,
    /// Whether redirects are followed.
    pub(crate) follows: bool,
}

/// The header is a secret.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Downloads files.
#[derive(Debug)]
pub(crate) struct HttpClient<'a>(Downloader<'a>);

impl<'a> HttpClient<'a> {
    /// Finds curl or wget on PATH.
    pub(crate) fn find(settings: &'a Settings, interrupt: &'a Interrupt) -> Result<Self, HttpError> {
        Ok(Self(Downloader::find(settings, interrupt)?))
    }

    /// Downloads a file, whatever the status. If the connection breaks, what was received is kept, and the rest is
    /// requested.
    pub(crate) fn get(&self, request: HttpRequest<'_>, file: &Path) -> Result<Headers, HttpError> {
        let mut url = request.url.clone();
        let (mut redirects, mut tries, mut offset) = (0, 0, 0);
        let mut can_resume = self.0.can_resume();
        loop {
            let is_for_server = |credential: &&Credential| credential.origin == url.origin();
            let credential = request.credential.filter(|_| self.0.can_keep_secrets()).filter(is_for_server);
            let mut request_headers = vec![format!("Accept: {}", request.accept)];
            request_headers.extend(credential.map(|credential| credential.header.clone()));
            let options = TransferOptions {
                headers: &request_headers,
                max_bytes: request.max_bytes,
                kind: TransferKind::File { offset },
            };
            let Transferred { headers, failure } = self.0.transfer(url.as_str(), file, &options)?;
            let status = headers.status;
            if let Some(failure) = failure {
                if failure.is_too_large {
                    return Err(HttpError::TooLarge(url, request.max_bytes.unwrap_or_default()));
                }
                if failure.is_unwritable {
                    return Err(HttpError::NotWritten(request.url.clone(), failure.reason));
                }
                if !failure.is_transient && offset > 0 {
                    // The server does not send the rest of a file.
                    (offset, can_resume, url) = (0, false, request.url.clone());
                    continue;
                }
                tries += 1;
                let received = file.metadata().map_or(0, |metadata| metadata.len());
                if !failure.is_transient || tries >= TRIES {
                    let url = request.url.clone();
                    return Err(match received {
                        0 => HttpError::Failed(url, failure.reason),
                        _ => HttpError::Cut(url.to_string(), received, headers.size(), tries, failure.reason),
                    });
                }
                offset = if can_resume && matches!(status, 200 | 206) { received } else { 0 };
                if offset == 0 {
                    url = request.url.clone();
                }
                poll::pause(Instant::now() + tries * PAUSE);
                continue;
            }
            if offset > 0 && status != 206 {
                // The address has expired, or the file has changed.
                (offset, can_resume, url) = (0, false, request.url.clone());
                tries += 1;
                if tries < TRIES {
                    continue;
                }
            }
            if matches!(status, 500 | 502..=504) && tries + 1 < TRIES {
                tries += 1;
                poll::pause(Instant::now() + tries * PAUSE);
                continue;
            }
            match headers.get("location").filter(|_| matches!(status, 301..=303 | 307 | 308)) {
                Some(location) if request.follows => {
                    redirects += 1;
                    if redirects > MAX_REDIRECTS {
                        return Err(HttpError::Redirects(request.url.clone()));
                    }
                    url = url.join(location)?;
                }
                _ => return Ok(headers),
            }
        }
    }

    /// Downloads a text of at most `max_bytes`, whatever the status.
    pub(crate) fn text(&self, request: HttpRequest<'_>) -> Result<(Headers, String), HttpError> {
        let file = tempfile::NamedTempFile::new().map_err(HttpError::Io)?.into_temp_path();
        let headers = self.get(request, &file)?;
        // Without a body, curl and wget write no file.
        let bytes = fs_err::read(&file).unwrap_or_default();
        Ok((headers, String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Downloads pages of registries, several at a time, and returns their files in the same order.
    pub(crate) fn pages(
        &self,
        download: &PageDownload<'_>,
        pages: &[&PageRequest],
    ) -> Result<Vec<DownloadedPage>, HttpError> {
        download.run(&self.0, pages)
    }
}
