//! `rigup.lock`: what a name is on a platform, one line each. Pure.
//!
//! ```jsonl
//! {"type":"Lockfile","version":1}
//! {"type":"Lock","platform":"x86_64-linux","name":"rg","binprovider":"apt","version":"13.0.0","sha256":"5e1c...","hook_sha256":"07d2..."}
//! ```
//!
//! Lines are sorted by platform, then name, and their keys have one order, so the same facts are the same bytes, and two
//! branches that lock different names or platforms merge. What is read is read strictly: a line that is not fully
//! understood is not half believed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fs::digest::is_sha256;
use crate::jsonl;
use crate::model::name::{BinaryName, NameError};
use crate::model::plugin_name::ProviderName;

/// The file in the current folder.
pub const FILE_NAME: &str = "rigup.lock";

/// The largest file that is read, in bytes: 16 MiB, some fifty thousand lines.
pub const MAX_SIZE: usize = 16 << 20;

/// The version of the format that is written and understood.
const FORMAT: u64 = 1;

/// Longest texts, in bytes; a path is at most so long on Linux.
const MAX_NAME: usize = 4096;
const MAX_TEXT: usize = 255;

/// What git writes around two versions that it could not merge.
const CONFLICT_MARKERS: [&[u8]; 4] = [b"<<<<<<<", b"|||||||", b"=======", b">>>>>>>"];

/// What is to be had under a name on a platform: one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Such as `x86_64-linux`.
    pub platform: String,
    /// The name as it is asked for.
    pub name: String,
    /// The provider that won.
    pub binprovider: ProviderName,
    /// The version; empty where the program tells none.
    pub version: String,
    /// Hex SHA-256 of the file, in which LIB_DIR is written as `{LIB_DIR}`.
    pub sha256: String,
    /// Hex SHA-256 of the provider's hook.
    pub hook_sha256: String,
}

/// All lines of a lock file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lockfile {
    lines: BTreeMap<(String, String), Locked>,
}

/// A lock file that cannot be used; every error names its line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockfileError {
    /// Over [`MAX_SIZE`].
    #[error("it has more than {MAX_SIZE} bytes, which no lock file has")]
    TooLarge,
    /// Empty, or no lock file.
    #[error("line 1: a lock file begins with {{\"type\":\"Lockfile\",\"version\":{FORMAT}}}")]
    NoHeader,
    /// Written by a later rigup.
    #[error("line 1: its format is version {0}, and this rigup knows {FORMAT}; get a newer rigup")]
    Newer(u64),
    /// The header once more.
    #[error("line {0}: \"Lockfile\" may stand on line 1 only")]
    SecondHeader(usize),
    /// What git could not merge.
    #[error(
        "line {0}: git could not merge it; keep one line for each platform and name, or take either side and run `rigup lock`"
    )]
    Conflict(usize),
    /// Over [`jsonl::MAX_LINE`].
    #[error("line {0}: it is longer than {max} bytes", max = jsonl::MAX_LINE)]
    TooLong(usize),
    /// Windows' ends of lines.
    #[error(
        "line {0}: it ends in CR LF, and lock files are the same bytes everywhere; put `rigup.lock -text` into .gitattributes"
    )]
    Crlf(usize),
    /// No JSON object of this shape.
    #[error("line {line}: {reason}: {head}")]
    Unreadable {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
        /// Its beginning.
        head: String,
    },
    /// A value that cannot be.
    #[error("line {line}: {error}")]
    Field {
        /// The line, from 1.
        line: usize,
        /// Which value, and why.
        error: FieldError,
    },
    /// Two lines for one thing.
    #[error("line {line}: {name} on {platform} has a line already; keep one of them, or run `rigup lock`")]
    Duplicate {
        /// The second line, from 1.
        line: usize,
        /// The name.
        name: String,
        /// The platform.
        platform: String,
    },
}

/// A value that cannot stand in a lock file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Not `<arch>-<os>`.
    #[error("the platform {0:?} is none: it is written like x86_64-linux")]
    Platform(String),
    /// No name of a binary.
    #[error("{0}")]
    Name(NameError),
    /// Blanks around a name, or one that is endless.
    #[error("the name has blanks around it, or more than {MAX_NAME} bytes")]
    NameShape,
    /// Endless, or with control characters.
    #[error("the version {0:?} has control characters, blanks around it, or more than {MAX_TEXT} bytes")]
    Version(String),
    /// No digest.
    #[error("\"{0}\" has to be 64 hex digits, in lower case")]
    Digest(&'static str),
}

