//! The removal of files and folders, which never follows a link.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{FchmodatFlags, fchmodat};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, Stat, fstat};
use rustix::io::Errno;

use crate::fs::dir::{parent, with_path};
use crate::sorting::sort_by_key;

/// Turns the error of a removal into success if the file or folder does not exist.
pub(crate) fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes a folder with everything in it, including folders that nothing may be removed from, such as those of Go
/// modules; or removes a file or a link. No link is followed, not even one that replaces a folder meanwhile.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    // Nothing is removed if something in it cannot be.
    check_mounts(path)?;
    let above = open_folder(parent(path), OFlags::empty())?;
    remove_tree_in(&above, path, None)
}

/// Returns an error if a file system is mounted in a folder: its files belong to someone else. Only on Linux.
pub(crate) fn check_mounts(folder: &Path) -> io::Result<()> {
    // The kernel takes long to list all mounts.
    if matches!(fs_err::symlink_metadata(folder), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    let (Ok(mounts), Ok(above)) =
        (fs_err::read_to_string("/proc/self/mountinfo"), fs_err::canonicalize(parent(folder)))
    else {
        return Ok(());
    };
    mount_below(&mounts, &above.join(folder.file_name().unwrap_or_default()))
        .map_or(Ok(()), |mount| Err(mounted_at(&mount)))
}

fn mounted_at(mount: &Path) -> io::Error {
    let reason = format!("a file system is mounted at {}; unmount it first", mount.display());
    io::Error::new(io::ErrorKind::ResourceBusy, reason)
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

/// Removes what is at `path`, whose folder is open, like [`remove_tree`]. The file `last` in it is removed after all
/// others. No more than a few descriptors are open, and the stack does not grow, however deep the folders are.
pub(crate) fn remove_tree_in(above: &OwnedFd, path: &Path, last: Option<&str>) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Err(with_path(path, Errno::INVAL)) };
    let Some(mut open) = remove_or_open(above, name, || path.to_owned())? else { return Ok(()) };
    if is_mount_point(&open).is_none() {
        check_mounts(path)?;
    }
    let mut root = Folder::read(&open, name).map_err(|error| with_path(path, error))?;
    sort_by_key(&mut root.entries, |entry| last.is_none_or(|last| entry != last));
    let mut folders = vec![root];
    while let Some(folder) = folders.last_mut() {
        if let Some(name) = folder.entries.pop() {
            let path = || path_of(path, &folders, &name);
            match remove_or_open(&open, &name, path) {
                Ok(Some(opened)) => {
                    let folder = Folder::read(&opened, &name).map_err(|error| with_path(&path(), error))?;
                    folders.push(folder);
                    open = opened;
                }
                Ok(None) => {}
                Err(error) => ignore_missing(Err(error))?,
            }
            continue;
        }
        let emptied = folders.pop().map(|folder| folder.name).unwrap_or_default();
        let Some(folder) = folders.last() else { break };
        let error = |error| with_path(&path_of(path, &folders, &emptied), error);
        open = folder.reopen_from(&open).map_err(error)?;
        let removed = rustix::fs::unlinkat(&open, &*emptied, AtFlags::REMOVEDIR);
        ignore_missing(removed.map_err(error))?;
    }
    rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR).map_err(|error| with_path(path, error))
}

/// A folder that is being removed.
#[derive(Debug)]
struct Folder {
    name: OsString,
    /// Its state, with its device and inode, which no other folder has.
    stat: Stat,
    /// The names of what is still in it.
    entries: Vec<OsString>,
}

impl Folder {
    /// Reads all names before anything is removed, because some file systems skip entries otherwise.
    fn read(opened: &OwnedFd, name: &OsStr) -> Result<Self, Errno> {
        let entries: Vec<_> = Dir::read_from(opened)?.collect::<Result<_, Errno>>()?;
        let names = entries.iter().map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()));
        let entries = names.filter(|name| *name != "." && *name != "..").map(OsStr::to_owned).collect();
        Ok(Self { name: name.to_owned(), stat: fstat(opened)?, entries })
    }

    /// Opens the folder again from one that was in it. Fails if that one was moved elsewhere.
    fn reopen_from(&self, inner: &OwnedFd) -> Result<OwnedFd, Errno> {
        let opened = open_folder_in(inner, "..".as_ref(), OFlags::NOFOLLOW)?;
        let stat = fstat(&opened)?;
        let is_same = (stat.st_dev, stat.st_ino) == (self.stat.st_dev, self.stat.st_ino);
        if is_same { Ok(opened) } else { Err(Errno::STALE) }
    }
}

/// Returns the path of an entry in the innermost of these folders. The first folder is at `root`.
fn path_of(root: &Path, folders: &[Folder], entry: &OsStr) -> PathBuf {
    let names = folders.iter().skip(1).map(|folder| &*folder.name).chain([entry]);
    std::iter::once(root.as_os_str()).chain(names).collect()
}

/// Removes a file or a link. Opens a folder, makes it writable, and returns it. Fails if a file system is mounted there.
fn remove_or_open(above: &OwnedFd, name: &OsStr, path: impl Fn() -> PathBuf) -> io::Result<Option<OwnedFd>> {
    let kept = match rustix::fs::unlinkat(above, name, AtFlags::empty()) {
        Ok(()) => return Ok(None),
        // POSIX allows either error for a folder.
        Err(error @ (Errno::ISDIR | Errno::PERM)) => error,
        Err(error) => return Err(with_path(&path(), error)),
    };
    let open = || open_folder_in(above, name, OFlags::NOFOLLOW);
    let opened = match open() {
        Err(Errno::ACCESS) => {
            let mode = nix::sys::stat::Mode::S_IRWXU;
            let _ = fchmodat(above, name, mode, FchmodatFlags::NoFollowSymlink);
            open()
        }
        Err(Errno::NOTDIR) => Err(kept),
        opened => opened,
    };
    let opened = opened.map_err(|error| with_path(&path(), error))?;
    if is_mount_point(&opened) == Some(true) {
        return Err(mounted_at(&path()));
    }
    // What belongs to another user stays as it is.
    if fstat(&opened).is_ok_and(|folder| folder.st_mode & 0o700 != 0o700) {
        let _ = rustix::fs::fchmod(&opened, Mode::RWXU);
    }
    Ok(Some(opened))
}

/// Returns whether a file system, or another part of the same one, is mounted at a folder; `None` if the system does not
/// say that.
#[cfg(target_os = "linux")]
fn is_mount_point(folder: &OwnedFd) -> Option<bool> {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    let found = statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::empty()).ok()?;
    let is_known = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    is_known.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn is_mount_point(_: &OwnedFd) -> Option<bool> {
    None
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
        remove_tree(&file).unwrap();
        assert!(!file.exists());
        assert_eq!(remove_tree(&tree).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
