//! Versions in any format, in one total order.
//!
//! Any two versions can be compared, such as `1.2`, `v3`, `1:2.3-4+deb12u1`, `1!2.0` and `1.0.0-rc.1`. The order
//! is semver's for versions of three numbers whose pre-release starts with one of `PRERELEASE_WORDS` and has no part
//! with both letters and digits. It is Debian's for epochs, numbers that do not end in `.0`, `~` and revisions. If the
//! two differ, Debian's order applies: `1.2.0-1` sorts after `1.2.0`, although semver sorts it before.

use std::fmt;

use semver::Prerelease;

pub(crate) mod output;

/// The suffixes of pre-releases. Any other suffix marks a packaged release.
const PRERELEASE_WORDS: [&str; 12] =
    ["alpha", "beta", "rc", "pre", "preview", "dev", "nightly", "snapshot", "canary", "next", "a", "b"];

/// A version. Trailing zeros do not matter: `1.2` equals `1.2.0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    epoch: u64,
    /// The numbers, without trailing zeros.
    release: Vec<u64>,
    pre: Prerelease,
    /// The parts of the revision; see [`revision_parts`].
    revision: Vec<Part>,
}

/// A part of a revision: the weights of the characters before a number, and that number.
type Part = (Vec<i64>, u64);

/// The weight of the end of a text.
const END: i64 = 0;

impl Version {
    /// Returns whether `text` is a version that a user or a plugin may ask for: a number, after a `v` if need be, and
    /// whatever the versions of package managers contain. Anything else would be compared as another version than it means:
    /// every version satisfies a minimum of `latest`, and `1.x` is no range.
    pub fn looks_like_version(text: &str) -> bool {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-+~:!^".contains(c);
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.len() <= MAX_VERSION_LENGTH
            && text.chars().all(is_allowed)
            && text.split('.').all(|part| !matches!(part, "" | "x" | "X"))
    }

    /// Parses any text. Unknown parts are ignored, so parsing never fails.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let (epoch, rest) = match text.split_once([':', '!']) {
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
            // A `+` starts the build metadata, unless it is part of a revision.
            let pre = prerelease(suffix.split('+').next().unwrap_or_default());
            let has_revision = pre.is_empty() && !suffix.starts_with('+');
            (pre, if has_revision { suffix.trim_start_matches(['-', '_']) } else { "" })
        };
        // A post-release of Python is `2.0.post1` or `2.0-1`. The first one, post0, is newer than 2.0.
        let revision = match revision.strip_prefix("post") {
            Some(number) if number.starts_with(|c: char| c.is_ascii_digit() && c != '0') => number,
            Some(_) => &format!("0{revision}"),
            None => revision,
        };
        Self { epoch, release, pre, revision: revision_parts(revision) }
    }

    /// Returns whether a text is three numbers without leading zeros, and nothing else.
    pub(crate) fn has_three_numbers(text: &str) -> bool {
        let is_number = |part: &str| all_digits(part) && (part == "0" || !part.starts_with('0'));
        text.split('.').count() == 3 && text.split('.').all(is_number)
    }

    /// Returns whether the numbers begin with those of a partial version.
    fn begins_with(&self, partial: &str) -> bool {
        let numbers = partial.trim().trim_start_matches(['v', 'V']).split('.').map(number);
        let of_this = self.release.iter().copied().chain(std::iter::repeat(0));
        self.epoch == 0 && !self.release.is_empty() && numbers.zip(of_this).all(|(one, other)| one == other)
    }

    /// Returns whether this is a version before a release, such as `2.0-rc1`.
    pub(crate) fn is_prerelease(&self) -> bool {
        !self.pre.is_empty()
    }
}

/// The maximum length of a version in a record, in characters.
pub(crate) const MAX_VERSION_LENGTH: usize = 200;

/// Returns whether a record may have this version, which may be empty: a short line without control characters.
pub(crate) fn is_valid_version(text: &str) -> bool {
    text.chars().count() <= MAX_VERSION_LENGTH && !text.contains(char::is_control)
}

