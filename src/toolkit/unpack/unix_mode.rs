//! The modes that zip and 7z archives made on Unix have.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::toolkit::unpack::error::UnpackError;
use crate::toolkit::unpack::tree::{Tree, special_file};

/// The maximum length of the target of a link, as in Linux.
const MAX_TARGET: u64 = 4096;
const TYPE: u32 = 0o170_000;

/// The mode of an entry, or 0 if the archive has none for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnixMode(pub(super) u32);

impl UnixMode {
    /// Whether the entry is a folder.
    pub(super) fn is_folder(self) -> bool {
        self.0 & TYPE == 0o040_000
    }

    /// Adds an entry that is not a folder to a tree. The content of a link is its target.
    pub(super) fn add(
        self,
        name: &Path,
        mut content: impl Read,
        tree: &mut Tree<'_>,
    ) -> Result<(), UnpackError> {
        match self.0 & TYPE {
            0 | 0o100_000 => tree.add_file(name, self.0 & 0o111 != 0, content).map(drop),
            0o120_000 => {
                let mut target = Vec::new();
                let read = content.by_ref().take(MAX_TARGET).read_to_end(&mut target);
                read.map_err(UnpackError::of_reader)?;
                tree.add_link(name, Path::new(OsStr::from_bytes(&target)))
            }
            _ => Err(special_file(name)),
        }
    }
}