/// A line as it is spelled.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
enum LockLine {
    Lockfile(Header),
    Lock(Locked),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u64,
}

impl Lockfile {
    /// Reads a lock file. The order of the lines and blank ones between them do not matter: a merge may leave them so.
    pub fn parse(bytes: &[u8]) -> Result<Self, LockfileError> {
        if bytes.len() > MAX_SIZE {
            return Err(LockfileError::TooLarge);
        }
        let mut lines = (1..).zip(bytes.split(|&byte| byte == b'\n'));
        read_header(lines.next().map(|(_, line)| line).unwrap_or_default())?;
        let mut lockfile = Self::default();
        for (number, text) in lines.filter(|(_, text)| !text.is_empty()) {
            match read_line(number, text)? {
                LockLine::Lockfile(_) => return Err(LockfileError::SecondHeader(number)),
                LockLine::Lock(locked) => {
                    check(&locked).map_err(|error| LockfileError::Field { line: number, error })?;
                    match lockfile.lines.entry((locked.platform.clone(), locked.name.clone())) {
                        Entry::Vacant(place) => drop(place.insert(locked)),
                        Entry::Occupied(_) => {
                            let Locked { platform, name, .. } = locked;
                            return Err(LockfileError::Duplicate { line: number, name, platform });
                        }
                    }
                }
            }
        }
        Ok(lockfile)
    }

    /// The line of a name on a platform.
    pub fn get(&self, platform: &str, name: &str) -> Option<&Locked> {
        self.lines.get(&(platform.to_owned(), name.to_owned()))
    }

    /// Puts a line in the place of the one for its platform and name, and gives that back.
    pub fn put(&mut self, locked: Locked) -> Result<Option<Locked>, FieldError> {
        check(&locked)?;
        Ok(self.lines.insert((locked.platform.clone(), locked.name.clone()), locked))
    }

    /// Takes out the lines of a platform whose names are not to be kept, and gives them back.
    pub fn prune(&mut self, platform: &str, is_kept: impl Fn(&str) -> bool) -> Vec<Locked> {
        let is_pruned = |it: &Locked| it.platform == platform && !is_kept(&it.name);
        self.lines.extract_if(.., |_, it| is_pruned(it)).map(|(_, it)| it).collect()
    }
}

/// The file, byte for byte.
impl fmt::Display for Lockfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spell = |line: &LockLine| serde_json::to_string(line).map_err(|_| fmt::Error);
        writeln!(f, "{}", spell(&LockLine::Lockfile(Header { version: FORMAT }))?)?;
        self.lines.values().try_for_each(|it| writeln!(f, "{}", spell(&LockLine::Lock(it.clone()))?))
    }
}

impl Locked {
    /// Its line as a record.
    pub fn to_record(&self) -> Value {
        serde_json::to_value(LockLine::Lock(self.clone())).unwrap_or_default()
    }
}

/// A later format is told before anything else of it is looked at.
fn read_header(text: &[u8]) -> Result<(), LockfileError> {
    if text.ends_with(b"\r") {
        return Err(LockfileError::Crlf(1));
    }
    let fields: Option<Map<String, Value>> = serde_json::from_slice(text).ok();
    let header = fields.filter(|it| it.get("type").is_some_and(|it| it == "Lockfile"));
    match header.as_ref().and_then(|it| it.get("version")).and_then(Value::as_u64) {
        Some(version) if version > FORMAT => return Err(LockfileError::Newer(version)),
        Some(FORMAT) => {}
        _ => return Err(LockfileError::NoHeader),
    }
    read_line(1, text).map(drop)
}

fn read_line(number: usize, text: &[u8]) -> Result<LockLine, LockfileError> {
    if text.len() > jsonl::MAX_LINE {
        return Err(LockfileError::TooLong(number));
    }
    if text.ends_with(b"\r") {
        return Err(LockfileError::Crlf(number));
    }
    if CONFLICT_MARKERS.iter().any(|marker| text.starts_with(marker)) {
        return Err(LockfileError::Conflict(number));
    }
    serde_json::from_slice(text).map_err(|error| {
        let reason = error.to_string();
        // The parser counts lines of its own.
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason).to_owned();
        LockfileError::Unreadable { line: number, reason, head: jsonl::head(text) }
    })
}