/// Returns the higher of two minimum versions. A blank one requires nothing, so even `0~rc1` is stricter.
fn stricter<'a>(one: &'a str, other: &'a str) -> &'a str {
    let is_blank = |text: &str| text.trim().is_empty();
    let is_higher = || is_blank(one) || Version::parse(other) > Version::parse(one);
    if !is_blank(other) && is_higher() { other } else { one }
}

/// Returns the lower of two maximum versions. A blank one allows every version.
fn stricter_max<'a>(one: &'a str, other: &'a str) -> &'a str {
    let is_blank = |text: &str| text.trim().is_empty();
    let is_lower = || is_blank(one) || Version::parse(other) < Version::parse(one);
    if !is_blank(other) && is_lower() { other } else { one }
}

/// Returns whether a bound is the version of a package, with an epoch or a revision: `1:1.6` or `1.6-2`.
pub(crate) fn is_of_package(bound: &str) -> bool {
    bound.contains(':') || bound.contains('-') && Version::parse(bound).revision != revision_parts("")
}

/// Returns the version of a program that a bound is compared with: that of its package if the bound is one, with the
/// epoch only if the bound has one.
pub(crate) fn comparable<'a>(bound: &str, version: &'a str, package_version: &'a str) -> &'a str {
    match package_version.split_once(':') {
        _ if package_version.is_empty() || !is_of_package(bound) => version,
        Some((_, rest)) if !bound.contains(':') => rest,
        _ => package_version,
    }
}

/// The versions that a request accepts, including both bounds. An empty bound allows every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionRange<'a> {
    /// The minimum version.
    pub min: &'a str,
    /// The maximum version.
    pub max: &'a str,
}

impl<'a> VersionRange<'a> {
    /// Returns the range of one version, or of all versions if it is empty.
    pub fn exactly(version: &'a str) -> Self {
        Self { min: version, max: version }
    }

    /// Returns whether the range has the version. An empty version is only in a range without bounds.
    pub fn contains(self, version: &str) -> bool {
        let Self { min, max } = self;
        let found = Version::parse(version);
        self.has_label_of(version, "")
            && (min.is_empty() && max.is_empty() || !version.is_empty())
            && (min.is_empty() || found >= Version::parse(min))
            && (max.is_empty() || found <= Version::parse(max))
    }

    /// Returns whether a program or its package has the label of the only version in the range, such as `cpu` of `1.0+cpu`, if
    /// that has one. The revision of a distribution may follow it, and a program need not print its label.
    fn has_label_of(self, version: &str, package_version: &str) -> bool {
        let (stated, found) =
            (label(self.max), label(if package_version.is_empty() { version } else { package_version }));
        let normal = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], ".");
        let is_revised = || found.strip_prefix(stated).is_some_and(|rest| rest.starts_with('-'));
        self.min != self.max
            || stated.is_empty()
            || package_version.is_empty() && found.is_empty()
            || normal(found) == normal(stated)
            || is_revised()
    }

    /// Returns the only version in the range if it is partial, `14` or `14.1`, which stands for all versions that begin with
    /// it. A version with three numbers, or with anything else, is complete.
    pub(crate) fn partial(self) -> Option<&'a str> {
        let is_partial = self.max.trim() == self.min.trim()
            && self.max.trim().split('.').count() < 3
            && self.max.trim().trim_start_matches(['v', 'V']).split('.').all(all_digits);
        is_partial.then_some(self.max)
    }

    /// Returns whether the range is for a partial version, and this one begins with it.
    pub(crate) fn has_longer(self, version: &str) -> bool {
        self.partial().is_some_and(|partial| Version::parse(version).begins_with(partial))
    }

    /// Returns whether the range has the version of a program, whose package may have another one. See [`comparable`]. A
    /// partial version has all that begin with it.
    pub(crate) fn contains_program(self, version: &str, package_version: &str) -> bool {
        if self.has_longer(version) {
            return true;
        }
        let is_within = |range: Self, bound| range.contains(comparable(bound, version, package_version));
        self.has_label_of(version, package_version)
            && is_within(Self { max: "", ..self }, self.min)
            && is_within(Self { min: "", ..self }, self.max)
    }

    /// Returns the versions that are in both ranges.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { min: stricter(self.min, other.min), max: stricter_max(self.max, other.max) }
    }

    /// Returns whether no version is in the range.
    pub fn is_empty(self) -> bool {
        !self.min.is_empty() && !self.max.is_empty() && Version::parse(self.min) > Version::parse(self.max)
    }

    /// Returns the range in words: `1 or newer`, `3 or older`, `1 to 3`, or the only version.
    pub(crate) fn in_words(self) -> String {
        match (self.exact(), self.min, self.max) {
            (Some(exact), ..) => exact.to_owned(),
            (None, min, "") => format!("{min} or newer"),
            (None, "", max) => format!("{max} or older"),
            (None, min, max) => format!("{min} to {max}"),
        }
    }

    /// Returns the only version in the range, or `None` if it has several.
    pub fn exact(self) -> Option<&'a str> {
        let is_exact = !self.min.is_empty()
            && !self.max.is_empty()
            && Version::parse(self.min) == Version::parse(self.max);
        is_exact.then_some(self.max)
    }
}

