//! Folders for this user alone.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Creates a folder and its parents, with mode 0700, unless they exist. Another rigup may remove an empty parent as soon
/// as it is created; then it is created again.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    const TRIES: usize = 10;
    let mut made = create(path);
    for _ in 1..TRIES {
        match made {
            Err(error) if error.kind() == io::ErrorKind::NotFound => made = create(path),
            _ => break,
        }
    }
    made.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot create the folder {}: {error}", path.display()))
    })
}

fn create(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes it no error if a file or folder to remove does not exist.
pub(crate) fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Returns the folder that a file is in; `.` for a bare file name.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