fn check(locked: &Locked) -> Result<(), FieldError> {
    let Locked { platform, name, binprovider: _, version, sha256, hook_sha256 } = locked;
    let is_word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_.".contains(&it))
    };
    if platform.len() > MAX_TEXT || !platform.split_once('-').is_some_and(|(a, b)| is_word(a) && is_word(b)) {
        return Err(FieldError::Platform(platform.clone()));
    }
    let parsed = BinaryName::parse(name, None).map_err(FieldError::Name)?;
    if name.len() > MAX_NAME || parsed.as_str() != name {
        return Err(FieldError::NameShape);
    }
    let is_text = |it: &str| it.len() <= MAX_TEXT && it.trim() == it && !it.chars().any(char::is_control);
    if !is_text(version) {
        return Err(FieldError::Version(version.clone()));
    }
    for (key, digest) in [("sha256", sha256), ("hook_sha256", hook_sha256)] {
        if !is_sha256(digest) {
            return Err(FieldError::Digest(key));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = r#"{"type":"Lockfile","version":1}"#;

    fn locked(platform: &str, name: &str, version: &str) -> Locked {
        Locked {
            platform: platform.to_owned(),
            name: name.to_owned(),
            binprovider: ProviderName::from_static("pip"),
            version: version.to_owned(),
            sha256: "a".repeat(64),
            hook_sha256: "0".repeat(64),
        }
    }

    fn line(platform: &str, name: &str) -> String {
        locked(platform, name, "1.0").to_record().to_string()
    }

    fn error(lines: &[&str]) -> String {
        let text = std::iter::once(HEADER).chain(lines.iter().copied()).collect::<Vec<_>>().join("\n");
        Lockfile::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn lines_are_sorted_by_platform_and_name_and_have_one_order_of_keys() {
        let mut lockfile = Lockfile::default();
        for (platform, name) in [("x86_64-linux", "rg"), ("x86_64-linux", "jq"), ("aarch64-macos", "rg")] {
            lockfile.put(locked(platform, name, "1.0")).unwrap();
        }
        let expected = [
            HEADER.to_owned(),
            line("aarch64-macos", "rg"),
            line("x86_64-linux", "jq"),
            line("x86_64-linux", "rg"),
        ];
        assert_eq!(lockfile.to_string(), expected.join("\n") + "\n");
        let keys =
            r#"{"type":"Lock","platform":"x86_64-linux","name":"jq","binprovider":"pip","version":"1.0","#;
        assert!(lockfile.to_string().contains(keys), "{lockfile}");
    }

    #[test]
    fn a_line_of_another_platform_stays_when_one_is_put_or_pruned() {
        let mut lockfile = Lockfile::default();
        for platform in ["x86_64-linux", "aarch64-macos"] {
            lockfile.put(locked(platform, "rg", "1.0")).unwrap();
        }
        let before = lockfile.put(locked("x86_64-linux", "rg", "2.0")).unwrap();
        assert_eq!(before.unwrap().version, "1.0");
        assert_eq!(lockfile.get("aarch64-macos", "rg").unwrap().version, "1.0");
        assert_eq!(lockfile.prune("x86_64-linux", |name| name == "jq").len(), 1);
        assert_eq!(lockfile.get("x86_64-linux", "rg"), None);
        assert!(lockfile.get("aarch64-macos", "rg").is_some());
    }

    #[test]
    fn what_a_merge_leaves_unsorted_or_blank_is_read() {
        let text = format!("{HEADER}\n{}\n\n{}", line("x86_64-linux", "b"), line("x86_64-linux", "a"));
        let lockfile = Lockfile::parse(text.as_bytes()).unwrap();
        assert!(lockfile.get("x86_64-linux", "a").is_some() && lockfile.get("x86_64-linux", "b").is_some());
    }

    #[test]
    fn a_later_format_is_told_whatever_else_it_has() {
        let newer = br#"{"type":"Lockfile","version":2,"made_by":"rigup 9"}"#;
        assert_eq!(Lockfile::parse(newer), Err(LockfileError::Newer(2)));
        for none in
            ["", "\n", "{}", "rg 13.0", r#"{"type":"Lockfile"}"#, r#"{"type":"Lockfile","version":"1"}"#]
        {
            assert_eq!(Lockfile::parse(none.as_bytes()), Err(LockfileError::NoHeader), "{none}");
        }
        let unknown = Lockfile::parse(br#"{"type":"Lockfile","version":1,"x":1}"#).unwrap_err().to_string();
        assert!(unknown.starts_with("line 1: unknown field `x`"), "{unknown}");
    }

    #[test]
    fn what_is_hostile_or_broken_is_named_by_its_line() {
        let good = line("x86_64-linux", "rg");
        let with = |from: &str, to: &str| good.replace(from, to);
        for (bad, expected) in [
            ("rg 13.0".to_owned(), "line 3: expected value: rg 13.0"),
            (with("}", r#","added_at":"today"}"#), "line 3: unknown field `added_at`, expected one of"),
            (with("}", r#","name":"rg"}"#), "line 3: duplicate field `name`"),
            (with(r#""1.0""#, "1.0"), "line 3: invalid type: floating point"),
            (with(r#""version":"1.0","#, ""), "line 3: missing field `version`"),
            (with(r#""Lock""#, r#""Binary""#), "line 3: unknown variant `Binary`"),
            (with("aaaa", "AAAA"), "line 3: \"sha256\" has to be 64 hex digits"),
            (with("0000", ""), "line 3: \"hook_sha256\" has to be 64 hex digits"),
            (with("x86_64-linux", "linux"), "line 3: the platform \"linux\" is none"),
            (with(r#""rg""#, r#""../rg""#), "line 3: the name `../rg` has a `/`"),
            (with(r#""rg""#, r#"" rg""#), "line 3: the name has blanks around it"),
            (with(r#""pip""#, r#""pip,npm""#), "line 3: \"pip,npm\" cannot name a plugin"),
            (with("1.0", "1.0\\n2"), "line 3: the version \"1.0\\n2\" has control characters"),
            (good.clone() + "\r", "line 3: it ends in CR LF"),
            (good.clone() + &good, "line 3: trailing characters"),
            (good[..40].to_owned(), "line 3: EOF while parsing"),
            (with("rg", "jq"), "line 3: jq on x86_64-linux has a line already"),
            (HEADER.to_owned(), "line 3: \"Lockfile\" may stand on line 1 only"),
            ("<<<<<<< HEAD".to_owned(), "line 3: git could not merge it"),
            ("[".repeat(100_000), "line 3: "),
            (format!("\"{}\"", "x".repeat(jsonl::MAX_LINE)), "line 3: it is longer than 1048576 bytes"),
            ("\u{feff}".to_owned() + &good, "line 3: expected value"),
        ] {
            let error = error(&[&line("x86_64-linux", "jq"), &bad]);
            assert!(error.starts_with(expected), "{}: {error}", jsonl::head(bad.as_bytes()));
        }
        assert_eq!(Lockfile::parse(&vec![b'\n'; MAX_SIZE + 1]), Err(LockfileError::TooLarge));
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let mut lockfile = Lockfile::default();
        assert!(matches!(lockfile.put(locked("x86_64-linux", "x", "1\n2")), Err(FieldError::Version(_))));
        assert_eq!(lockfile, Lockfile::default());
    }

    prop_compose! {
        fn any_locked()(
            platform in "[a-z0-9_]{1,8}-[a-z]{1,8}", name in "[a-z0-9][^/{}\\\\\\pC\\s]{0,10}", binprovider in "[a-z]{1,5}",
            version in "[^\\pC\\s]{0,12}", sha256 in "[0-9a-f]{64}", hook_sha256 in "[0-9a-f]{64}",
        ) -> Locked {
            Locked { platform, name, binprovider: ProviderName::parse(&binprovider).unwrap(), version, sha256, hook_sha256 }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_written_the_same(all in proptest::collection::vec(any_locked(), 0..20)) {
            let mut lockfile = Lockfile::default();
            for it in all {
                lockfile.put(it).unwrap();
            }
            let text = lockfile.to_string();
            let read = Lockfile::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(&read, &lockfile);
            prop_assert_eq!(read.to_string(), text);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let with_header = [HEADER.as_bytes(), b"\n", &bytes].concat();
            for bytes in [bytes, with_header] {
                if let Ok(read) = Lockfile::parse(&bytes) {
                    let text = read.to_string();
                    prop_assert_eq!(Lockfile::parse(text.as_bytes()), Ok(read));
                }
            }
        }
    }
}
