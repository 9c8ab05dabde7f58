//! The log of another program as text for a terminal.

use std::fmt::Write as _;

use crate::report::text::is_printable;

/// The longest escape sequence of a color that is kept, in bytes.
const MAX_STYLE: usize = 64;

/// A filter for the pieces of a log, which lets nothing through that controls the terminal, reorders text or hides. It
/// keeps line breaks, tabs and colors (SGR sequences), except those that conceal text or select a font. A carriage return
/// without a line break becomes one, so that no line overwrites another.
#[derive(Debug)]
pub(crate) struct LogText {
    keeps_colors: bool,
    /// The beginning of a character or of a color, up to the end of the last piece.
    pending: Vec<u8>,
    previous: char,
    has_open_color: bool,
}

/// Returns the end of a log: at most this many bytes, from the beginning of a line if there is one.
pub(crate) fn last_bytes(log: &str, max: usize) -> &str {
    let start = log.ceil_char_boundary(log.len().saturating_sub(max));
    let end = &log[start..];
    match end.split_once('\n') {
        Some((_, rest)) if start > 0 && !rest.is_empty() => rest,
        _ => end,
    }
}

impl LogText {
    /// Returns a filter that drops colors unless `keeps_colors` is true.
    pub(crate) fn new(keeps_colors: bool) -> Self {
        Self { keeps_colors, pending: Vec::new(), previous: '\n', has_open_color: false }
    }

    /// Returns the text of the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) -> String {
        self.pending.extend_from_slice(piece);
        self.take(false)
    }

    /// Returns the rest of the text, and ends its colors and its last line, because other text follows.
    pub(crate) fn finish(&mut self) -> String {
        let mut rest = self.take(true);
        if std::mem::take(&mut self.has_open_color) {
            rest.push_str("\x1b[0m");
        }
        if self.previous != '\n' {
            self.add('\n', &mut rest);
        }
        rest
    }

    fn take(&mut self, is_last: bool) -> String {
        let bytes = std::mem::take(&mut self.pending);
        let mut text = String::with_capacity(bytes.len());
        let mut rest = &bytes[..];
        while let [first, ..] = rest {
            let taken = match first {
                b'\x1b' => self.take_escape(rest, is_last, &mut text),
                b'\r' => self.take_return(rest, is_last, &mut text),
                _ => self.take_characters(rest, is_last, &mut text),
            };
            // What could be the beginning of something longer waits for the next piece.
            let Some(taken) = taken else { break };
            rest = &rest[taken..];
        }
        self.pending = rest.to_vec();
        text
    }

    /// Takes a color, or the first byte of another sequence.
    fn take_escape(&mut self, rest: &[u8], is_last: bool, text: &mut String) -> Option<usize> {
        let is_parameter = |byte: &&u8| matches!(byte, b'0'..=b'9' | b';' | b':');
        let parameters = rest.iter().skip(2).take_while(is_parameter).count();
        let length = 2 + parameters;
        let could_be_color = length < MAX_STYLE && rest.get(1).is_none_or(|byte| *byte == b'[');
        match rest.get(length) {
            Some(b'm') if could_be_color => {
                let style = String::from_utf8_lossy(&rest[2..length]);
                if self.keeps_colors
                    && let Some(style) = visible_style(&style)
                {
                    self.has_open_color = !matches!(&*style, "" | "0");
                    let _ = write!(text, "\x1b[{style}m");
                }
                Some(length + 1)
            }
            None if could_be_color && !is_last => None,
            _ => {
                self.add(char::REPLACEMENT_CHARACTER, text);
                Some(1)
            }
        }
    }

    fn take_return(&mut self, rest: &[u8], is_last: bool, text: &mut String) -> Option<usize> {
        match rest.get(1) {
            None if !is_last => return None,
            Some(b'\n') => {}
            _ => self.add('\n', text),
        }
        Some(1)
    }

    /// Takes the characters before the next escape or carriage return.
    fn take_characters(&mut self, rest: &[u8], is_last: bool, text: &mut String) -> Option<usize> {
        let end = memchr::memchr2(b'\x1b', b'\r', rest).unwrap_or(rest.len());
        let mut taken = 0;
        for chunk in rest[..end].utf8_chunks() {
            chunk.valid().chars().for_each(|c| self.add(c, text));
            taken += chunk.valid().len();
            let invalid = chunk.invalid();
            let is_start = std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if is_start && !is_last && taken + invalid.len() == rest.len() {
                // The rest is the beginning of a character.
                return (taken > 0).then_some(taken);
            }
            if !invalid.is_empty() {
                self.add(char::REPLACEMENT_CHARACTER, text);
            }
            taken += invalid.len();
        }
        Some(taken)
    }

    fn add(&mut self, c: char, text: &mut String) {
        let is_shown = matches!(c, '\n' | '\t') || is_printable(c, self.previous);
        self.previous = if is_shown { c } else { char::REPLACEMENT_CHARACTER };
        let _ = text.write_char(self.previous);
    }
}

