//! The reasons why an archive is not unpacked.

use std::io;
use std::path::{Path, PathBuf};

use crate::exhaustion;
use crate::report::units;
use crate::shell;

/// The reason why an archive is not unpacked. It completes a sentence that starts with `cannot unpack FILE: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// The archive cannot be decoded, with the error of the decoder.
    #[error("it is damaged or incomplete: {0}")]
    Damaged(String),
    /// The archive uses a feature that rigup cannot read.
    #[error("it uses {0}, which rigup cannot read")]
    Unsupported(String),
    /// The path of an entry leads out of the folder.
    #[error("it contains the path {0:?}, which leads out of the folder")]
    PathOutside(PathBuf),
    /// A symbolic link leads out of the folder.
    #[error("it contains the link {0:?} to {1:?}, which leads out of the folder")]
    LinkOutside(PathBuf, PathBuf),
    /// A hard link leads to no earlier file of the archive.
    #[error("it contains the hard link {0:?} to {1:?}, which is not an earlier file of the archive")]
    HardLink(PathBuf, PathBuf),
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
    /// The target contains something.
    #[error("{folder} is not an empty folder; name another one", folder = shell::quote_path(.0))]
    NotEmpty(PathBuf),
    /// The archive cannot be read, or the target cannot be written.
    #[error("{path}: {error}", path = .0.display(), error = exhaustion::explain(.1))]
    Io(PathBuf, #[source] io::Error),
    /// A signal interrupted rigup.
    #[error("interrupted by signal {0}")]
    Interrupted(i32),
}

impl UnpackError {
    /// Returns a function that makes an error of the system into one about this path.
    pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self::Io(path.to_owned(), error)
    }

    /// Returns the error of a reader, which decodes the file at this path: one of the system has a number.
    pub(super) fn of_reader(path: &Path, error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(_) => Self::Io(path.to_owned(), error),
            None => match error.downcast::<Self>() {
                Ok(error) => error,
                Err(error) => Self::Damaged(error.to_string()),
            },
        }
    }
}
