//! The contents of `rigup.lock`: one line for each platform and name. Pure.
//!
//! ```jsonl
//! {"type":"Lockfile","version":1}
//! {"type":"Lock","platform":"x86_64-linux","name":"rg","binprovider":"apt","version":"13.0.0","sha256":"5e1c...","hook_sha256":"07d2..."}
//! ```
//!
//! Lines are sorted by platform and name, and their keys have a fixed order, so equal pins make identical files, and
//! git can merge branches that pin different names or platforms. Parsing is strict: rigup rejects a file if any line
//! has an unknown type, field or value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fs::digest::is_sha256;
use crate::jsonl::{self, StrictValue};
use crate::model::version::{MAX_VERSION_LENGTH, is_valid_version};
use crate::model::{BinaryName, NameError, ProviderName, VersionRange};
use crate::shell;

/// The default name of the file, in the current folder.
pub(crate) const FILE_NAME: &str = "rigup.lock";

/// The largest file that rigup reads, in bytes: 16 MiB, about fifty thousand lines.
pub(crate) const MAX_SIZE: usize = 16 << 20;

/// The version of the format that rigup writes and reads.
const FORMAT: u64 = 1;

/// The longest name, in bytes: the longest path on Linux.
const MAX_NAME: usize = 4096;
/// The longest address, in bytes: servers accept lines of 8 KiB.
pub(crate) const MAX_URL_LENGTH: usize = 8 << 10;
/// The longest other text, in bytes.
const MAX_TEXT: usize = 255;

/// The beginnings of the lines with which git marks a merge conflict.
const CONFLICT_MARKERS: [&[u8]; 4] = [b"<<<<<<<", b"|||||||", b"=======", b">>>>>>>"];

/// A pin, which is one line: the binary that a name stands for on a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The platform, such as `x86_64-linux`.
    pub platform: String,
    /// The name in the request.
    pub name: String,
    /// The provider that installed the binary.
    pub binprovider: ProviderName,
    /// The version; empty if it is unknown.
    pub version: String,
    /// The version of the package that owns the program, as in its record; empty if it is the same or unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub package_version: String,
    /// Hex SHA-256 of the file, with `{LIB_DIR}` for LIB_DIR.
    pub sha256: String,
    /// The address of the file from which the provider installed the binary; empty if it did not state one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Hex SHA-256 of that file; empty without an address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url_sha256: String,
    /// Hex SHA-256 of the provider's hook.
    pub hook_sha256: String,
    /// Hex SHA-256 of the requirement's overrides for the provider; empty if there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub overrides_sha256: String,
}

/// The pins of a lock file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lockfile {
    pins: BTreeMap<(String, String), Pin>,
}

/// An error in a lock file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockfileError {
    /// The file is larger than [`MAX_SIZE`].
    #[error("the file has more than {MAX_SIZE} bytes")]
    TooLarge,
    /// The file is empty, or is not a lock file.
    #[error(
        "not the header of a lock file, {{\"type\":\"Lockfile\",\"version\":{FORMAT}}}; restore it, or remove the file and \
         run `rigup lock`"
    )]
    NoHeader,
    /// A newer rigup wrote the file.
    #[error("format version {0} is newer than {FORMAT}; update rigup")]
    Newer(u64),
    /// The header is repeated.
    #[error("\"Lockfile\" is allowed only on line 1; remove this line")]
    SecondHeader(usize),
    /// git could not merge two versions of the file.
    #[error(
        "merge conflict; keep one line for each platform and name, or keep either side and run `rigup lock`"
    )]
    Conflict(usize),
    /// The line is longer than [`jsonl::MAX_LINE`].
    #[error("longer than {max} bytes; remove the line, and run `rigup lock`", max = jsonl::MAX_LINE)]
    TooLong(usize),
    /// The file has Windows line endings.
    #[error("ends in CR LF; add `rigup.lock -text` to .gitattributes, and check the file out again")]
    Crlf(usize),
    /// The line is not a JSON object with the fields of a pin, or one of them has an invalid value.
    #[error("{1}; correct the line, or remove it and run `rigup lock`")]
    Invalid(usize, String),
    /// The file already has a line for this name and platform.
    #[error("{1} already has a line for {2}; keep one of them")]
    Duplicate(usize, String, String),
}

