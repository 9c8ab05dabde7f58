//! The warnings about a process.

use serde::{Deserialize, Serialize};

/// The maximum number of warnings about a process that are kept.
const MAX_WARNINGS: usize = 20;

/// The length to which a warning is cut, in characters.
const MAX_CHARS: usize = 500;

/// The warnings about a process, oldest first, each once. Those beyond the first 20 are only counted, so that no hook can
/// fill the store: then the last text is `and N more`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warnings(Vec<String>);

impl Warnings {
    /// Adds a warning, or the number of other ones.
    pub fn push(&mut self, text: &str) {
        let is_count = count(text).is_some();
        let end = text.char_indices().nth(MAX_CHARS).map_or(text.len(), |(end, _)| end);
        let text = &text[..end];
        if !is_count && self.0.iter().any(|known| known == text) {
            return;
        }
        if self.0.len() < MAX_WARNINGS {
            return self.0.push(text.to_owned());
        }
        let more = self.0.get(MAX_WARNINGS).and_then(|last| count(last)).unwrap_or_default();
        self.0.truncate(MAX_WARNINGS);
        self.0.push(format!("and {} more", more + count(text).unwrap_or(1)));
    }

    /// Adds several warnings.
    pub fn extend(&mut self, texts: impl IntoIterator<Item: AsRef<str>>) {
        texts.into_iter().for_each(|text| self.push(text.as_ref()));
    }

    /// Returns the texts.
    pub fn texts(&self) -> &[String] {
        &self.0
    }
}

/// Returns the number in `and N more`, or `None` for any other text.
fn count(text: &str) -> Option<u64> {
    text.strip_prefix("and ")?.strip_suffix(" more")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_warnings_are_cut_and_counted() {
        let mut warnings = Warnings::default();
        warnings.extend((0..1000).map(|n| format!("{n} {}", "ü".repeat(1000))));
        warnings.push("last");
        assert_eq!((warnings.0.len(), warnings.0[20].as_str()), (21, "and 981 more"));
        assert!(warnings.0.iter().all(|text| text.chars().count() <= 500));
        let known = warnings.0[3].clone();
        warnings.push(&known);
        warnings.push("and 9 more");
        assert_eq!(warnings.0[20], "and 990 more", "a warning is added once");
    }
}
