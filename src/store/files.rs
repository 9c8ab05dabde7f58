//! The files of the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::fs::remove::ignore_missing;
use crate::settings::STORE_NAME;

/// The name of the store in the data dir. SQLite keeps `-wal` and `-shm` files next to it.
pub const FILE_NAME: &str = STORE_NAME;

/// The suffixes of the files that SQLite keeps next to a database.
pub(super) const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Returns a path with `suffix` appended to its file name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Returns whether the store exists. An empty file, which a full disk or an interrupted copy leaves behind, counts as
/// missing: SQLite would open it as a database without tables.
pub(super) fn exists(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() || metadata.len() > 0)
}

/// Removes the side files of a store, if they exist.
pub(super) fn remove_side_files(path: &Path) -> io::Result<()> {
    SIDE_FILES.iter().try_for_each(|suffix| ignore_missing(fs_err::remove_file(with_suffix(path, suffix))))
}
