//! `rigup hook unpack`: unpacks archives and compressed files that others made.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{BufReader, Cursor, Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use crate::exhaustion;
use crate::fs::atomic::TEMPORARY;
use crate::fs::dir::{make_dir, parent};
use crate::fs::regular_file;
use crate::process::signals::Interrupt;

mod error;
mod format;
mod seven_zip;
mod tar;
mod tree;
mod unix_mode;
mod zip;
mod zstd;

pub(crate) use error::UnpackError;
use format::{ArchiveFormat, Compression, read_head};
use tree::{SizeLimit, Tree};

/// A content of up to this size is plausible for any archive, in bytes.
const ALWAYS_PLAUSIBLE: u64 = 1 << 30;
/// How much larger than its archive a plausible content is at most. Programs are at most 20 times as large.
const MAX_RATIO: u64 = 200;

/// How the names of tar archives end.
const TAR_ENDINGS: [&str; 12] = [
    ".tar",
    ".tar.gz",
    ".tar.xz",
    ".tar.zst",
    ".tar.zstd",
    ".tar.bz2",
    ".tar.bz",
    ".tgz",
    ".txz",
    ".tzst",
    ".tbz2",
    ".tbz",
];

/// Unpacks an archive into a folder, which must be empty or not exist. The content of a file that is no archive becomes
/// one file in it, without the ending of a compressed file. If that fails, the folder stays as it is.
pub fn unpack(archive: &Path, folder: &Path, interrupt: &Interrupt) -> Result<(), UnpackError> {
    let mut file = open(archive)?;
    let length = file.metadata().map_err(UnpackError::Unreadable)?.len();
    // A link to a folder stays in place.
    let folder = &folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if folder.read_dir().map_or(folder.exists(), |mut entries| entries.next().is_some()) {
        return Err(UnpackError::NotEmpty(folder.clone()));
    }
    let above = parent(folder);
    make_dir(above).map_err(UnpackError::at(above))?;
    let mut builder = tempfile::Builder::new();
    // The umask applies to this mode.
    let builder = builder.prefix(TEMPORARY).permissions(Permissions::from_mode(0o777));
    let new = builder.tempdir_in(above).map_err(UnpackError::at(above))?;
    let mut tree = Tree::new(new.path(), interrupt, limit(length, above));
    let name = archive.file_name().unwrap_or(OsStr::new("file"));
    let head = read_head(&mut file).map_err(UnpackError::Unreadable)?;
    file.rewind().map_err(UnpackError::Unreadable)?;
    match ArchiveFormat::of(&head) {
        ArchiveFormat::Zip => zip::unpack(file, &mut tree)?,
        ArchiveFormat::SevenZip => seven_zip::unpack(file, &mut tree)?,
        ArchiveFormat::Tar => tar::unpack(&mut BufReader::new(file), false, &mut tree)?,
        ArchiveFormat::Compressed(compression) => {
            let mut reader = compression.reader(Box::new(BufReader::new(file)));
            let head = read_head(&mut reader).map_err(UnpackError::of_reader)?;
            let format = ArchiveFormat::of(&head);
            let mut whole = Cursor::new(head).chain(reader);
            if format == ArchiveFormat::Tar {
                tar::unpack(&mut whole, true, &mut tree)?;
            } else {
                check_no_archive(name, &TAR_ENDINGS)?;
                tree.add_file(Path::new(&without_ending(name, compression)), false, whole)?;
            }
        }
        ArchiveFormat::Other if head.is_empty() => {
            return Err(UnpackError::Damaged("it is empty".to_owned()));
        }
        ArchiveFormat::Other => {
            check_no_archive(name, &TAR_ENDINGS)?;
            check_no_archive(name, &[".zip", ".7z"])?;
            if let Some(format) = format::unreadable(&head, &name.to_string_lossy().to_lowercase()) {
                return Err(UnpackError::Unsupported(format!("the format {format}")));
            }
            tree.add_file(Path::new(name), false, file)?;
        }
    }
    tree.finish()?;
    fs_err::rename(new.path(), folder).map_err(UnpackError::at(folder))?;
    // There is nothing left to remove.
    let _ = new.keep();
    Ok(())
}

/// Opens a file. A device or a FIFO may never end.
fn open(path: &Path) -> Result<File, UnpackError> {
    let real = path.canonicalize().map_err(UnpackError::Unreadable)?;
    if !real.metadata().map_err(UnpackError::Unreadable)?.is_file() {
        return Err(UnpackError::NotRegular);
    }
    access(&real, AccessFlags::R_OK).map_err(|error| UnpackError::Unreadable(error.into()))?;
    regular_file::open(&real).map_err(UnpackError::Unreadable)
}

/// Returns how much an archive of this length may contain, which is unpacked in this folder.
fn limit(length: u64, folder: &Path) -> SizeLimit {
    let plausible = length.saturating_mul(MAX_RATIO).max(ALWAYS_PLAUSIBLE);
    match exhaustion::free_bytes(folder) {
        Some(free) if free < plausible => SizeLimit::Space(free, folder.to_owned()),
        _ => SizeLimit::Plausible(plausible),
    }
}

/// Fails if a file is named like an archive: a damaged one can look like any other file.
fn check_no_archive(name: &OsStr, endings: &[&'static str]) -> Result<(), UnpackError> {
    let name = name.to_string_lossy().to_lowercase();
    match endings.iter().find(|ending| name.ends_with(**ending)) {
        Some(ending) => Err(UnpackError::OtherContent(ending)),
        None => Ok(()),
    }
}

/// Returns the name of a compressed file without the ending of its format.
fn without_ending(name: &OsStr, compression: Compression) -> OsString {
    let Some(text) = name.to_str() else { return name.to_owned() };
    let stem = compression.endings().iter().find_map(|ending| text.strip_suffix(ending));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(text).into()
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
