//! Files that stand in the user's own folders: whole, or as they were.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::fs::lock::FileLock;
use crate::process::lock::folder::{self, PATIENCE};
use crate::process::signals::Interrupt;

/// Finds out, before any work is done, whether the file can be written at its end.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let path = real(path)?;
    fs_err::create_dir_all(folder(&path))?;
    if path.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { aside(&path).map(drop) }
}

/// Keeps others who do the same from writing there, as long as the value lives: for who reads a file to write it anew.
/// `waiting` is told once, if somebody else holds it.
pub(crate) fn hold(path: &Path, interrupt: &Interrupt, waiting: impl FnOnce()) -> io::Result<FileLock> {
    folder::take(folder(&real(path)?), interrupt, PATIENCE, waiting)
}

/// Writes it aside, then puts it in its place, where it lasts. A link stays one, also one that leads nowhere yet, and so does
/// the mode of a file that is there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = real(path)?;
    let mut file = aside(&path)?;
    file.write_all(bytes)?;
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => {
            let mode = found?.permissions().mode() & 0o777;
            file.as_file().set_permissions(Permissions::from_mode(mode))?;
        }
    }
    file.as_file().sync_all()?;
    file.persist(&path).map(drop).map_err(|error| error.error)
}

/// Where a file is, or will be, behind all links.
fn real(path: &Path) -> io::Result<PathBuf> {
    // As many links as the system follows.
    const MAX_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let Ok(target) = fs_err::read_link(&path) else { return Ok(path) };
        path = folder(&path).join(target);
    }
    Err(io::Error::other("too many links"))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn aside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    // As any other file that a program writes: the umask says who may read it.
    let permissions = Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".new-").permissions(permissions).tempfile_in(folder(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_link_that_leads_nowhere_yet_stays_a_link_and_its_target_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (link, next) = (folder.path().join("link"), folder.path().join("next"));
        symlink("next", &link).unwrap();
        symlink("below/target", &next).unwrap();
        check(&link).unwrap();
        write(&link, b"text").unwrap();
        assert!(link.is_symlink() && next.is_symlink());
        assert_eq!(fs_err::read(folder.path().join("below/target")).unwrap(), b"text");
        symlink("loop", folder.path().join("loop")).unwrap();
        check(&folder.path().join("loop")).unwrap_err();
    }

    #[test]
    fn a_file_that_is_there_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for expected in [0o600, 0o664, 0o640] {
            fs_err::write(&path, "before").unwrap();
            fs_err::set_permissions(&path, Permissions::from_mode(expected)).unwrap();
            write(&path, b"after").unwrap();
            assert_eq!((mode(&path), fs_err::read(&path).unwrap()), (expected, b"after".to_vec()));
        }
    }
}
