//! The name of a binary, which is checked when it is parsed because it becomes the name of a folder and of a link.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::fs::dir;
use crate::model::version::VersionRange;

/// The longest name, in characters. 63 four-byte characters still fit into a file name of 255 bytes.
pub const MAX_CHARS: usize = 63;

/// A binary's name: a plain name (`yt-dlp`), or the absolute path of one file (`/opt/tools/yt-dlp`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BinaryName(String);

/// An error in the name of a binary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty or blank.
    #[error("the name is blank; use a plain name, or the absolute path of a file")]
    Blank,
    /// A `:` with no provider before it.
    #[error("there is no provider before the `:` of `{0}`; use PROVIDER:NAME, or the name alone")]
    NoProvider(String),
    /// The name has more than [`MAX_CHARS`] characters.
    #[error("the name has {0} characters; at most {MAX_CHARS} are allowed")]
    TooLong(usize),
    /// A path that is neither absolute nor below the home folder.
    #[error("the name `{0}` contains a `/`; use a plain name, or the absolute path of a file")]
    RelativePath(String),
    /// An address.
    #[error(
        "`{0}` is an address, not a name; run this with the name of its program in place of PROGRAM: `echo '{{\"type\":\"BinaryRequest\",\"name\":\"PROGRAM\",\"binproviders\":\"url\",\"overrides\":{{\"url\":{{\"url\":\"{0}\"}}}}}}' | rigup apply`"
    )]
    Address(String),
    /// A Node package with a scope.
    #[error(
        "the name `{0}` is that of a package; run this with one of its programs, which `npm view {0} bin` shows, in place of PROGRAM: `echo '{{\"type\":\"BinaryRequest\",\"name\":\"PROGRAM\",\"binproviders\":\"npm\",\"overrides\":{{\"npm\":[\"{0}\"]}}}}' | rigup apply`"
    )]
    Scoped(String),
    /// `.` or `..`, alone or as the last part of a path.
    #[error("the name `{0}` is a folder; use a plain name, or the absolute path of a file")]
    Dots(String),
    /// A program would read the name as an option.
    #[error("the name `{0}` starts with `-`; leave that out")]
    LeadingDash(String),
    /// A control character, or a backslash, which the `echo` of many shells turns into one.
    #[error("the name {0:?} contains a control character or a backslash; leave that out")]
    Control(String),
    /// A template such as `{X_BINARY}`, which only config.json may contain.
    #[error("the name `{0}` is a template; only required_binaries in config.json may contain one")]
    Template(String),
    /// A `~` path, but the home folder is unknown.
    #[error("the name `{0}` is below the home folder, but HOME is not set to an absolute path")]
    NoHome(String),
}

impl BinaryName {
    /// Parses a name, and trims blanks around it. `home` replaces the `~` of a leading `~/`.
    pub fn parse(text: &str, home: Option<&Path>) -> Result<Self, NameError> {
        let is_blank = |c: char| c.is_whitespace() && !c.is_control();
        let text = text.trim_matches(is_blank);
        if text.trim().is_empty() {
            return Err(NameError::Blank);
        }
        if text.contains(|c: char| c.is_control() || c == '\\') {
            return Err(NameError::Control(text.to_owned()));
        }
        let expanded = if text.starts_with("~/") {
            let path = dir::expand_home(Path::new(text), home);
            let path = path.ok_or_else(|| NameError::NoHome(text.to_owned()))?;
            // Expanding removes a trailing slash, which may have followed a blank.
            path.to_string_lossy().trim_end_matches(is_blank).to_owned()
        } else {
            text.to_owned()
        };
        if expanded.contains('/') && !expanded.starts_with('/') {
            let error = match text {
                text if is_address(text) => NameError::Address,
                text if is_scoped(text) => NameError::Scoped,
                _ => NameError::RelativePath,
            };
            return Err(error(text.to_owned()));
        }
        if expanded.ends_with('/') {
            return Err(NameError::Dots(text.to_owned()));
        }
        check_plain(link_name(&expanded))?;
        Ok(Self(expanded))
    }

    /// Returns the name as written in records: a plain name or an absolute path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the file that the name denotes, or `None` for a plain name.
    pub fn file(&self) -> Option<PathBuf> {
        self.0.starts_with('/').then(|| PathBuf::from(&self.0))
    }

    /// Returns the name of the binary's link in LIB_BIN_DIR and of its folders.
    pub fn link_name(&self) -> &str {
        link_name(&self.0)
    }
}

/// Returns the name of a binary's link: the binary's name, or the last part if the name is a path.
pub fn link_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Returns whether a text is an address such as `https://example.org/x`, without a character that a shell or JSON would read.
pub(crate) fn is_address(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && !"'\"{}".contains(c);
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.chars().all(|c| c.is_ascii_alphanumeric()))
        && text.chars().all(is_plain)
}

