//! The status and the headers of an HTTP response, as curl and wget print them.

/// The last response of a transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers {
    /// The status code; 0 if there was no response.
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
}

impl Headers {
    /// Parses the headers of a transfer. Those of a proxy, or of an earlier response, come first and do not count.
    pub(crate) fn parse(text: &str) -> Self {
        let mut headers = Self::default();
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("HTTP/") {
                let status = rest.split_whitespace().nth(1).and_then(|status| status.parse().ok());
                headers = Self { status: status.unwrap_or_default(), fields: Vec::new() };
            } else if let Some((name, value)) = line.split_once(':') {
                headers.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        headers
    }

    /// Returns the value of a header, or `None` if there is none. The name is in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Returns the size of the whole file, of which the response may be a part, or `None` if the server does not say.
    pub(crate) fn size(&self) -> Option<u64> {
        let of_range = || self.get("content-range")?.rsplit_once('/')?.1.parse().ok();
        if self.status == 206 { of_range() } else { self.get("content-length")?.parse().ok() }
    }

    /// Returns the address of the next page in the `Link` header, or `None` if this is the last one.
    pub(crate) fn next_page(&self) -> Option<&str> {
        let links = self.get("link")?.split(',');
        links.map(str::trim).find_map(|link| {
            let (url, parameters) = link.strip_prefix('<')?.split_once('>')?;
            let is_next = |parameter: &str| {
                let value = parameter.trim().strip_prefix("rel=");
                value.is_some_and(|value| value.trim_matches('"').split(' ').any(|rel| rel == "next"))
            };
            parameters.split(';').any(is_next).then_some(url)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_response_counts() {
        let text =
            "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nHTTP/2 302\r\nLocation: /x:y\r\n\r\n";
        let headers = Headers::parse(text);
        assert_eq!((headers.status, headers.get("location"), headers.get("via")), (302, Some("/x:y"), None));
        assert_eq!(Headers::parse("  HTTP/1.0 404 Not Found\n  A: b").status, 404);
        assert_eq!(Headers::parse("").status, 0);
    }

    #[test]
    fn the_size_is_that_of_the_whole_file() {
        let size = |text: &str| Headers::parse(text).size();
        assert_eq!(size("HTTP/1.1 200 OK\nContent-Length: 7\n"), Some(7));
        assert_eq!(size("HTTP/1.1 206 x\nContent-Length: 3\nContent-Range: bytes 4-6/7\n"), Some(7));
        assert_eq!(size("HTTP/1.1 206 x\nContent-Length: 3\nContent-Range: bytes 4-6/*\n"), None);
        assert_eq!(size("HTTP/1.1 200 OK\n"), None);
    }

    #[test]
    fn the_link_header_names_the_next_page() {
        let text = "HTTP/1.1 200 OK\nLink: <https://x.org/?page=1>; rel=\"prev\", <https://x.org/?page=3>; rel=\"next\"";
        assert_eq!(Headers::parse(text).next_page(), Some("https://x.org/?page=3"));
        let last = "HTTP/1.1 200 OK\nLink: <https://x.org/?page=1>; rel=\"first\"";
        assert_eq!(Headers::parse(last).next_page(), None);
    }
}
