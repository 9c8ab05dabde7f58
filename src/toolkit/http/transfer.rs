//! The transfer of one file by curl or wget.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fs::remove::ignore_missing;
use crate::toolkit::http::curl_config::CurlConfig;
use crate::toolkit::http::downloader::{
    CONNECT_TIMEOUT, Downloader, DownloaderKind, STALL_TIMEOUT, USER_AGENT,
};
use crate::toolkit::http::error::HttpError;
use crate::toolkit::http::headers::Headers;
use crate::toolkit::http::transfer_options::{TransferKind, TransferOptions};

/// The longest transfer of a file. The hook that waits for it has a time limit of its own.
const TIME_LIMIT: Duration = Duration::from_hours(12);

/// The result of a transfer.
#[derive(Debug)]
pub(super) struct Transferred {
    /// The response; its status is 0 if there was none.
    pub(super) headers: Headers,
    /// Why the transfer failed, or `None` if the whole body was received.
    pub(super) failure: Option<TransferFailure>,
}

/// The failure of a transfer.
#[derive(Debug)]
pub(super) struct TransferFailure {
    pub(super) reason: String,
    /// Whether another try may succeed: the connection broke.
    pub(super) is_transient: bool,
    /// Whether the file is larger than allowed.
    pub(super) is_too_large: bool,
    /// Whether the file cannot be written.
    pub(super) is_unwritable: bool,
}

impl Downloader<'_> {
    /// Transfers a file.
    pub(super) fn transfer(
        &self,
        url: &str,
        file: &Path,
        options: &TransferOptions<'_>,
    ) -> Result<Transferred, HttpError> {
        if !matches!(options.kind, TransferKind::File { offset: 1.. }) {
            ignore_missing(fs_err::remove_file(file)).map_err(HttpError::Io)?;
        }
        match self.kind {
            DownloaderKind::Curl => self.curl(url, file, options),
            DownloaderKind::Wget | DownloaderKind::SmallWget => self.wget(url, file, options),
        }
    }

    fn curl(&self, url: &str, file: &Path, options: &TransferOptions<'_>) -> Result<Transferred, HttpError> {
        let headers = tempfile::NamedTempFile::new().map_err(HttpError::Io)?;
        let mut config = CurlConfig::new(options);
        config.add(url, file);
        config.set("dump-header", &headers.path().to_string_lossy());
        let exit =
            self.start(vec!["--config".into(), "-".into()], config.as_str(), TIME_LIMIT, options.max_bytes)?;
        let headers = Headers::parse(&fs_err::read_to_string(headers.path()).unwrap_or_default());
        // The numbers are those of `man curl`: a partial file, a timeout, or an error of the connection or of HTTP/2.
        let is_transient = matches!(exit.exit_code, Some(18 | 28 | 52 | 55 | 56 | 92));
        let is_too_large = exit.exit_code == Some(63) || options.is_exceeded_by(file);
        let failure = (is_too_large || exit.exit_code != Some(0)).then(|| {
            let reason = options.reason(is_too_large, "curl: ", &exit.stderr);
            TransferFailure { reason, is_transient, is_too_large, is_unwritable: exit.exit_code == Some(23) }
        });
        Ok(Transferred { headers, failure })
    }

    fn wget(&self, url: &str, file: &Path, options: &TransferOptions<'_>) -> Result<Transferred, HttpError> {
        let is_secret = |header: &&String| !header.to_ascii_lowercase().starts_with("accept:");
        let secrets: Vec<&String> = options.headers.iter().filter(is_secret).collect();
        let mut args: Vec<OsString> = vec!["-S".into(), "-O".into(), file.into()];
        args.extend(
            options
                .headers
                .iter()
                .filter(|header| !is_secret(header))
                .flat_map(|header| ["--header".into(), header.into()]),
        );
        let mut config = None;
        if self.kind == DownloaderKind::SmallWget {
            let is_page = matches!(options.kind, TransferKind::Page { .. });
            if !secrets.is_empty() || is_page && has_credentials(url) {
                let reason =
                    "only curl and GNU wget can keep its credentials secret; install curl".to_owned();
                let failure = TransferFailure {
                    reason,
                    is_transient: false,
                    is_too_large: false,
                    is_unwritable: false,
                };
                return Ok(Transferred { headers: Headers::default(), failure: Some(failure) });
            }
            args.push(url.into());
        } else {
            let (timeout, follows) = match options.kind {
                TransferKind::File { .. } => (STALL_TIMEOUT.into(), false),
                // wget sends the headers to every server that redirects lead to.
                TransferKind::Page { max_time } => (max_time.as_secs(), secrets.is_empty()),
            };
            args.extend(["--no-verbose", "--tries=1", "--no-iri", "--input-file=-"].map(OsString::from));
            args.extend((!follows).then(|| "--max-redirect=0".into()));
            args.push(format!("--timeout={timeout}").into());
            args.push(format!("--connect-timeout={CONNECT_TIMEOUT}").into());
            args.push(format!("--user-agent={USER_AGENT}").into());
            if !secrets.is_empty() {
                // wget reads no headers from standard input. The file takes the place of the user's own one.
                let file = self.wgetrc(&secrets).map_err(HttpError::Io)?;
                args.push(format!("--config={}", file.path().display()).into());
                config = Some(file);
            }
        }
        let time_limit = match options.kind {
            TransferKind::File { .. } => TIME_LIMIT,
            TransferKind::Page { max_time } => max_time,
        };
        let exit = self.start(args, url, time_limit, options.max_bytes)?;
        drop(config);
        let headers = Headers::parse(&exit.stderr);
        let has_response = headers.status >= 300;
        let is_too_large = options.is_exceeded_by(file);
        let failure = (is_too_large || exit.exit_code != Some(0) && !has_response).then(|| {
            let reason = options.reason(is_too_large, "wget: ", &exit.stderr);
            let is_unwritable = exit.exit_code == Some(3);
            TransferFailure {
                reason,
                is_transient: headers.status == 200 && !is_unwritable,
                is_too_large,
                is_unwritable,
            }
        });
        Ok(Transferred { headers, failure })
    }

    /// Writes a configuration file with the user's own settings and headers.
    fn wgetrc(&self, headers: &[&String]) -> io::Result<tempfile::NamedTempFile> {
        let environment = &self.settings.environment;
        let own = environment.get("WGETRC").map(PathBuf::from);
        let own = own.or_else(|| Some(self.settings.home.as_ref()?.join(".wgetrc")));
        let mut text = own.and_then(|path| fs_err::read_to_string(path).ok()).unwrap_or_default();
        for header in headers {
            text.extend(["\nheader = ", header, "\n"]);
        }
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    }
}

/// Whether an address has a user, a password or a query, each of which may be a secret.
fn has_credentials(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.contains('?') || rest.split('/').next().is_some_and(|authority| authority.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_contain_credentials() {
        for secret in ["https://user:pass@x.org/a", "https://x.org/a?token=1"] {
            assert!(has_credentials(secret), "{secret}");
        }
        for open in ["https://x.org/a@b", "https://x.org", "file:///a@b"] {
            assert!(!has_credentials(open), "{open}");
        }
    }
}