/// Returns whether a text is the name of a Node package with a scope such as `@angular/cli@17`, perhaps with a version.
fn is_scoped(package: &str) -> bool {
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "@._~^-".contains(c));
    let parts = package.strip_prefix('@').and_then(|package| package.split_once('/'));
    parts.is_some_and(|(scope, name)| {
        is_plain(scope) && is_plain(name) && !name.is_empty() && !name.starts_with('@')
    })
}

/// Returns a binary's name with the accepted versions: `sh`, `sh 9.1` or `sh (>= 9)`.
pub(crate) fn label(name: &str, versions: VersionRange<'_>) -> String {
    match versions.exact() {
        Some(exact) => format!("{name} {exact}"),
        None if versions == VersionRange::default() => name.to_owned(),
        None => format!("{name} ({versions})"),
    }
}

fn check_plain(name: &str) -> Result<(), NameError> {
    let chars = name.chars().count();
    if name.trim().is_empty() {
        Err(NameError::Blank)
    } else if chars > MAX_CHARS {
        Err(NameError::TooLong(chars))
    } else if name == "." || name == ".." {
        Err(NameError::Dots(name.to_owned()))
    } else if name.starts_with('-') {
        Err(NameError::LeadingDash(name.to_owned()))
    } else if name.contains('{') || name.contains('}') {
        Err(NameError::Template(name.to_owned()))
    } else {
        Ok(())
    }
}

impl fmt::Display for BinaryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn parse(text: &str) -> Result<BinaryName, NameError> {
        BinaryName::parse(text, Some(Path::new("/home/me")))
    }

    #[test]
    fn a_plain_name_is_its_own_link_name_and_denotes_no_file() {
        let name = parse("yt-dlp").unwrap();
        assert_eq!(name.link_name(), "yt-dlp");
        assert_eq!(name.file(), None);
        assert_eq!(parse("\u{a0} yt-dlp ").unwrap(), name);
    }

    #[test]
    fn a_path_denotes_one_file_and_is_linked_by_the_files_name() {
        let name = parse("~/bin/tool").unwrap();
        assert_eq!(name.as_str(), "/home/me/bin/tool");
        assert_eq!(name.file(), Some(PathBuf::from("/home/me/bin/tool")));
        assert_eq!(name.link_name(), "tool");
    }

    #[test]
    fn rejects_a_name_that_cannot_be_a_folder_a_link_or_an_argument() {
        assert_eq!(parse("  "), Err(NameError::Blank));
        assert_eq!(parse(&"x".repeat(300)), Err(NameError::TooLong(300)));
        assert!(matches!(parse("../x"), Err(NameError::RelativePath(_))));
        for path in ["a/b", "@a/b/c", "@a/", "@a/b'"] {
            assert!(matches!(parse(path), Err(NameError::RelativePath(_))), "{path}");
        }
        assert!(matches!(parse(".."), Err(NameError::Dots(_))));
        assert!(matches!(parse("/opt/.."), Err(NameError::Dots(_))));
        assert!(matches!(parse("/opt/"), Err(NameError::Dots(_))));
        assert!(matches!(parse("-rf"), Err(NameError::LeadingDash(_))));
        assert!(matches!(parse("a\0b"), Err(NameError::Control(_))));
        assert!(matches!(parse("a\\n-b"), Err(NameError::Control(_))));
        assert!(matches!(parse("{WGET_BINARY}"), Err(NameError::Template(_))));
        assert_eq!(parse(&"ü".repeat(63)).unwrap().link_name().chars().count(), 63);
    }

    /// A text, mostly of parts that matter in paths and arguments.
    fn any_text() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            select(vec!["/", ".", "..", "~/", "-", " ", "\u{a0}", "{", "\\", "\n", "\0"])
                .prop_map(str::to_owned),
            "[a-zü]{1,30}",
            any::<char>().prop_map(String::from),
        ];
        proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn an_accepted_name_round_trips_and_links_one_file_in_its_folder(text in any_text()) {
            let Ok(name) = parse(&text) else { return Ok(()) };
            prop_assert_eq!(BinaryName::parse(name.as_str(), None), Ok(name.clone()));
            let link = Path::new("/lib/bin").join(name.link_name());
            prop_assert_eq!(link.parent(), Some(Path::new("/lib/bin")));
            prop_assert_eq!(link.file_name().and_then(OsStr::to_str), Some(name.link_name()));
            prop_assert!((1..=MAX_CHARS).contains(&name.link_name().chars().count()));
            prop_assert!(!name.link_name().starts_with('-') && !name.as_str().contains(char::is_control));
            prop_assert!(name.file().is_none_or(|file| file.is_absolute() && file.ends_with(name.link_name())));
            prop_assert_eq!(name.file().is_none(), name.as_str() == name.link_name());
        }
    }
}
