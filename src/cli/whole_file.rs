//! Files that stand in the user's own folders: whole, or as they were.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Finds out, before any work is done, whether the file can be written at its end.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    fs_err::create_dir_all(folder(path))?;
    if path.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { aside(path).map(drop) }
}

/// Keeps others who do the same from writing there, as long as the value lives: for who reads a file to write it anew.
pub(crate) fn hold(path: &Path) -> io::Result<fs_err::File> {
    let folder = fs_err::File::open(folder(&real(path)))?;
    folder.file().lock()?;
    Ok(folder)
}

/// Writes it aside, then puts it in its place. A link stays one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = real(path);
    let mut file = aside(&path)?;
    file.write_all(bytes)?;
    file.persist(&path).map(drop).map_err(|error| error.error)
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn aside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    // As any other file that a program writes: the umask says who may read it.
    let permissions = Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".new-").permissions(permissions).tempfile_in(folder(path))
}
