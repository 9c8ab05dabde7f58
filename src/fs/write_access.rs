//! Write access to the files that a package manager left in a folder.

use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::unistd::geteuid;
use rustix::fs::OFlags;
use walkdir::WalkDir;

/// The permissions of the group and of everyone to write.
const WRITE: u32 = 0o022;

/// Takes from a folder, and from all files and folders in it, the write access that `umask` denies to others. Links are
/// not followed. What belongs to another user stays as it is, also for root: that user could undo it.
pub(crate) fn restrict(folder: &Path, umask: u32) {
    let (denied, user) = (umask & WRITE, geteuid().as_raw());
    for entry in WalkDir::new(folder).into_iter().flatten() {
        let is_open = |found: Metadata| found.uid() == user && found.permissions().mode() & denied != 0;
        let has_mode = entry.file_type().is_file() || entry.file_type().is_dir();
        if has_mode && entry.metadata().is_ok_and(is_open) {
            // Another user may replace an open file or folder by a link: only the opened one is changed.
            let _ = take(entry.path(), denied, user);
        }
    }
}

fn take(path: &Path, denied: u32, user: u32) -> std::io::Result<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if found.uid() == user {
        file.set_permissions(PermissionsExt::from_mode(found.permissions().mode() & 0o7777 & !denied))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn files_and_folders_lose_only_the_denied_write_access() {
        let folder = tempfile::tempdir().unwrap();
        let set = |name: &str, mode| {
            let path = folder.path().join(name);
            fs_err::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path
        };
        for name in ["outside", "prefix/a/file", "prefix/program"] {
            let path = folder.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(&path, "").unwrap();
        }
        symlink("../outside", folder.path().join("prefix/link")).unwrap();
        let names = ["outside", "prefix/a/file", "prefix/program", "prefix/a", "prefix"];
        let modes = |umask| {
            for (name, mode) in names.into_iter().zip([0o666, 0o666, 0o4777, 0o2777, 0o1777]) {
                set(name, mode);
            }
            restrict(&folder.path().join("prefix"), umask);
            let mode =
                |name| fs_err::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o7777;
            names.map(mode)
        };
        assert_eq!(modes(0o022), [0o666, 0o644, 0o4755, 0o2755, 0o1755]);
        assert_eq!(modes(0o077), [0o666, 0o644, 0o4755, 0o2755, 0o1755], "read access is not touched");
        assert_eq!(modes(0o002), [0o666, 0o664, 0o4775, 0o2775, 0o1775]);
        assert_eq!(modes(0), [0o666, 0o666, 0o4777, 0o2777, 0o1777]);
    }

    #[test]
    fn files_of_another_user_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let [own, other] = ["own", "other"].map(|name| folder.path().join(name));
        for path in [&own, &other] {
            fs_err::write(path, "").unwrap();
            fs_err::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap();
        }
        // Only root can give a file to another user.
        let is_given = chown(&other, Some(geteuid().as_raw() + 1), None).is_ok();
        restrict(folder.path(), 0o022);
        let modes = [own, other].map(|path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777);
        assert_eq!(modes, [0o644, if is_given { 0o666 } else { 0o644 }]);
    }
}
