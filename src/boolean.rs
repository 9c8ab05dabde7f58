//! The words for true and false.

/// Parses a boolean in any case, or returns `None` if the word is not one.
pub(crate) fn parse(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "y" | "t" => Some(true),
        "false" | "0" | "no" | "off" | "n" | "f" => Some(false),
        _ => None,
    }
}