/// `>= 1`, `<= 3`, `>= 1, <= 3` or `== 2`; nothing without bounds.
impl fmt::Display for VersionRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.exact(), self.min, self.max) {
            (Some(exact), ..) => write!(f, "== {exact}"),
            (None, "", "") => Ok(()),
            (None, min, "") => write!(f, ">= {min}"),
            (None, "", max) => write!(f, "<= {max}"),
            (None, min, max) => write!(f, ">= {min}, <= {max}"),
        }
    }
}

/// Returns the label of a version, `cpu` of `1.0+cpu`; empty if it has none.
fn label(version: &str) -> &str {
    version.split_once('+').map_or("", |(_, label)| label.trim())
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Parses a number of any length. A number that does not fit into 64 bits becomes the largest 64-bit number.
fn number(digits: &str) -> u64 {
    digits.parse().unwrap_or(u64::MAX)
}

/// Returns the pre-release of a suffix such as `-rc.1`, `rc1`, `~beta2` or `.dev3`, or an empty one if it has none.
fn prerelease(suffix: &str) -> Prerelease {
    let has_tilde = suffix.starts_with('~');
    let text = suffix.trim_start_matches(['-', '.', '~', '_']).to_ascii_lowercase();
    let word: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
    if !has_tilde && !PRERELEASE_WORDS.contains(&word.as_str()) {
        return Prerelease::EMPTY;
    }
    let are_alike = |one: &u8, other: &u8| one.is_ascii_digit() == other.is_ascii_digit();
    let parts: Vec<&str> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .flat_map(|part| part.as_bytes().chunk_by(are_alike))
        .filter_map(|part| std::str::from_utf8(part).ok())
        .map(|part| if all_digits(part) { without_leading_zeros(part) } else { part })
        .collect();
    // A bare `~` sorts before every other pre-release.
    let joined = if parts.is_empty() { "0".to_owned() } else { parts.join(".") };
    Prerelease::new(&joined).unwrap_or(Prerelease::EMPTY)
}

fn without_leading_zeros(digits: &str) -> &str {
    let trimmed = digits.trim_start_matches('0');
    if trimmed.is_empty() { "0" } else { trimmed }
}

/// Splits a revision into parts that compare by Debian's rules: alternating text and numbers, in which `~` sorts before
/// the end, the end before letters, and letters before all other characters. A missing revision is `0`. The last part
/// marks the end, so that `0~1` sorts before `0`; only the first of the other parts can be equal to it.
fn revision_parts(revision: &str) -> Vec<Part> {
    let weight = |character| match character {
        '~' => -1,
        character if character.is_ascii_alphabetic() => i64::from(u32::from(character)),
        character => i64::from(u32::from(character)) + 256,
    };
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = if revision.is_empty() { "0" } else { revision };
    while !rest.is_empty() {
        let (text, after) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let (digits, after) =
            after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len()));
        let value = if digits.is_empty() { 0 } else { number(digits) };
        parts.push((text.chars().map(weight).chain([END]).collect(), value));
        rest = after;
    }
    parts.push((vec![END], 0));
    parts
}

#[cfg(test)]
mod tests;
