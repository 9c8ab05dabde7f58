//! The configuration that curl reads from its standard input, so that no other user sees the secrets in it.

use std::path::Path;

use crate::toolkit::http::downloader::{CONNECT_TIMEOUT, STALL_TIMEOUT, USER_AGENT};
use crate::toolkit::http::transfer_options::{TransferKind, TransferOptions};

/// How many redirects of a page curl follows.
const MAX_PAGE_REDIRECTS: u32 = 5;

/// A configuration of curl.
#[derive(Debug, Default)]
pub(super) struct CurlConfig(String);

impl CurlConfig {
    /// Returns the configuration of transfers. What the user's own ~/.curlrc says besides applies to all of them.
    pub(super) fn new(options: &TransferOptions<'_>) -> Self {
        let mut config = Self::default();
        for header in options.headers {
            config.set("header", header);
        }
        config.set("user-agent", USER_AGENT);
        config.set("connect-timeout", &CONNECT_TIMEOUT.to_string());
        if let Some(limit) = options.max_bytes {
            config.set("max-filesize", &limit.to_string());
        }
        config.0 += "silent\nshow-error\ngloboff\nno-include\nnetrc-optional\n";
        match options.kind {
            TransferKind::File { offset } => {
                config.set("proto", "=http,https");
                config.set("speed-limit", "1");
                config.set("speed-time", &STALL_TIMEOUT.to_string());
                if offset > 0 {
                    config.set("continue-at", &offset.to_string());
                }
                config.0 += "no-location\nno-location-trusted\n";
            }
            TransferKind::Page { max_time } => {
                config.set("proto", "=https,http,file");
                config.set("proto-redir", "=https,http");
                config.set("max-redirs", &MAX_PAGE_REDIRECTS.to_string());
                config.set("max-time", &max_time.as_secs().to_string());
                config.0 += "location\nno-location-trusted\ncompressed\n";
            }
        }
        config
    }

    /// Adds an address, and the file that its content is written to.
    pub(super) fn add(&mut self, url: &str, file: &Path) {
        self.set("url", url);
        self.set("output", &file.to_string_lossy());
    }

    /// Keeps curl from waiting for the first response of a server, which says whether it has HTTP/2: without TLS, servers
    /// have not, and one slow page would delay the others.
    pub(super) fn use_http_1_1(&mut self) {
        self.0 += "http1.1\n";
    }

    /// Adds an option with a value.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.0.extend([key, " = ", &quoted(value), "\n"]);
    }

    /// Returns the text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Quotes a value.
fn quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_whatever_it_contains() {
        assert_eq!(quoted("a \"b\" \\c\r\nurl = x"), r#""a \"b\" \\c\r\nurl = x""#);
    }
}
