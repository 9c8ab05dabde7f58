//! Quoting words for a POSIX shell, and the code of launchers.

use std::borrow::Cow;
use std::io;
use std::path::Path;

/// An expression for the folder of the running script.
pub(crate) const SCRIPT_DIR: &str = r#"$(dirname -- "$(realpath -- "$0")")"#;

/// The start of the second line of a script that both sh and Python can run: sh starts the Python interpreter that comes
/// after it, for which the line is a string. pip, uv and `rigup hook relocate` write such scripts.
pub(crate) const PYTHON_TRAMPOLINE: &str = "'''exec' ";

/// The start of the argument of a `#!` line with which `env` starts an interpreter relative to the script, which
/// [`SCRIPT_DIR`] follows. `rigup hook relocate` writes such lines.
pub(crate) const ENV_LAUNCHER: &str = "-S sh -c 'exec ";

/// Quotes a word for a shell, if it needs quotes. Fails for a word with a NUL, which no shell can pass to a program.
pub(crate) fn quote(word: &[u8]) -> io::Result<Cow<'_, [u8]>> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"@%+=:,./_-".contains(byte);
    if !word.is_empty() && word.iter().all(is_plain) {
        return Ok(word.into());
    }
    shlex::bytes::try_quote(word).map_err(io::Error::other)
}

/// Quotes a text for a shell, if it needs quotes. A text with a NUL is returned unchanged.
pub(crate) fn quote_text(text: &str) -> String {
    let quoted = quote(text.as_bytes());
    quoted.map_or_else(|_| text.to_owned(), |quoted| String::from_utf8_lossy(&quoted).into_owned())
}

/// Quotes a path for a shell, if it needs quotes, for a message.
pub(crate) fn quote_path(path: &Path) -> String {
    quote_text(&path.to_string_lossy())
}

/// Returns the line with which a shell runs a command, for a message.
pub(crate) fn quote_command(words: &[String]) -> String {
    words.iter().map(|word| quote_text(word)).collect::<Vec<_>>().join(" ")
}

/// Returns whether a shell takes a word as the name of a variable.
pub(crate) fn is_name(word: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !word.is_empty() && word.bytes().all(is_plain) && !word.starts_with(|first: char| first.is_ascii_digit())
}

/// Splits `NAME=VALUE`, a line of an env file. The value may be in quotes, which are removed.
pub(crate) fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=').filter(|(name, _)| is_name(name))?;
    let in_quotes = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Some((name, in_quotes.unwrap_or(value)))
}

/// Splits a text after its first line.
pub(crate) fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    (&text[..end], text.get(end + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_letters_digits_and_underscores() {
        for name in ["A", "_", "a_1"] {
            assert!(is_name(name), "{name}");
        }
        for word in ["", "1a", "a-b", "A;touch PWN;B", "a b", "a.b", "A=", "ä", "a\n"] {
            assert!(!is_name(word), "{word}");
        }
    }

    #[test]
    fn an_assignment_has_a_name_and_a_value_without_its_quotes() {
        for (line, expected) in [
            ("A=b=c", Some(("A", "b=c"))),
            ("A='b \"c'", Some(("A", "b \"c"))),
            ("A=", Some(("A", ""))),
            ("A b=c", None),
            ("A", None),
        ] {
            assert_eq!(assignment(line), expected, "{line}");
        }
    }

    #[test]
    fn a_shell_reads_the_words_of_a_quoted_command() {
        let words = ["sh", "-c", "echo \"$1\"; exit 1", "it's"].map(str::to_owned);
        let line = quote_command(&words);
        assert!(line.starts_with("sh -c "), "{line}");
        assert_eq!(shlex::split(&line).unwrap(), words);
    }

    #[test]
    fn only_words_that_need_quotes_are_quoted() {
        for plain in ["--a=b,c", "/x/y.z", "a@1:2+3%", "-_"] {
            assert_eq!(quote_text(plain), plain);
        }
        for word in ["", "a b", "$x", "'", "~", "ü", "*", "new\nline"] {
            let quoted = quote_text(word);
            assert_ne!(quoted, word);
            assert_eq!(shlex::split(&quoted).unwrap(), [word]);
        }
    }
}