impl LockfileError {
    /// Returns the line, or `None` if the error is about the whole file.
    pub const fn line(&self) -> Option<usize> {
        match self {
            Self::TooLarge => None,
            Self::NoHeader | Self::Newer(_) => Some(1),
            Self::SecondHeader(line)
            | Self::Conflict(line)
            | Self::TooLong(line)
            | Self::Crlf(line)
            | Self::Invalid(line, _)
            | Self::Duplicate(line, ..) => Some(*line),
        }
    }
}

/// An invalid value in a pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// The platform is not of the form `<arch>-<os>`.
    #[error("the platform {0:?} is not of the form <arch>-<os>, such as x86_64-linux")]
    Platform(String),
    /// The name is not the name of a binary.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name begins or ends with whitespace, or is too long.
    #[error("the name begins or ends with whitespace, or has more than {MAX_NAME} bytes")]
    NameShape,
    /// The version contains a control character, begins or ends with whitespace, or is too long.
    #[error(
        "the version {0:?} contains a control character, begins or ends with whitespace, or has more than \
         {MAX_VERSION_LENGTH} characters"
    )]
    Version(String),
    /// The address is not one, or has no digest.
    #[error("\"url\" must be an address, together with \"url_sha256\"")]
    Url,
    /// The value is not a digest.
    #[error("\"{0}\" must be 64 lower-case hex digits")]
    Digest(&'static str),
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum LockLine {
    Lockfile { version: u64 },
    Lock(Box<Pin>),
}

/// Returns the command that writes the lines of these names to a lock file, or those of all binaries if there are none. An
/// option may be among them.
pub(crate) fn command(path: &Path, names: &[&str]) -> String {
    command_of(&["rigup", "lock"], path, names)
}

/// Returns the command that updates the lines of these names in a lock file, and keeps the installed versions or newer ones.
pub(crate) fn upgrade_command(path: &Path, names: &[&str]) -> String {
    command_of(&["rigup", "upgrade", "--lock"], path, names)
}

fn command_of(words: &[&str], path: &Path, names: &[&str]) -> String {
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    if path != Path::new(FILE_NAME) {
        words.extend(["--lockfile".to_owned(), path.to_string_lossy().into_owned()]);
    }
    words.extend(names.iter().map(|name| (*name).to_owned()));
    shell::quote_command(&words)
}

impl Lockfile {
    /// Parses a lock file. Lines may be in any order, and there may be blank lines, because a merge may leave the file
    /// like this.
    pub fn parse(bytes: &[u8]) -> Result<Self, LockfileError> {
        if bytes.len() > MAX_SIZE {
            return Err(LockfileError::TooLarge);
        }
        let mut lines = (1..).zip(bytes.split(|&byte| byte == b'\n'));
        check_header(lines.next().map(|(_, line)| line).unwrap_or_default())?;
        let mut lockfile = Self::default();
        for (number, text) in lines.filter(|(_, text)| !text.is_empty()) {
            match parse_line(number, text)? {
                LockLine::Lockfile { .. } => return Err(LockfileError::SecondHeader(number)),
                LockLine::Lock(pin) => {
                    let replaced = lockfile.insert(*pin);
                    let replaced =
                        replaced.map_err(|error| LockfileError::Invalid(number, error.to_string()))?;
                    if let Some(Pin { platform, name, .. }) = replaced {
                        return Err(LockfileError::Duplicate(number, name, platform));
                    }
                }
            }
        }
        Ok(lockfile)
    }

    /// Returns the pin of a name on a platform, or `None` if there is none.
    pub fn get(&self, platform: &str, name: &str) -> Option<&Pin> {
        self.pins.get(&(platform.to_owned(), name.to_owned()))
    }

    /// Returns the pins of a platform, by name.
    pub fn of_platform(&self, platform: &str) -> impl Iterator<Item = &Pin> {
        self.pins.values().filter(move |pin| pin.platform == platform)
    }

    /// Sets the pin of its platform and name, and returns the one that it replaces.
    pub fn insert(&mut self, pin: Pin) -> Result<Option<Pin>, PinError> {
        pin.check()?;
        Ok(self.pins.insert((pin.platform.clone(), pin.name.clone()), pin))
    }

    /// Removes the pins of a platform whose names are not kept, and returns them.
    pub fn prune(&mut self, platform: &str, is_kept: impl Fn(&str) -> bool) -> Vec<Pin> {
        let is_pruned = |pin: &Pin| pin.platform == platform && !is_kept(&pin.name);
        self.pins.extract_if(.., |_, pin| is_pruned(pin)).map(|(_, pin)| pin).collect()
    }
}

/// Writes the contents of the file.
impl fmt::Display for Lockfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = LockLine::Lockfile { version: FORMAT };
        let pins = self.pins.values().map(|pin| LockLine::Lock(Box::new(pin.clone())));
        std::iter::once(header)
            .chain(pins)
            .try_for_each(|line| writeln!(f, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?))
    }
}

