//! Replaces absolute paths in a shell script.

use crate::shell::SCRIPT_DIR;
use crate::toolkit::relocate::roots::Roots;

/// The variable that holds the folder of the script.
const VARIABLE: &str = "launcher_dir";

/// The innermost pair of delimiters around a position of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Code,
    /// `(...)` or `$(...)`
    Parentheses,
    Backquotes,
    DoubleQuotes,
    SingleQuotes,
}

/// Replaces the paths of the roots by paths relative to the folder of the script. Returns `None` for a script with a
/// here-document or a NUL, or with quotes that do not match.
pub(super) fn rewrite(script: &[u8], roots: &Roots) -> Option<Vec<u8>> {
    let start = memchr::memchr(b'\n', script)? + 1;
    let mut rewritten = script[..start].to_vec();
    rewritten.extend_from_slice(format!("{VARIABLE}={SCRIPT_DIR}\n").as_bytes());
    let mut nestings = vec![Nesting::Code];
    let mut position = start;
    while position < script.len() {
        let nesting = *nestings.last()?;
        if let Some((length, below)) = roots.at(script, position) {
            let quote = match nesting {
                Nesting::DoubleQuotes => "",
                Nesting::SingleQuotes => "'\"",
                Nesting::Code | Nesting::Parentheses | Nesting::Backquotes => "\"",
            };
            let end: String = quote.chars().rev().collect();
            rewritten.extend_from_slice(format!("{quote}${VARIABLE}{end}").as_bytes());
            rewritten.extend_from_slice("/..".repeat(below.components().count()).as_bytes());
            position += length;
            continue;
        }
        let rest = &script[position..];
        let length = next(rest, script[position - 1], nesting, &mut nestings)?;
        rewritten.extend_from_slice(&rest[..length]);
        position += length;
    }
    (nestings == [Nesting::Code]).then_some(rewritten)
}

/// Returns the number of bytes that belong together at the start of `rest`, and enters or leaves a pair of delimiters.
/// Returns `None` for a here-document or a NUL.
fn next(rest: &[u8], before: u8, nesting: Nesting, nestings: &mut Vec<Nesting>) -> Option<usize> {
    let is_code = !matches!(nesting, Nesting::SingleQuotes | Nesting::DoubleQuotes);
    match (nesting, rest) {
        (_, [0, ..]) => return None,
        (Nesting::SingleQuotes, [b'\'', ..])
        | (Nesting::DoubleQuotes, [b'"', ..])
        | (Nesting::Backquotes, [b'`', ..])
        | (Nesting::Parentheses, [b')', ..]) => {
            nestings.pop();
        }
        (Nesting::SingleQuotes, _) => {}
        (_, [b'\\', _, ..]) => return Some(2),
        (_, [b'`', ..]) => nestings.push(Nesting::Backquotes),
        (Nesting::DoubleQuotes, [b'$', b'(', ..]) => {
            nestings.push(Nesting::Parentheses);
            return Some(2);
        }
        (_, [b'"', ..]) => nestings.push(Nesting::DoubleQuotes),
        (_, [b'\'', ..]) if is_code => nestings.push(Nesting::SingleQuotes),
        (_, [b'(', ..]) if is_code => nestings.push(Nesting::Parentheses),
        (_, [b'<', b'<', ..]) if is_code => return None,
        (_, [b'#', ..]) if is_code && (before.is_ascii_whitespace() || b";&|(`".contains(&before)) => {
            return Some(memchr::memchr(b'\n', rest).unwrap_or(rest.len()));
        }
        _ => {}
    }
    Some(1)
}
