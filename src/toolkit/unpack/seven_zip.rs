//! 7z archives.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use sevenz_rust2::{ArchiveReader, Error, Password};

use crate::toolkit::unpack::error::UnpackError;
use crate::toolkit::unpack::format::MEMORY_KIB;
use crate::toolkit::unpack::tree::Tree;
use crate::toolkit::unpack::unix_mode::UnixMode;

/// The attribute that says that the upper half of the attributes is the mode on Unix.
const HAS_UNIX_MODE: u32 = 0x8000;

/// Adds the entries of an archive to a tree.
pub(super) fn unpack(file: File, tree: &mut Tree<'_>) -> Result<(), UnpackError> {
    let damaged = |error: Error| match error {
        Error::Io(error, _) => UnpackError::of_reader(error),
        Error::PasswordRequired | Error::MaybeBadPassword(_) => {
            UnpackError::Unsupported("encryption".to_owned())
        }
        Error::UnsupportedCompressionMethod(method) => {
            UnpackError::Unsupported(format!("the compression method {method}"))
        }
        Error::Unsupported(feature) => UnpackError::Unsupported(feature.into_owned()),
        Error::MaxMemLimited { .. } => UnpackError::Memory,
        Error::UnsupportedVersion { major, minor } => {
            UnpackError::Unsupported(format!("version {major}.{minor} of the format"))
        }
        Error::ExternalUnsupported => UnpackError::Unsupported("a header in another stream".to_owned()),
        Error::ChecksumVerificationFailed | Error::NextHeaderCrcMismatch => {
            UnpackError::Damaged("a checksum differs".to_owned())
        }
        Error::Other(cause) => UnpackError::Damaged(cause.into_owned()),
        _ => UnpackError::Damaged("its header is invalid".to_owned()),
    };
    let memory = MEMORY_KIB as usize;
    let mut reader = ArchiveReader::new_with_memory_limit(BufReader::new(file), Password::empty(), memory)
        .map_err(damaged)?;
    reader.set_thread_count(1);
    let mut failure = None;
    let read = reader.for_each_entries(|entry, content| {
        let attributes = entry.windows_attributes;
        let has_mode = entry.has_windows_attributes && attributes & HAS_UNIX_MODE != 0;
        let mode = UnixMode(if has_mode { attributes >> 16 } else { 0 });
        let path = Path::new(entry.name());
        let added = if entry.is_anti_item {
            Ok(())
        } else if entry.is_directory {
            tree.add_folder(path)
        } else {
            mode.add(path, content, tree)
        };
        added.map_err(|error| {
            failure = Some(error);
            Error::Other("".into())
        })?;
        Ok(true)
    });
    match failure {
        Some(failure) => Err(failure),
        None => read.map_err(damaged),
    }
}
