//! What hooks wrote, with headings.

/// What a hook wrote to one stream.
#[derive(Debug)]
pub(crate) struct ItemLog {
    /// The hook, its process and the stream.
    pub heading: String,
    /// Whole lines without anything that controls a terminal.
    pub text: String,
}

impl ItemLog {
    /// Returns the log below its heading.
    pub(crate) fn with_heading(&self) -> String {
        format!("==> {} <==\n{}", self.heading, self.text)
    }
}

/// Returns logs below their headings.
pub(crate) fn text(logs: &[ItemLog]) -> String {
    logs.iter().map(ItemLog::with_heading).collect()
}
