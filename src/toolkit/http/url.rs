//! The addresses that rigup downloads from.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use fluent_uri::component::Authority;
use fluent_uri::{Uri, UriRef};

use crate::fs::digest;

/// The address of a file or of an API: `https`, or `http` on this machine. It has neither a user nor a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    uri: Uri<String>,
    /// Whether `http` is allowed on any host.
    allows_http: bool,
}

/// An address that rigup does not download from. No message contains an address with a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    /// The text is not an absolute address.
    #[error("{0:?} is not an address such as https://example.org/x.tar.gz")]
    Invalid(String),
    /// The text is not the name of a server.
    #[error("{0:?} is not a host such as gitlab.com")]
    Host(String),
    /// The scheme is not `https`, and the host is not this machine.
    #[error("cannot download {0}: only https is allowed, or http on this machine")]
    Insecure(String),
    /// The address contains a user or a password.
    #[error("cannot download from {0}: the address contains a user or a password; put them into ~/.netrc")]
    Credentials(String),
    /// A variable names an address that cannot be used.
    #[error("cannot use {0}: {1}")]
    Variable(&'static str, Box<UrlError>),
}

/// The server that an address names: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerOrigin {
    scheme: String,
    host: String,
    port: String,
}

impl Url {
    /// Parses an address. Characters that an address must encode, such as blanks, are encoded.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let invalid = || UrlError::Invalid(text.split(['?', '#', '@']).next().unwrap_or_default().to_owned());
        Self::check(Uri::parse(encoded(text)).map_err(|_| invalid())?, false)
    }

    /// Parses an address that a setting of the user names: it may be one of `http`, and so may the redirects from it.
    pub(crate) fn of_setting(text: &str) -> Result<Self, UrlError> {
        match Self::parse(text) {
            Err(UrlError::Insecure(_)) => {
                let uri = Uri::parse(encoded(text)).map_err(|_| UrlError::Invalid(text.to_owned()))?;
                Self::check(uri, true)
            }
            parsed => parsed.map(|url| Self { allows_http: true, ..url }),
        }
    }

    /// Returns the address of a server: `https`, or `http` on this machine. The name may have a port.
    pub(crate) fn of_host(name: &str) -> Result<Self, UrlError> {
        let is_name = !name.is_empty() && !name.contains(['/', '?', '#', '@', '\\']);
        let url = Self::parse(&format!("https://{name}")).ok().filter(|_| is_name);
        let url = url.ok_or_else(|| UrlError::Host(name.to_owned()))?;
        if is_this_machine(&url.host()) { Self::parse(&format!("http://{name}")) } else { Ok(url) }
    }

    /// Returns the address that a redirect leads to.
    pub(crate) fn join(&self, location: &str) -> Result<Self, UrlError> {
        let invalid =
            || UrlError::Invalid(location.split(['?', '#', '@']).next().unwrap_or_default().to_owned());
        let location = encoded(location);
        let location = UriRef::parse(location.as_str()).map_err(|_| invalid())?;
        let base = self.uri.strip_fragment();
        Self::check(location.resolve_against(&base).map_err(|_| invalid())?, self.allows_http)
    }

    fn check(uri: Uri<String>, allows_http: bool) -> Result<Self, UrlError> {
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
            return Err(UrlError::Invalid(uri.into_string()));
        };
        let host = authority.host().to_owned();
        if authority.userinfo().is_some() {
            return Err(UrlError::Credentials(host));
        }
        let is_secure = match uri.scheme().as_str().to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => allows_http || is_this_machine(&host),
            _ => false,
        };
        if !is_secure {
            let end = uri.as_str().find(['?', '#']).unwrap_or(uri.as_str().len());
            return Err(UrlError::Insecure(uri.as_str()[..end].to_owned()));
        }
        Ok(Self { uri, allows_http })
    }

    /// Returns the server.
    pub(crate) fn origin(&self) -> ServerOrigin {
        let scheme = self.uri.scheme().as_str().to_ascii_lowercase();
        let default = if scheme == "https" { "443" } else { "80" };
        let authority = self.uri.authority();
        let port = authority.as_ref().and_then(Authority::port).map(|port| port.as_str().to_owned());
        let port = port.filter(|port| !port.is_empty()).unwrap_or_else(|| default.to_owned());
        ServerOrigin { scheme, host: self.host(), port }
    }

    /// Returns the name or the address of the server, in lower case.
    pub(crate) fn host(&self) -> String {
        self.uri.authority().map(|authority| authority.host().to_ascii_lowercase()).unwrap_or_default()
    }

    /// Returns the server as `gh` and `GITHUB_SERVER_URL` write it: `github.com`, `localhost:3000`.
    pub(crate) fn host_and_port(&self) -> String {
        let port = self.uri.authority().and_then(|authority| authority.port()).map(|port| format!(":{port}"));
        self.host() + &port.unwrap_or_default()
    }

    /// Returns the parts of the path, decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        decoded_parts(self.uri.path().as_str())
    }

    /// Returns the parts of the fragment, decoded, or `None` if there is no fragment.
    pub(crate) fn fragment_segments(&self) -> Option<Vec<String>> {
        self.uri.fragment().map(|fragment| decoded_parts(fragment.as_str()))
    }

    /// Returns the name of the file, or `None` if the path ends in a slash.
    pub(crate) fn file_name(&self) -> Option<String> {
        if self.uri.path().as_str().ends_with('/') { None } else { self.segments().pop() }
    }

    /// Returns the address without its query, which may hold a signature.
    pub(crate) fn without_query(&self) -> &str {
        let text = self.uri.as_str();
        &text[..text.find(['?', '#']).unwrap_or(text.len())]
    }

    /// Returns the whole address.
    pub(crate) fn as_str(&self) -> &str {
        self.uri.as_str()
    }
}