impl Pin {
    /// Returns the pinned version, or all versions if it is unknown: then the digest decides alone.
    pub fn versions(&self) -> VersionRange<'_> {
        VersionRange::exactly(&self.version)
    }

    /// Returns the version to request from the provider: that of the package, if it is another one.
    pub fn requested_version(&self) -> &str {
        if self.package_version.is_empty() { &self.version } else { &self.package_version }
    }

    /// Returns the version of a program or of its package that is not the pinned one, and the pinned one; `None` if both are.
    pub(crate) fn other_version<'a>(
        &'a self,
        version: &'a str,
        package_version: &'a str,
    ) -> Option<(&'a str, &'a str)> {
        if !self.versions().contains(version) {
            return Some((version, &self.version));
        }
        let is_pinned = self.package_version.is_empty() || self.package_version == package_version;
        (!is_pinned).then_some((package_version, &self.package_version))
    }

    /// Returns the pin's line as a record.
    pub fn to_record(&self) -> Value {
        serde_json::to_value(LockLine::Lock(Box::new(self.clone()))).unwrap_or_default()
    }

    fn check(&self) -> Result<(), PinError> {
        let Self { platform, name, binprovider: _, version, package_version, .. } = self;
        let Self { sha256, url, url_sha256, hook_sha256, overrides_sha256, .. } = self;
        if platform.len() > MAX_TEXT
            || !platform.split_once('-').is_some_and(|(arch, os)| is_word(arch) && is_word(os))
        {
            return Err(PinError::Platform(platform.clone()));
        }
        if BinaryName::parse(name, None)?.as_str() != name || name.len() > MAX_NAME {
            return Err(PinError::NameShape);
        }
        if let Some(version) = [version, package_version]
            .into_iter()
            .find(|text| text.trim() != *text || !is_valid_version(text))
        {
            return Err(PinError::Version(version.clone()));
        }
        for (key, digest) in [("sha256", sha256), ("hook_sha256", hook_sha256)] {
            if !is_sha256(digest) {
                return Err(PinError::Digest(key));
            }
        }
        for (key, digest) in [("url_sha256", url_sha256), ("overrides_sha256", overrides_sha256)] {
            if !digest.is_empty() && !is_sha256(digest) {
                return Err(PinError::Digest(key));
            }
        }
        let is_url = url.len() <= MAX_URL_LENGTH && url.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_url || url.is_empty() != url_sha256.is_empty() {
            return Err(PinError::Url);
        }
        Ok(())
    }
}

fn is_word(text: &str) -> bool {
    let is_word_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
    !text.is_empty() && text.bytes().all(is_word_byte)
}

/// Checks the header. A newer format is reported even if the rest of the line cannot be parsed.
fn check_header(text: &[u8]) -> Result<(), LockfileError> {
    if text.ends_with(b"\r") {
        return Err(LockfileError::Crlf(1));
    }
    let fields: Map<String, Value> = serde_json::from_slice(text).unwrap_or_default();
    let is_header = fields.get("type").is_some_and(|kind| kind == "Lockfile");
    match fields.get("version").filter(|_| is_header).and_then(Value::as_u64) {
        Some(version) if version > FORMAT => return Err(LockfileError::Newer(version)),
        Some(FORMAT) => {}
        _ => return Err(LockfileError::NoHeader),
    }
    parse_line(1, text).map(drop)
}

fn parse_line(number: usize, text: &[u8]) -> Result<LockLine, LockfileError> {
    if text.len() > jsonl::MAX_LINE {
        return Err(LockfileError::TooLong(number));
    }
    if text.ends_with(b"\r") {
        return Err(LockfileError::Crlf(number));
    }
    if CONFLICT_MARKERS.iter().any(|marker| text.starts_with(marker)) {
        return Err(LockfileError::Conflict(number));
    }
    let line = serde_json::from_slice(text).and_then(|StrictValue(line)| LockLine::deserialize(line));
    line.map_err(|error| LockfileError::Invalid(number, jsonl::parse_error(&error)))
}

#[cfg(test)]
mod tests;
