//! The reasons why an archive is not unpacked.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::exhaustion;
use crate::report::text::cut_start;
use crate::report::units;
use crate::shell;
use crate::toolkit::unpack::format::MEMORY_KIB;

/// How much of a path that is too long a message shows, in characters.
const MAX_SHOWN: usize = 100;

/// The reason why an archive is not unpacked. It completes a sentence that starts with `cannot unpack FILE: `.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive cannot be decoded, with the error of the decoder.
    #[error("it is damaged or incomplete: {0}")]
    Damaged(String),
    /// The archive uses a feature that rigup cannot read.
    #[error("it uses {0}, which rigup cannot read")]
    Unsupported(String),
    /// A decoder needs too much memory.
    #[error("unpacking it needs more than {limit} of memory", limit = units::bytes(u64::from(MEMORY_KIB) << 10))]
    Memory,
    /// The path of an entry leads out of the folder.
    #[error("it contains the path {0:?}, which leads out of the folder")]
    PathOutside(PathBuf),
    /// A symbolic link leads out of the folder.
    #[error("it contains the link {0:?} to {1:?}, which leads out of the folder")]
    LinkOutside(PathBuf, PathBuf),
    /// A hard link leads to no earlier file of the archive.
    #[error("it contains the hard link {0:?} to {1:?}, which is not an earlier file of the archive")]
    HardLink(PathBuf, PathBuf),
    /// A path that no file can have here: it is too long, or contains a NUL.
    #[error("it contains the path {0}, which is not possible in this file system")]
    Name(String),
    /// The target of a symbolic link is none.
    #[error("it contains the link {0:?}, whose target {1}")]
    Target(PathBuf, &'static str),
    /// A file has too many names.
    #[error("it contains the hard link {0:?} to a file that has as many names as this file system allows")]
    TooManyNames(PathBuf),
    /// An entry is a device, a FIFO or a socket.
    #[error("it contains {0:?}, which is neither a file nor a folder nor a link")]
    SpecialFile(PathBuf),
    /// A path stands for a folder, and for a file or a link.
    #[error("it contains {0:?} both as a folder and as a file or a link")]
    Contradiction(PathBuf),
    /// Two paths are the same in the file system.
    #[error("it contains {0:?}, which this file system does not distinguish from an earlier path")]
    SamePath(PathBuf),
    /// The archive has too many entries.
    #[error("it contains more than {limit} files and folders", limit = units::count(*.0))]
    TooManyEntries(u64),
    /// The content is much larger than the archive.
    #[error("its content is larger than {limit}, as that of a decompression bomb", limit = units::bytes(*.0))]
    Bomb(u64),
    /// The content is larger than the space on the file system.
    #[error(
        "its content is larger than the {limit} that are free on the file system of {folder}; free some space",
        limit = units::bytes(*.0), folder = shell::quote_path(.1)
    )]
    NoSpace(u64, PathBuf),
    /// The file is named like an archive, but is none.
    #[error("it is damaged or no archive: its name ends with {0}, but it does not begin like such a file")]
    OtherContent(&'static str),
    /// The file is a folder, a device or a FIFO.
    #[error("it is not a regular file")]
    NotRegular,
    /// The target contains something.
    #[error("{folder} is not an empty folder; name another one", folder = shell::quote_path(.0))]
    NotEmpty(PathBuf),
    /// The archive cannot be read, or the target cannot be written.
    #[error("{path}: {error}", path = .0.display(), error = exhaustion::explain(.1))]
    Io(PathBuf, #[source] io::Error),
    /// The archive itself cannot be read.
    #[error("{}", exhaustion::explain(.0))]
    Unreadable(#[source] io::Error),
    /// A signal interrupted rigup.
    #[error("interrupted by signal {0}")]
    Interrupted(i32),
}

impl UnpackError {
    /// Returns a function that makes an error of the system into one about this path.
    pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self::Io(path.to_owned(), error)
    }

    /// Returns the error of a path in the archive that cannot be created.
    pub(super) fn of_creation(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::AlreadyExists => Self::SamePath(path.to_owned()),
            ErrorKind::InvalidFilename | ErrorKind::InvalidInput => Self::of_name(path),
            ErrorKind::TooManyLinks => Self::TooManyNames(path.to_owned()),
            _ => Self::Io(path.to_owned(), error),
        }
    }

    /// Returns the error of a path that no file can have. The message has the end of a long one.
    pub(super) fn of_name(path: &Path) -> Self {
        Self::Name(cut_start(&format!("{:?}", path.to_string_lossy()), MAX_SHOWN).into_owned())
    }

    /// Returns the error of a reader that decodes the archive: one of the system has a number.
    pub(super) fn of_reader(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(_) => Self::Unreadable(error),
            None if error.kind() == ErrorKind::OutOfMemory => Self::Memory,
            None => match error.downcast::<Self>() {
                Ok(error) => error,
                Err(error) => Self::Damaged(error.to_string()),
            },
        }
    }
}