/// The address without its query.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.without_query())
    }
}

/// Returns the path that a `file` address names, or `None` if it is another address.
pub(crate) fn local_path(text: &str) -> Option<PathBuf> {
    let text = encoded(text);
    let uri = Uri::parse(text.as_str()).ok()?;
    let host = uri.authority().map(|authority| authority.host().to_ascii_lowercase()).unwrap_or_default();
    let is_local = uri.scheme().as_str().eq_ignore_ascii_case("file") && ["", "localhost"].contains(&&*host);
    is_local.then(|| PathBuf::from(OsString::from_vec(uri.path().decode().to_bytes().into_owned())))
}

/// Returns the parts of a path, decoded.
fn decoded_parts(path: &str) -> Vec<String> {
    let decoded =
        |part: &str| match fluent_uri::pct_enc::EStr::<fluent_uri::pct_enc::encoder::Path>::new(part) {
            Some(part) => part.decode().to_string_lossy().into_owned(),
            None => part.to_owned(),
        };
    path.split('/').filter(|part| !part.is_empty()).map(decoded).collect()
}

/// Returns whether a host is this machine, so that no one can read or change what is sent to it.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns any URL without its user, password and query.
pub(crate) fn redacted(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}/{path}")
}

/// Encodes a text as one part of a path.
pub(crate) fn encoded_part(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Encodes the characters that an address must not contain as they are.
fn encoded(text: &str) -> String {
    let text = text.trim();
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => encoded.push(char::from(byte)),
            _ => encoded.extend(["%", &digest::hex(&[byte]).to_ascii_uppercase()]),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_leads_to_this_machine() {
        for good in [
            "https://example.org/x",
            "http://127.0.0.1:80/x",
            "http://localhost/x",
            "http://[::1]:3000/x",
            "HTTPS://Example.org/a b",
        ] {
            assert!(Url::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://example.org/x",
            "http://127.0.0.1.example.org/x",
            "file:///etc/passwd",
            "example.org/x",
            "",
            "https:///x",
            "https://user:canary@example.org/x",
            "https://canary@localhost/x",
        ] {
            let error = Url::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_redirect_is_relative_to_its_page_and_stays_secure() {
        let url = Url::parse("https://example.org/a/b?c#d").unwrap();
        assert_eq!(url.join("/x/y z?q").unwrap().as_str(), "https://example.org/x/y%20z?q");
        assert_eq!(url.join("//other.org/x").unwrap().host(), "other.org");
        assert!(matches!(url.join("http://example.org/x"), Err(UrlError::Insecure(_))));
        assert_eq!(url.to_string(), "https://example.org/a/b");
    }

    #[test]
    fn servers_differ_in_scheme_host_or_port() {
        let origin = |text: &str| Url::parse(text).unwrap().origin();
        assert_eq!(origin("https://Example.org/a"), origin("https://example.org:443/b"));
        for other in ["https://example.org:444/", "https://a.example.org/"] {
            assert_ne!(origin("https://example.org/"), origin(other));
        }
    }

    #[test]
    fn the_file_name_is_decoded() {
        let name = |text: &str| Url::parse(text).unwrap().file_name();
        assert_eq!(name("https://example.org/a/b%2Bc.gz?x=/y").as_deref(), Some("b+c.gz"));
        assert_eq!(name("https://example.org/a/"), None);
    }

    #[test]
    fn a_url_is_shown_without_credentials() {
        for (url, expected) in [
            ("https://user:pass@x.org/simple/?token=1", "https://x.org/simple/"),
            ("https://x.org", "https://x.org/"),
            ("file:///a@b", "file:///a@b"),
        ] {
            assert_eq!(redacted(url), expected);
        }
    }
}
