//! Versions as programs spell them, in one order.
//!
//! `1.2`, `2024.01.02`, `v3`, `1:2.3-4+deb12u1` and `1.0.0-rc.1` all compare. The order is that of semver for three
//! numbers, with pre-releases that begin with one of `PRERELEASE_WORDS` and have no part of letters and digits; and that
//! of Debian for epochs, numbers that do not end in `.0`, `~`, and revisions. They do not meet elsewhere: `1.2.0-1` is
//! before 1.2.0 for semver, and after it for Debian, as it is here.

use std::cmp::Ordering;

use semver::Prerelease;

/// Suffixes that mean "before the release"; any other suffix means "the release, packaged".
const PRERELEASE_WORDS: [&str; 12] =
    ["alpha", "beta", "rc", "pre", "preview", "dev", "nightly", "snapshot", "canary", "next", "a", "b"];

/// A version: total order, equality by meaning (`1.2` is `1.2.0`).
#[derive(Debug, Clone)]
pub struct Version {
    epoch: u64,
    release: Vec<u64>,
    pre: Prerelease,
    revision: Vec<Part>,
}

/// A piece of a revision: the weights of its characters up to a number, and that number.
type Part = (Vec<i64>, u64);

/// The weight of the end of a text.
const END: i64 = 0;

impl Version {
    /// Whether a text begins like a version: what does not would be met by any.
    pub fn is_one(text: &str) -> bool {
        let text = text.trim();
        text.strip_prefix(['v', 'V']).unwrap_or(text).starts_with(|c: char| c.is_ascii_digit())
    }

    /// Reads any text; what is not understood counts as nothing, so this never fails.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if all_digits(epoch) => (number(epoch), rest),
            _ => (0, text),
        };
        let rest = rest.strip_prefix(['v', 'V']).unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (release, suffix) = rest.split_at(end);
        let mut release: Vec<u64> = release.split('.').filter(|part| !part.is_empty()).map(number).collect();
        while release.last() == Some(&0) {
            release.pop();
        }
        let (pre, revision) = if suffix.starts_with('~') {
            let (pre, revision) = suffix.rsplit_once('-').unwrap_or((suffix, ""));
            (prerelease(pre), revision)
        } else {
            // What stands behind `+` is of the build, unless it belongs to a revision.
            let pre = prerelease(suffix.split('+').next().unwrap_or_default());
            let has_revision = pre.is_empty() && !suffix.starts_with('+');
            (pre, if has_revision { suffix.trim_start_matches(['-', '_']) } else { "" })
        };
        Self { epoch, release, pre, revision: parts(revision) }
    }

    /// The first thing in a program's output that looks like a version: a dotted number with what is attached to
    /// it, else a whole number that stands alone behind the program's name, `version` or `v`.
    pub fn find_in(output: &str) -> Option<&str> {
        let dotted = output.split_whitespace().find_map(dotted_number);
        dotted.or_else(|| {
            let mut words = output.lines().next()?.split_whitespace();
            words.find_map(|word| {
                let digits = word.strip_prefix(['v', 'V']).unwrap_or(word);
                all_digits(digits).then_some(digits)
            })
        })
    }
}

/// `5.1.6-0+deb12u1` in `(5.1.6-0+deb12u1),`; nothing in `foo.bar` or `12.`.
fn dotted_number(word: &str) -> Option<&str> {
    let bytes = word.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        if bytes[start].is_ascii_digit() {
            let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let after = start + digits;
            if bytes.get(after) == Some(&b'.') && bytes.get(after + 1).is_some_and(u8::is_ascii_digit) {
                let tail = &word[start..];
                let end = tail
                    .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '+' | '~' | '_'))
                    .unwrap_or(tail.len());
                return Some(tail[..end].trim_end_matches(['.', '-', '+', '~', '_']));
            }
            start = after;
        } else {
            start += 1;
        }
    }
    None
}

/// The higher one of two lowest versions that will do. A blank one asks for nothing, and `0~rc1`, which comes before it, for
/// something.
pub fn stricter<'a>(one: &'a str, other: &'a str) -> &'a str {
    let asks = |text: &str| !text.trim().is_empty();
    if asks(other) && (!asks(one) || Version::parse(other) > Version::parse(one)) { other } else { one }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number of any length: one too large for 64 bits counts as the largest.
fn number(digits: &str) -> u64 {
    digits.parse().unwrap_or(u64::MAX)
}

/// `-rc.1`, `rc1`, `~beta2`, `.dev3` as semver writes it; empty for a suffix that is no pre-release.
fn prerelease(suffix: &str) -> Prerelease {
    let is_tilde = suffix.starts_with('~');
    let text = suffix.trim_start_matches(['-', '.', '~', '_']).to_ascii_lowercase();
    let word: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
    if !is_tilde && !PRERELEASE_WORDS.contains(&word.as_str()) {
        return Prerelease::EMPTY;
    }
    let mut parts: Vec<String> = Vec::new();
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() {
            parts.push(String::new());
            continue;
        }
        match parts.last_mut() {
            Some(part) if part.bytes().all(|byte| byte.is_ascii_digit() == c.is_ascii_digit()) => {
                part.push(c);
            }
            _ => parts.push(c.to_string()),
        }
    }
    let spelled: Vec<&str> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| if all_digits(part) { without_leading_zeros(part) } else { part.as_str() })
        .collect();
    // A bare `~` comes before all that has more to say.
    let spelled = if spelled.is_empty() { "0".to_owned() } else { spelled.join(".") };
    Prerelease::new(&spelled).unwrap_or(Prerelease::EMPTY)
}

fn without_leading_zeros(digits: &str) -> &str {
    let trimmed = digits.trim_start_matches('0');
    if trimmed.is_empty() { "0" } else { trimmed }
}

/// A revision in a form that compares as Debian's do: text and numbers in turns, `~` before the end, the end before
/// letters, letters before all else.
fn parts(revision: &str) -> Vec<Part> {
    let weight = |c| match c {
        '~' => -1,
        c if c.is_ascii_alphabetic() => i64::from(u32::from(c)),
        c => i64::from(u32::from(c)) + 256,
    };
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = revision;
    while !rest.is_empty() {
        let (text, behind) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let (digits, behind) =
            behind.split_at(behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len()));
        let value = if digits.is_empty() { 0 } else { number(digits) };
        parts.push((text.chars().map(weight).chain([END]).collect(), value));
        rest = behind;
    }
    parts
}

/// Behind the end of a revision there is nothing without end: no revision is revision `0`, and later than `0~1`.
fn by_parts(one: &[Part], other: &[Part]) -> Ordering {
    let nothing = (vec![END], 0);
    let places = 0..one.len().max(other.len());
    let compared = places.map(|at| one.get(at).unwrap_or(&nothing).cmp(other.get(at).unwrap_or(&nothing)));
    compared.fold(Ordering::Equal, Ordering::then)
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| self.release.cmp(&other.release))
            .then_with(|| self.pre.cmp(&other.pre))
            .then_with(|| by_parts(&self.revision, &other.revision))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests;
