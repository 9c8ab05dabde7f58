//! The pages of registries about packages.

/// A page of a registry about the package of a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistryPage {
    /// The name of the binary.
    pub name: String,
    /// The URL of the page.
    pub url: String,
    /// The headers of the request, which may contain credentials.
    pub headers: Vec<String>,
}

impl RegistryPage {
    /// Parses the lines that a hook writes: a name, a URL and headers, separated by tabs. Skips lines without a URL.
    pub(crate) fn parse_lines(input: &str) -> Vec<Self> {
        let page = |line: &str| {
            let mut fields = line.split('\t').filter(|field| !field.is_empty()).map(str::to_owned);
            Some(Self { name: fields.next()?, url: fields.next()?, headers: fields.collect() })
        };
        input.lines().filter_map(page).collect()
    }
}
