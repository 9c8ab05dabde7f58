//! Private folders, parent folders, and the expansion of `~`.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Creates a folder and its missing parents with mode 0700. Tries again if another rigup removes an empty parent
/// meanwhile.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    const TRIES: usize = 10;
    let mut created = create(path);
    for _ in 1..TRIES {
        match created {
            Err(error) if error.kind() == io::ErrorKind::NotFound => created = create(path),
            _ => break,
        }
    }
    created.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot create the folder {}: {error}", path.display()))
    })
}

fn create(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Turns the error of a removal into success if the file or folder does not exist.
pub(crate) fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Returns the folder of a file, or `.` for a bare file name.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the path that `~` or `~/...` stands for, or `None` if the path begins with something else or there is no
/// home folder.
pub(crate) fn expand_home(path: &Path, home: Option<&Path>) -> Option<PathBuf> {
    Some(home?.join(path.strip_prefix("~").ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_a_tilde_only_as_a_whole_path_component() {
        let expand = |path: &str| expand_home(Path::new(path), Some(Path::new("/home/me")));
        assert_eq!(expand("~/a/b"), Some(PathBuf::from("/home/me/a/b")));
        assert_eq!(expand("~"), Some(PathBuf::from("/home/me/")));
        assert_eq!([expand("~me/a"), expand("/a"), expand("a/~")], [None, None, None]);
        assert_eq!(expand_home(Path::new("~/a"), None), None);
    }
}
