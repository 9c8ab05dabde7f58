//! Text that fits a terminal and does not control it.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The mark of a text that was cut.
const ELLIPSIS: char = '…';

/// Replaces control characters, including escape, so that text from other programs cannot control the terminal, and
/// characters that reorder or hide text, so that no name looks like another.
pub(crate) fn printable(text: &str) -> String {
    let mut previous = ' ';
    let replace = |c| {
        previous = if is_printable(c, previous) { c } else { char::REPLACEMENT_CHARACTER };
        previous
    };
    text.chars().map(replace).collect()
}

/// Like [`printable`], but keeps line breaks, for a form that encodes them.
pub(crate) fn printable_lines(text: &str) -> String {
    let lines = text.split_inclusive(['\r', '\n']).map(|line| {
        let end = line.trim_end_matches(['\r', '\n']).len();
        printable(&line[..end]) + &line[end..]
    });
    lines.collect()
}

/// Whether a character after another one neither controls the terminal, nor reorders the text around it, nor hides. A
/// joiner belongs to the emoji and to the scripts that need it; after any other character it would hide.
pub(crate) fn is_printable(c: char, previous: char) -> bool {
    match c {
        '\u{200c}' | '\u{200d}' => !previous.is_ascii() && previous != char::REPLACEMENT_CHARACTER,
        // Marks that set the direction, separators of lines and paragraphs, and characters without a width.
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}'
        // Fillers of Hangul, which look like blanks or like nothing.
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => false,
        c => !c.is_control(),
    }
}

/// How many words a message lists.
pub(crate) const MAX_LISTED: usize = 6;

/// Joins words as a sentence does. If there are more than `max`, counts those after the first few.
pub(crate) fn list(words: &[impl AsRef<str>], max: usize) -> String {
    let count = if words.len() > max { max - 1 } else { words.len() };
    let mut shown: Vec<&str> = words.iter().take(count).map(AsRef::as_ref).collect();
    let more = format!("{} more", words.len() - count);
    shown.extend((count < words.len()).then_some(more.as_str()));
    match shown.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => shown.concat(),
    }
}

/// Returns a problem with the next step, unless it has its own.
pub(crate) fn with_next_step(problem: String, next: &str) -> String {
    if problem.contains("; ") { problem } else { format!("{problem}; {next}") }
}

/// Returns how many columns of a terminal a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts the end of a text that is wider than `max` columns.
pub(crate) fn cut_end(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let kept: String = take_width(text.chars(), max.saturating_sub(1)).into_iter().collect();
    Cow::Owned(kept + &String::from(ELLIPSIS))
}

/// Cuts the beginning of a text that is wider than `max` columns.
pub(crate) fn cut_start(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let kept = take_width(text.chars().rev(), max.saturating_sub(1));
    Cow::Owned(std::iter::once(ELLIPSIS).chain(kept.into_iter().rev()).collect())
}

/// Returns the first characters, as many as fit into `max` columns.
fn take_width(characters: impl Iterator<Item = char>, max: usize) -> Vec<char> {
    let mut remaining = max;
    let fits = |character: &char| {
        let width = character.width().unwrap_or_default();
        let fits = width <= remaining;
        remaining = remaining.saturating_sub(width);
        fits
    };
    characters.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("a\x1b[31mb\u{85}\n"), "a\u{fffd}[31mb\u{fffd}\u{fffd}");
        assert_eq!(printable_lines("\ra\x1b\r\n\nb\u{85}"), "\ra\u{fffd}\r\n\nb\u{fffd}");
    }

    #[test]
    fn characters_that_reorder_or_hide_text_are_replaced() {
        assert_eq!(printable("a\u{202e}b\u{200b}c\u{feff}\u{2066}"), "a\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}");
        for hidden in [
            '\u{ad}',
            '\u{9b}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{2069}',
            '\u{e0041}',
            '\u{3164}',
        ] {
            assert_eq!(printable(&format!("a{hidden}b")), "a\u{fffd}b", "{hidden:?}");
        }
        assert_eq!(printable("a\u{200d}b\u{200c}"), "a\u{fffd}b\u{fffd}", "a joiner hides between letters");
        let family = "é 日本 👩\u{200d}👧 क\u{200d}ष ❤\u{fe0f}";
        assert_eq!(printable(family), family);
    }

    #[test]
    fn a_text_is_cut_to_columns_not_characters() {
        assert_eq!(cut_end("abcdef", 6), "abcdef");
        assert_eq!(cut_end("abcdef", 5), "abcd…");
        assert_eq!(cut_start("abcdef", 5), "…cdef");
        assert_eq!(cut_end("日本語の本", 6), "日本…", "a wide character takes two columns");
        assert_eq!(cut_start("日本語の本", 6), "…の本");
        assert_eq!(cut_end("e\u{301}tude", 5), "e\u{301}tude", "a combining mark takes none");
        assert_eq!([0, 1].map(|max| cut_end("ab", max)), ["…", "…"]);
    }
}
