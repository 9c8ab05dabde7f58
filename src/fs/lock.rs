//! Advisory locks on files and folders. The system releases a lock when the last copy of its descriptor is closed, even
//! if the holder was killed.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fs::dir::{make_private_dir, with_path};
use crate::fs::regular_file;

/// A file or folder that was opened for locking. Its lock is held until this value and all copies of its descriptor are
/// closed.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
    path: PathBuf,
}

/// A lock of this process alone: it is released when it is dropped. A program that another thread starts in that moment has
/// copies of all descriptors, which would hold a [`FileLock`] a little longer.
#[derive(Debug)]
pub(crate) struct OwnLock(FileLock);

impl Drop for OwnLock {
    fn drop(&mut self) {
        let _ = self.0.file.unlock();
    }
}

impl From<FileLock> for OwnLock {
    fn from(lock: FileLock) -> Self {
        Self(lock)
    }
}

impl FileLock {
    /// Opens a file for locking. Creates the file and its folder, accessible to this user only, if they are missing.
    /// Refuses a link, which another user may have made so that this user writes to another file, and anything else that is
    /// not a regular file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let open = |create: bool| {
            let mut options = File::options();
            options.read(true).write(true).create(create).truncate(false).mode(0o600);
            regular_file::open_with(&mut options, path)
        };
        // In a sticky folder, the kernel may refuse to open an existing file of another user with O_CREAT.
        if let Ok(file) = open(false) {
            return Ok(Self { file, path: path.to_owned() });
        }
        if let Some(folder) = path.parent() {
            make_private_dir(folder)?;
        }
        Ok(Self { file: open(true)?, path: path.to_owned() })
    }

    /// Opens an existing file or folder for locking.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path).map_err(|error| with_path(path, error))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Takes the lock if it is free, and returns whether it was.
    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        self.was_taken(self.file.try_lock())
    }

    /// Takes a shared lock if no process holds the exclusive one, and returns whether it was taken.
    pub(crate) fn try_lock_shared(&self) -> io::Result<bool> {
        self.was_taken(self.file.try_lock_shared())
    }

    fn was_taken(&self, tried: Result<(), TryLockError>) -> io::Result<bool> {
        match tried {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(with_path(&self.path, error)),
        }
    }

    /// Waits for the lock without a time limit, and takes it.
    pub(crate) fn lock(&self) -> io::Result<()> {
        self.file.lock().map_err(|error| with_path(&self.path, error))
    }

    /// Takes the lock if it becomes free within `patience`, and returns whether it was taken.
    pub(crate) fn try_lock_for(&self, patience: Duration) -> io::Result<bool> {
        const RETRY: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + patience;
        while !self.try_lock()? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            #[expect(clippy::disallowed_methods, reason = "no event reports a free lock")]
            std::thread::sleep(RETRY);
        }
        Ok(true)
    }

    /// Takes the lock. Calls `wait` after each failed try, and gives up if `wait` returns an error.
    pub(crate) fn lock_or<E: From<io::Error>>(
        &mut self,
        mut wait: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        while !self.try_lock()? {
            wait(self)?;
        }
        Ok(())
    }

    /// Releases the lock, even if other processes have copies of the descriptor.
    pub(crate) fn unlock(self) -> io::Result<()> {
        self.file.unlock()
    }

    /// Returns whether the file was removed after it was opened.
    pub(crate) fn is_removed(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Returns the first 4 KiB of the content of the file, as far as they can be read.
    pub(crate) fn read(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.file.rewind().and_then(|()| (&mut self.file).take(4096).read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Replaces the content of the file in one write, so that no reader sees only a part of it.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(text.as_bytes())
    }

    /// Returns the open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the path by which the file was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns whether a process holds the lock on a file, or `None` if there is no regular file.
pub(crate) fn is_locked(path: &Path) -> io::Result<Option<bool>> {
    let Some(file) = regular_file::find(path)? else { return Ok(None) };
    let is_free = FileLock { file, path: path.to_owned() }.try_lock()?;
    Ok(Some(!is_free))
}

/// Returns the beginning of the content of the file of a lock that no process holds, or `None` if one does or there is no
/// regular file.
pub(crate) fn content_of_free(path: &Path) -> io::Result<Option<String>> {
    let Some(file) = regular_file::find(path)? else { return Ok(None) };
    let mut lock = FileLock { file, path: path.to_owned() };
    Ok(if lock.try_lock()? { Some(lock.read()) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_until_its_file_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/x");
        assert_eq!(is_locked(&path).unwrap(), None);
        let mut lock = FileLock::create(&path).unwrap();
        assert_eq!(is_locked(&path).unwrap(), Some(false));
        assert!(lock.try_lock().unwrap());
        assert_eq!(is_locked(&path).unwrap(), Some(true));
        lock.write("first").unwrap();
        lock.write("x").unwrap();
        assert_eq!(FileLock::create(&path).unwrap().read(), "x");
        let mut other = FileLock::open(&path).unwrap();
        let mut lock = Some(lock);
        let release = |_: &mut FileLock| -> io::Result<()> {
            drop(lock.take());
            Ok(())
        };
        other.lock_or(release).unwrap();
        assert_eq!(is_locked(&path).unwrap(), Some(true));
        fs_err::remove_file(&path).unwrap();
        assert!(other.is_removed().unwrap());
    }

    #[test]
    fn an_own_lock_ends_although_a_starting_program_has_a_copy_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FileLock::open(folder.path()).unwrap();
        assert!(lock.try_lock().unwrap());
        let _copy = lock.file().try_clone().unwrap();
        drop(OwnLock::from(lock));
        assert!(FileLock::open(folder.path()).unwrap().try_lock().unwrap());
    }

    #[test]
    fn the_target_of_a_link_is_neither_locked_nor_created() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("x"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let refused = || FileLock::create(&link).unwrap_err().to_string();
        assert_eq!(refused(), format!("{}: it is not a regular file; remove it", link.display()));
        assert!(!target.exists());
        fs_err::write(&target, "mine").unwrap();
        assert_eq!(refused(), format!("{}: it is not a regular file; remove it", link.display()));
    }
}
