//! The pages of registries about packages.

use crate::toolkit::http::pages::PageRequest;

/// A page of a registry about the package of a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistryPage {
    /// The name of the binary.
    pub name: String,
    /// Where the page is.
    pub request: PageRequest,
}

impl RegistryPage {
    /// Parses the lines that a hook writes: a name, a URL and headers, separated by tabs. Skips lines without a URL.
    pub(crate) fn parse_lines(input: &str) -> Vec<Self> {
        let page = |line: &str| {
            let mut fields = line.split('\t').filter(|field| !field.is_empty()).map(str::to_owned);
            let name = fields.next()?;
            Some(Self { name, request: PageRequest { url: fields.next()?, headers: fields.collect() } })
        };
        input.lines().filter_map(page).collect()
    }
}
