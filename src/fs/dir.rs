//! Private folders, parent folders, and the expansion of `~`.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};

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

/// Creates the missing parents of a folder. They are writable by their owner only, whatever the umask is.
pub(crate) fn make_parents(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(parent(folder))
}

/// Creates a file in a folder of its own, unless they exist. They get the group and the permissions of the folder above
/// them, so that all users who may write there can use them.
pub(crate) fn make_shared_file(path: &Path) -> io::Result<()> {
    let folder = parent(path);
    make_shared_dir(folder)?;
    let mode = folder.metadata()?.permissions().mode() & 0o666;
    match fs_err::File::create_new(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(mode)),
        Err(error) => ignore_existing(error),
    }
}

/// Creates the missing ones of the folders on the path `inside` below a folder; see [`make_shared_dir`].
pub(crate) fn make_shared_dirs(folder: &Path, inside: &Path) -> io::Result<()> {
    let mut folder = folder.to_owned();
    for part in inside {
        folder.push(part);
        make_shared_dir(&folder)?;
    }
    Ok(())
}

/// Creates a folder, unless it exists, with the group and the permissions of the folder above it.
pub(crate) fn make_shared_dir(path: &Path) -> io::Result<()> {
    let above = parent(path);
    fs_err::create_dir_all(above)?;
    if let Err(error) = fs_err::create_dir(path) {
        return ignore_existing(error);
    }
    let above = above.metadata()?;
    // Fails if this user is not in the group.
    let _ = chown(path, None, Some(above.gid()));
    fs_err::set_permissions(path, above.permissions())
}

fn ignore_existing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// Returns the nearest folder above a path that exists, or the path itself if it exists.
pub(crate) fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

/// Returns the user who owns the nearest existing folder above a path if this is root and that is another user, who could
/// not change what root creates there. `sudo` may keep the HOME of its caller.
pub(crate) fn other_owner(path: &Path) -> Option<u32> {
    let owner = nearest_existing(path).metadata().ok()?.uid();
    (owner != 0 && geteuid().is_root()).then_some(owner)
}

/// Returns whether this user can write to a folder, or create it.
pub(crate) fn is_creatable(folder: &Path) -> bool {
    is_writable(nearest_existing(folder))
}

/// Returns whether a path is a folder in which this user can create files.
pub(crate) fn is_writable(folder: &Path) -> bool {
    folder.is_dir() && access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// Returns the device and the inode of a file or folder, or `None` if it does not exist.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok()
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
    fn a_shared_file_has_the_permissions_of_the_folder_above() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        for expected in [0o755, 0o2775, 0o1777, 0o700] {
            fs_err::set_permissions(folder.path(), Permissions::from_mode(expected)).unwrap();
            let file = folder.path().join(format!("{expected:o}/x"));
            for _ in 0..2 {
                make_shared_file(&file).unwrap();
            }
            assert_eq!(mode(parent(&file)), expected);
            assert_eq!(mode(&file), expected & 0o666);
            assert_eq!(nearest_existing(&file.join("a/b")), file);
        }
    }

    #[test]
    fn expands_a_tilde_only_as_a_whole_path_component() {
        let expand = |path: &str| expand_home(Path::new(path), Some(Path::new("/home/me")));
        assert_eq!(expand("~/a/b"), Some(PathBuf::from("/home/me/a/b")));
        assert_eq!(expand("~"), Some(PathBuf::from("/home/me/")));
        assert_eq!([expand("~me/a"), expand("/a"), expand("a/~")], [None, None, None]);
        assert_eq!(expand_home(Path::new("~/a"), None), None);
    }
}