/// Returns the parameters of a color without those that hide text or select another font, or `None` if none is left.
fn visible_style(parameters: &str) -> Option<String> {
    let parameters: Vec<&str> = parameters.split(';').collect();
    let code = |parameter: &str| match parameter.split(':').next() {
        None | Some("") => 0,
        Some(code) => code.parse().unwrap_or(u8::MAX),
    };
    let (mut kept, mut rest): (Vec<&str>, _) = (Vec::new(), &parameters[..]);
    while let [first, others @ ..] = rest {
        let length = match (code(first), others.first().map(|kind| code(kind))) {
            // A color has a kind and one number, or one for each of red, green and blue.
            (38 | 48 | 58, _) if first.contains(':') => 1,
            (38 | 48 | 58, Some(5)) => 3,
            (38 | 48 | 58, Some(2)) => 5,
            (0..=7 | 9 | 21..=25 | 27..=37 | 39..=47 | 49 | 53 | 55 | 59 | 90..=107, _) => 1,
            _ => 0,
        };
        match rest.split_at_checked(length) {
            Some((style, after)) if length > 0 => {
                kept.extend(style);
                rest = after;
            }
            _ => rest = others,
        }
    }
    (!kept.is_empty()).then(|| kept.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Filters a log in pieces of any size, and asserts that the size makes no difference.
    fn shown(log: &[u8], keeps_colors: bool) -> String {
        let mut filter = LogText::new(keeps_colors);
        let whole = filter.push(log) + &filter.finish();
        for size in 1..log.len() {
            let mut filter = LogText::new(keeps_colors);
            let mut text: String = log.chunks(size).map(|piece| filter.push(piece)).collect();
            text += &filter.finish();
            assert_eq!(text, whole, "pieces of {size} bytes");
        }
        whole
    }

    #[test]
    fn the_end_of_a_log_begins_with_a_line_if_one_fits() {
        assert_eq!(last_bytes("one\ntwo\n", 100), "one\ntwo\n");
        assert_eq!(last_bytes("one\ntwo\n", 6), "two\n");
        assert_eq!(last_bytes("one\ntwo\n", 2), "o\n");
        assert_eq!(last_bytes("größe", 3), "ße");
        assert_eq!(last_bytes("größe", 2), "e");
        assert_eq!(last_bytes("", 2), "");
    }

    #[test]
    fn colors_are_kept_and_ended_or_dropped() {
        let log = b"a \x1b[1;38;5;9mred\x1b[0m \x1b[38:2::1:2:3mb";
        assert_eq!(shown(log, true), "a \x1b[1;38;5;9mred\x1b[0m \x1b[38:2::1:2:3mb\x1b[0m\n");
        assert_eq!(shown(log, false), "a red b\n");
        assert_eq!(shown(b"\x1b[31mx\n\x1b[m", true), "\x1b[31mx\n\x1b[m");
    }

    #[test]
    fn no_text_is_concealed_and_no_font_selected() {
        for (style, expected) in [
            ("8", ""),
            ("08", ""),
            ("8:1", ""),
            ("11", ""),
            ("1;8;31", "\x1b[1;31m"),
            (";8", "\x1b[m"),
            ("38;5;8;48;2;8;8;8", "\x1b[38;5;8;48;2;8;8;8m"),
            ("38:5:8", "\x1b[38:5:8m"),
            ("38;8", ""),
            ("38;2;8", "\x1b[2m"),
            ("4:3;58;5;8;8", "\x1b[4:3;58;5;8m"),
        ] {
            let text = shown(format!("a\x1b[{style}mb\x1b[m\n").as_bytes(), true);
            assert_eq!(text, format!("a{expected}b\x1b[m\n"), "{style}");
        }
    }

    #[test]
    fn other_sequences_do_not_reach_the_terminal() {
        for (log, expected) in [
            (&b"\x1b]0;title\x07x"[..], "\u{fffd}]0;title\u{fffd}x"),
            (b"\x1b[2J\x1b[H", "\u{fffd}[2J\u{fffd}[H"),
            (b"\x1b[?25l\x1b[>4;1m", "\u{fffd}[?25l\u{fffd}[>4;1m"),
            (b"\x1bc\x1b", "\u{fffd}c\u{fffd}"),
            (b"\x1b[31", "\u{fffd}[31"),
            (b"\xc2\x9b31m\x9b31m", "\u{fffd}31m\u{fffd}31m"),
            (b"a\x08\x00b\x7f", "a\u{fffd}\u{fffd}b\u{fffd}"),
            ("a\u{202e}b\u{2028}".as_bytes(), "a\u{fffd}b\u{fffd}"),
        ] {
            assert_eq!(shown(log, true), format!("{expected}\n"));
        }
        let long = format!("\x1b[{}m", "1;".repeat(MAX_STYLE));
        assert!(shown(long.as_bytes(), true).starts_with("\u{fffd}[1;"));
    }

    #[test]
    fn text_is_kept_and_no_line_overwrites_another() {
        assert_eq!(shown("é 日本 👩\u{200d}👧\tend\n".as_bytes(), true), "é 日本 👩\u{200d}👧\tend\n");
        assert_eq!(shown(b"10 %\r20 %\r\nok\r\n\r", true), "10 %\n20 %\nok\n\n");
        assert_eq!(shown(b"\xff\xe6\x97\xe6\x97\xa5\xe6\x97", true), "\u{fffd}\u{fffd}日\u{fffd}\n");
        assert_eq!(shown(b"", true), "");
    }

    proptest::proptest! {
        #[test]
        fn only_colors_contain_an_escape(log in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let shown = shown(&log, false);
            proptest::prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
        }
    }
}
