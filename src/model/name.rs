//! The name of a binary: it becomes a folder and a link, so it is checked once, here.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::fs::home;

/// The longest name, in characters. 63 four-byte characters still fit into a file name of 255 bytes.
pub const MAX_CHARS: usize = 63;

/// What a requirement asks for: a plain name (`yt-dlp`), or exactly one file (`/opt/tools/yt-dlp`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BinaryName(String);

/// Why a text is not the name of a binary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or only blanks.
    #[error("the name is blank")]
    Blank,
    /// Longer than [`MAX_CHARS`].
    #[error("the name has {0} characters; at most {MAX_CHARS} are allowed")]
    TooLong(usize),
    /// A path that is neither absolute nor below the home folder.
    #[error("the name `{0}` has a `/`: give a plain name, or an absolute path for exactly that file")]
    RelativePath(String),
    /// `.` or `..`, here or as the last part of a path.
    #[error("the name `{0}` means a folder")]
    Dots(String),
    /// It would be read as an option.
    #[error("the name `{0}` begins with `-`")]
    LeadingDash(String),
    /// NUL, newline, escape and the like; and a backslash, of which many a shell's `echo` makes one of these.
    #[error("the name {0:?} has a control character or a backslash")]
    Control(String),
    /// `{X_BINARY}`: only config.json may have templates.
    #[error("the name `{0}` is a template, which binaries.jsonl does not take")]
    Template(String),
    /// A `~` path, and no home folder is known.
    #[error("`{0}` is below the home folder, but HOME is not set")]
    NoHome(String),
}

impl BinaryName {
    /// Checks a name, blanks around it cut off. `home` is what a leading `~/` stands for.
    pub fn parse(text: &str, home: Option<&Path>) -> Result<Self, NameError> {
        let text = text.trim_matches(|c: char| c.is_whitespace() && !c.is_control());
        if text.trim().is_empty() {
            return Err(NameError::Blank);
        }
        if text.contains(|c: char| c.is_control() || c == '\\') {
            return Err(NameError::Control(text.to_owned()));
        }
        let whole = if text.starts_with("~/") {
            let path = home::expand(Path::new(text), home);
            path.ok_or_else(|| NameError::NoHome(text.to_owned()))?.to_string_lossy().into_owned()
        } else {
            text.to_owned()
        };
        let plain = if whole.starts_with('/') {
            let last = whole.rsplit('/').next().unwrap_or_default();
            if last.is_empty() {
                return Err(NameError::Dots(text.to_owned()));
            }
            last
        } else if whole.contains('/') {
            return Err(NameError::RelativePath(text.to_owned()));
        } else {
            &whole
        };
        check_plain(plain)?;
        Ok(Self(whole))
    }

    /// The name as it stands in records: a plain name or an absolute path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file that is meant, where a path was given.
    pub fn file(&self) -> Option<PathBuf> {
        self.0.starts_with('/').then(|| PathBuf::from(&self.0))
    }

    /// The name of the link in LIB_BIN_DIR and of folders: the name itself, or the last part of the path.
    pub fn link_name(&self) -> &str {
        link_name(&self.0)
    }
}

/// The name of the link of a binary with this name: the name itself, or the last part of the path.
pub fn link_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
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
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn parse(text: &str) -> Result<BinaryName, NameError> {
        BinaryName::parse(text, Some(Path::new("/home/me")))
    }

    #[test]
    fn a_plain_name_is_its_own_link_name_and_means_no_particular_file() {
        let name = parse("yt-dlp").unwrap();
        assert_eq!(name.link_name(), "yt-dlp");
        assert_eq!(name.file(), None);
        assert_eq!(parse("\u{a0} yt-dlp ").unwrap(), name);
    }

    #[test]
    fn a_path_means_exactly_that_file_and_is_linked_under_the_files_name() {
        let name = parse("~/bin/tool").unwrap();
        assert_eq!(name.as_str(), "/home/me/bin/tool");
        assert_eq!(name.file(), Some(PathBuf::from("/home/me/bin/tool")));
        assert_eq!(name.link_name(), "tool");
    }

    #[test]
    fn names_that_could_not_be_a_folder_a_link_or_an_argument_are_refused() {
        assert_eq!(parse("  "), Err(NameError::Blank));
        assert_eq!(parse(&"x".repeat(300)), Err(NameError::TooLong(300)));
        assert!(matches!(parse("../x"), Err(NameError::RelativePath(_))));
        assert!(matches!(parse("a/b"), Err(NameError::RelativePath(_))));
        assert!(matches!(parse(".."), Err(NameError::Dots(_))));
        assert!(matches!(parse("/opt/.."), Err(NameError::Dots(_))));
        assert!(matches!(parse("/opt/"), Err(NameError::Dots(_))));
        assert!(matches!(parse("-rf"), Err(NameError::LeadingDash(_))));
        assert!(matches!(parse("a\0b"), Err(NameError::Control(_))));
        assert!(matches!(parse("a\\n-b"), Err(NameError::Control(_))));
        assert!(matches!(parse("{WGET_BINARY}"), Err(NameError::Template(_))));
        assert_eq!(parse(&"ü".repeat(63)).unwrap().link_name().chars().count(), 63);
    }

    /// Mostly parts that matter in paths and arguments.
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
        fn a_name_that_is_accepted_links_one_file_in_its_folder_and_is_read_again_as_the_same(text in any_text()) {
            let Ok(name) = parse(&text) else { return Ok(()) };
            prop_assert_eq!(BinaryName::parse(name.as_str(), None), Ok(name.clone()));
            let link = Path::new("/lib/bin").join(name.link_name());
            prop_assert_eq!(link.parent(), Some(Path::new("/lib/bin")));
            prop_assert_eq!(link.file_name().and_then(|it| it.to_str()), Some(name.link_name()));
            prop_assert!((1..=MAX_CHARS).contains(&name.link_name().chars().count()));
            prop_assert!(!name.link_name().starts_with('-') && !name.as_str().contains(char::is_control));
            prop_assert!(name.file().is_none_or(|it| it.is_absolute() && it.ends_with(name.link_name())));
            prop_assert_eq!(name.file().is_none(), name.as_str() == name.link_name());
        }
    }
}
