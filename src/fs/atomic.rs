//! Atomic writes of files and links: each is created under a temporary name and then renamed.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::clock;
use crate::fs::dir::{parent, with_path};
use crate::fs::link;
use crate::fs::lock::FileLock;
use crate::fs::remove::{check_mounts, remove_tree};

/// The prefix of the names of temporary files. A process that is killed while it writes a file leaves one behind.
pub(crate) const TEMPORARY: &str = ".new-";

/// The mode of a new file in one of the user's own folders, before the umask is applied.
const USER_MODE: u32 = 0o666;

/// How long to wait for the lock on a link's folder, which each holder needs only for a moment.
const LINK_PATIENCE: Duration = Duration::from_secs(1);

/// Creates a temporary file with mode 0600 in the folder of `path`. The caller writes it and persists it at `path`.
pub(crate) fn create_private(path: &Path) -> io::Result<NamedTempFile> {
    create(path, 0o600).map_err(|error| with_path(path, error))
}

/// Creates a temporary file in the folder of `path`. An error does not name it: the user knows only `path`.
fn create(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let mut cause = None;
    let open = |temporary: &Path| {
        let opened = File::options().read(true).write(true).create_new(true).mode(mode).open(temporary);
        opened.inspect_err(|error| cause = error.raw_os_error())
    };
    let created = tempfile::Builder::new().prefix(TEMPORARY).make_in(parent(path), open);
    created.map_err(|error| cause.map_or(error, io::Error::from_raw_os_error))
}

/// Writes or replaces a file with mode 0600.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = create_private(path)?;
    file.write_all(content)?;
    Ok(file.persist(path).map(drop)?)
}

/// Writes or replaces an executable file, with its folder, that every user can run.
pub(crate) fn write_program(path: &Path, content: &[u8]) -> io::Result<()> {
    fs_err::create_dir_all(parent(path))?;
    let mut file = create(path, 0o777).map_err(|error| with_path(path, error))?;
    file.write_all(content)?;
    Ok(file.persist(path).map(drop)?)
}

/// Checks that [`write_for_user`] can write a file, and creates its folder.
pub(crate) fn check_for_user(path: &Path) -> io::Result<()> {
    let path = user_target(path)?;
    fs_err::create_dir_all(parent(&path))?;
    create(&path, USER_MODE).map(drop)
}

/// Follows the links of a path. Fails for what is not a regular file, and for one that is named by a process that has it open:
/// a device, a FIFO or the output of a command would be replaced.
fn user_target(path: &Path) -> io::Result<PathBuf> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => Err(io::Error::other("it is not a regular file")),
        Ok(_) if link::is_open_file(path) => {
            Err(io::Error::other("it is a link to a file that a process has open; name the file itself"))
        }
        _ => link::resolve(path),
    }
}

/// Writes or replaces a file in one of the user's own folders, and syncs it to disk. If `path` is a link, writes its
/// target, even if that does not exist yet. An existing file keeps its mode.
pub(crate) fn write_for_user(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = user_target(path)?;
    let mut file = create(&path, USER_MODE)?;
    file.write_all(content)?;
    let written = file.as_file();
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => {
            let mode = found?.permissions().mode() & 0o777;
            written.set_permissions(Permissions::from_mode(mode))?;
        }
    }
    written.sync_all()?;
    Ok(file.persist(path).map(drop)?)
}

/// Creates a symbolic link, with its folder, and replaces an existing file or link. Only one process at a time creates
/// links in a folder, so an existing temporary link was left by a killed process.
pub(crate) fn replace_link(link: &Path, target: &Path) -> io::Result<()> {
    let folder = parent(link);
    fs_err::create_dir_all(folder)?;
    let lock = FileLock::open(folder)?;
    // Some network file systems cannot lock a folder. On these, and if another process does not release the lock in
    // time, the temporary link gets a unique name.
    let temporary = if lock.try_lock_for(LINK_PATIENCE).unwrap_or(false) {
        folder.join(".rigup-new")
    } else {
        folder.join(format!(".rigup-{}", clock::new_id()))
    };
    let _ = fs_err::remove_file(&temporary);
    symlink(target, &temporary)?;
    fs_err::rename(&temporary, link).inspect_err(|_| {
        let _ = fs_err::remove_file(&temporary);
    })
}

