//! The removal of files and folders, which never follows a link.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{FchmodatFlags, fchmodat};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::fs::dir::parent;

/// Turns the error of a removal into success if the file or folder does not exist.
pub(crate) fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes a folder with everything in it, including folders that nothing may be removed from, such as those of Go
/// modules. A link is removed, but never followed, not even one that replaces a folder meanwhile.
pub(crate) fn remove_tree(folder: &Path) -> io::Result<()> {
    check_mounts(folder)?;
    let above = open_folder(parent(folder), OFlags::empty())?;
    remove_tree_in(&above, folder, None)
}

/// Returns an error if a file system is mounted in a folder: its files belong to someone else. Only on Linux.
pub(crate) fn check_mounts(folder: &Path) -> io::Result<()> {
    let (Ok(mounts), Ok(above)) =
        (fs_err::read_to_string("/proc/self/mountinfo"), fs_err::canonicalize(parent(folder)))
    else {
        return Ok(());
    };
    match mount_below(&mounts, &above.join(folder.file_name().unwrap_or_default())) {
        Some(mount) => {
            let reason = format!("a file system is mounted at {}; unmount it first", mount.display());
            Err(io::Error::new(io::ErrorKind::ResourceBusy, reason))
        }
        None => Ok(()),
    }
}

/// Returns the first mount point in a folder, or the folder itself if it is one. `mounts` is the content of a
/// `mountinfo`, in which these four characters are octal numbers.
fn mount_below(mounts: &str, folder: &Path) -> Option<PathBuf> {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    let unescape =
        |path: &str| escapes.iter().fold(path.to_owned(), |path, (from, to)| path.replace(from, to));
    let mut points =
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).map(PathBuf::from);
    points.find(|point| point.starts_with(folder))
}

/// Opens a folder, but not through a link.
pub(crate) fn open_unlinked_folder(path: &Path) -> io::Result<OwnedFd> {
    open_folder(path, OFlags::NOFOLLOW)
}

fn open_folder(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    open_folder_in(CWD, path.as_os_str(), flags).map_err(|error| with_path(path, error))
}

fn open_folder_in(above: impl AsFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(above, name, OFlags::DIRECTORY | OFlags::CLOEXEC | flags, Mode::empty())
}

/// Removes the folder or link at `path`, whose folder is open, like [`remove_tree`]. The file `last` in it is removed
/// after all others.
pub(crate) fn remove_tree_in(above: &OwnedFd, path: &Path, last: Option<&str>) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Err(with_path(path, Errno::INVAL)) };
    let kind = rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW);
    let kind = FileType::from_raw_mode(kind.map_err(|error| with_path(path, error))?.st_mode);
    if kind == FileType::Symlink {
        return rustix::fs::unlinkat(above, name, AtFlags::empty()).map_err(|error| with_path(path, error));
    }
    let open = || open_folder_in(above, name, OFlags::NOFOLLOW);
    let folder = match open() {
        Err(Errno::ACCESS) => {
            let mode = nix::sys::stat::Mode::S_IRWXU;
            let _ = fchmodat(above, name, mode, FchmodatFlags::NoFollowSymlink);
            open()
        }
        opened => opened,
    };
    let folder = folder.map_err(|error| with_path(path, error))?;
    // What belongs to another user stays as it is.
    if rustix::fs::fstat(&folder).is_ok_and(|folder| folder.st_mode & 0o700 != 0o700) {
        let _ = rustix::fs::fchmod(&folder, Mode::RWXU);
    }
    // The names are read before files are removed, because some file systems skip entries otherwise.
    let entries: Vec<_> = Dir::read_from(&folder)
        .and_then(Iterator::collect::<Result<_, Errno>>)
        .map_err(|error| with_path(path, error))?;
    let names = entries.iter().map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()));
    let is_last = |name: &&OsStr| last.is_some_and(|last| *name == last);
    let (last, others): (Vec<_>, Vec<_>) =
        names.filter(|name| *name != "." && *name != "..").partition(is_last);
    for name in others.into_iter().chain(last) {
        let path = path.join(name);
        let removed = match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            // POSIX allows either error for a folder.
            Err(Errno::ISDIR | Errno::PERM) => remove_tree_in(&folder, &path, None),
            removed => removed.map_err(|error| with_path(&path, error)),
        };
        ignore_missing(removed)?;
    }
    rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR).map_err(|error| with_path(path, error))
}

/// Removes the files in a folder whose names begin with `prefix`, but not through a link.
pub(crate) fn remove_files_with_prefix(folder: &Path, prefix: &str) -> io::Result<()> {
    let opened = open_unlinked_folder(folder)?;
    for entry in Dir::read_from(&opened).map_err(|error| with_path(folder, error))?.flatten() {
        if entry.file_name().to_bytes().starts_with(prefix.as_bytes()) {
            let _ = rustix::fs::unlinkat(&opened, entry.file_name(), AtFlags::empty());
        }
    }
    Ok(())
}

fn with_path(path: &Path, error: Errno) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_mount_point_in_a_folder_is_found_whatever_its_name() {
        let mounts =
            "22 1 0:20 / /proc rw - proc proc rw\n36 22 8:1 /a /lib/my\\040tool/data rw - ext4 /dev/x rw\n";
        let found = |folder| mount_below(mounts, Path::new(folder));
        assert_eq!(found("/lib/my tool"), Some("/lib/my tool/data".into()));
        assert_eq!(found("/lib/my tool/data"), Some("/lib/my tool/data".into()));
        assert_eq!((found("/lib/my"), found("/lib/my tool/data/x")), (None, None));
    }

    #[test]
    fn a_removal_follows_no_link_and_makes_only_its_own_folders_writable() {
        let root = tempfile::tempdir().unwrap();
        let (outside, tree) = (root.path().join("outside"), root.path().join("tree"));
        fs_err::create_dir_all(outside.join("kept")).unwrap();
        fs_err::create_dir_all(tree.join("a/b")).unwrap();
        fs_err::write(tree.join("a/b/file"), "").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        let set_mode =
            |path: &Path, mode| fs_err::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for path in [outside.join("kept"), tree.join("a/b"), tree.join("a")] {
            set_mode(&path, 0o555);
        }
        remove_tree(&tree).unwrap();
        let link = root.path().join("link");
        symlink(&outside, &link).unwrap();
        remove_tree(&link).unwrap();
        assert!(!tree.exists() && !link.is_symlink());
        assert_eq!(outside.join("kept").metadata().unwrap().permissions().mode() & 0o777, 0o555);
        let file = root.path().join("file");
        fs_err::write(&file, "").unwrap();
        remove_tree(&file).unwrap_err();
        assert!(file.exists(), "a file is no folder");
        assert_eq!(remove_tree(&tree).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
