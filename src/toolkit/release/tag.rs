//! The version that a tag states.

use crate::model::version::is_valid_version;

/// The words before a version that say nothing about the program.
const WORDS: [&str; 4] = ["release", "releases", "version", "rel"];

/// The version in a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TagVersion {
    /// The version; empty if the tag states none, as `nightly` does.
    pub(crate) version: String,
    /// Whether the tag can be that of the program: before the version, it has its name or nothing. A repository may have
    /// several programs, whose tags begin with different names.
    pub(crate) is_own: bool,
}

impl TagVersion {
    /// Reads a tag. `names` are those of the program and of the repository. Returns `None` if the tag does not begin with
    /// `prefix`.
    pub(crate) fn parse(tag: &str, prefix: Option<&str>, names: &[&str]) -> Option<Self> {
        let rest = tag.strip_prefix(prefix.unwrap_or_default())?;
        let lower = rest.to_ascii_lowercase();
        // A name may contain a number: k9s-0.32, 7zip-24.09.
        let without_name = names.iter().filter(|name| !name.is_empty()).find_map(|name| {
            let rest = rest.get(name.len()..).filter(|_| lower.starts_with(&name.to_ascii_lowercase()))?;
            rest.starts_with(is_separator).then_some(rest)
        });
        let text = without_name.unwrap_or(rest);
        let Some(start) = start_of_version(text) else {
            return Some(Self { version: String::new(), is_own: true });
        };
        let version = with_dots(&text[start..]);
        let before =
            text[..start].trim_end_matches(['v', 'V']).trim_matches(is_separator).to_ascii_lowercase();
        let word = before.rsplit(['/', '@']).next().unwrap_or_default();
        let is_name = names.iter().any(|name| name.eq_ignore_ascii_case(word));
        let is_own = prefix.is_some() || word.is_empty() || is_name || WORDS.contains(&word);
        Some(Self { version: if is_valid_version(&version) { version } else { String::new() }, is_own })
    }
}

fn is_separator(c: char) -> bool {
    "-_/@+".contains(c)
}

/// Returns where the version begins: at a digit at the start or after a separator, with or without a `v`.
fn start_of_version(text: &str) -> Option<usize> {
    let is_start = |(at, c): &(usize, char)| {
        let before = text[..*at].strip_suffix(['v', 'V']).unwrap_or(&text[..*at]);
        c.is_ascii_digit() && (before.is_empty() || before.ends_with(is_separator))
    };
    text.char_indices().find(is_start).map(|(at, _)| at)
}

/// Writes `8_1_0` as `8.1.0`.
fn with_dots(version: &str) -> String {
    let is_underscored = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    if is_underscored { version.replace('_', ".") } else { version.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(tag: &str) -> (String, bool) {
        let found = TagVersion::parse(tag, None, &["biome", "rg"]).unwrap();
        (found.version, found.is_own)
    }

    #[test]
    fn the_version_is_the_tag_without_a_name_and_a_v() {
        for (tag, version) in [
            ("14.1.1", "14.1.1"),
            ("v14.1.1", "14.1.1"),
            ("rg-14.1.1", "14.1.1"),
            ("rg_v14", "14"),
            ("release-1.2", "1.2"),
            ("@biomejs/biome@2.0.0", "2.0.0"),
            ("cli/biome/v1.2", "1.2"),
            ("v2.0.0-rc.1", "2.0.0-rc.1"),
            ("2024-01-02", "2024-01-02"),
            ("rg-8_1_0", "8.1.0"),
            ("nightly", ""),
        ] {
            assert_eq!(parse(tag), (version.to_owned(), true), "{tag}");
        }
    }

    #[test]
    fn a_tag_with_another_name_is_that_of_another_program() {
        for tag in ["js-api-3.0", "@biomejs/js-api@3.0", "lsp/v3.0"] {
            assert_eq!(parse(tag), ("3.0".to_owned(), false), "{tag}");
        }
    }

    #[test]
    fn only_tags_with_the_prefix_count() {
        let parse = |tag| TagVersion::parse(tag, Some("cli-"), &["x"]).map(|found| found.version);
        assert_eq!(parse("cli-v1.2").as_deref(), Some("1.2"));
        assert_eq!(parse("v1.2"), None);
    }
}