/// Replaces a folder with another one on the same file system. A process that is killed meanwhile leaves the old or the
/// new folder in place, unless the file system cannot exchange them. In that case, the old one is in `aside`, which is the
/// new folder or one around it.
pub(crate) fn replace_folder(folder: &Path, new: &Path, aside: &Path) -> io::Result<()> {
    check_mounts(folder)?;
    match rustix::fs::renameat_with(CWD, new, CWD, folder, RenameFlags::EXCHANGE) {
        Ok(()) => {
            // The new folder is in place even if the old one cannot be removed.
            let _ = remove_tree(new);
            Ok(())
        }
        Err(Errno::NOENT) => fs_err::rename(new, folder),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::XDEV) => {
            replace_in_steps(folder, new, aside)
        }
        Err(error) => Err(error.into()),
    }
}

/// Like [`replace_folder`], for file systems that cannot exchange two folders.
fn replace_in_steps(folder: &Path, new: &Path, aside: &Path) -> io::Result<()> {
    let old = aside.join(TEMPORARY);
    match fs_err::rename(folder, &old) {
        // A container cannot rename a folder that comes from its image.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => remove_tree(folder)?,
        renamed => renamed?,
    }
    fs_err::rename(new, folder).inspect_err(|_| {
        let _ = fs_err::rename(&old, folder);
    })?;
    for old in [old, folder.join(TEMPORARY)] {
        let _ = remove_tree(&old);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_link_to_a_missing_file_stays_a_link_and_its_target_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("below/target", &link).unwrap();
        check_for_user(&link).unwrap();
        write_for_user(&link, b"text").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs_err::read(folder.path().join("below/target")).unwrap(), b"text");
        check_for_user(folder.path()).unwrap_err();
    }

    #[test]
    fn a_fifo_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (fifo, link) = (folder.path().join("fifo"), folder.path().join("link"));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink(&fifo, &link).unwrap();
        for path in [&fifo, &link] {
            check_for_user(path).unwrap_err();
            write_for_user(path, b"text").unwrap_err();
        }
        assert!(!fifo.is_file() && link.is_symlink());
    }

    #[test]
    fn a_folder_is_replaced_as_a_whole() {
        for replace in [replace_folder, replace_in_steps] {
            let parent = tempfile::tempdir().unwrap();
            let (folder, new) = (parent.path().join("x"), parent.path().join("x.part"));
            let names = |path: &Path| -> Vec<_> {
                fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
            };
            for file in ["first", "second"] {
                fs_err::create_dir(&new).unwrap();
                fs_err::write(new.join(file), "").unwrap();
                (if folder.exists() { replace } else { replace_folder })(&folder, &new, &new).unwrap();
                assert_eq!((names(parent.path()), names(&folder)), (vec!["x".into()], vec![file.into()]));
            }
            replace(&folder, &new, &new).unwrap_err();
            assert_eq!(names(&folder), ["second"], "the folder is still in place");
        }
    }

    #[test]
    fn an_existing_file_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for expected in [0o600, 0o664, 0o640] {
            fs_err::write(&path, "before").unwrap();
            fs_err::set_permissions(&path, Permissions::from_mode(expected)).unwrap();
            write_for_user(&path, b"after").unwrap();
            assert_eq!((mode(&path), fs_err::read(&path).unwrap()), (expected, b"after".to_vec()));
        }
    }

    #[test]
    fn a_private_file_is_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        drop(create_private(&path).unwrap());
        assert!(!path.exists());
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!((mode(&path), fs_err::read(&path).unwrap()), (0o600, b"two".to_vec()));
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}
