//! The lock of a process without a run dir, such as rigup itself: its rigup holds it from before the process is recorded
//! until its exit is. Other rigups can look at it even if they do not see the pid: from another container over the same
//! data dir.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fs::lock::{self, FileLock};
use crate::model::ProcessId;

/// The lock of one process. Its file is removed with the value.
#[derive(Debug)]
pub(crate) struct ProcessLock(FileLock);

impl ProcessLock {
    /// Takes the lock of a process that is not recorded yet.
    pub(crate) fn take(data_dir: &Path, process_id: ProcessId) -> io::Result<Self> {
        let file = FileLock::create(&path(data_dir, process_id))?;
        file.lock()?;
        Ok(Self(file))
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        let _ = fs_err::remove_file(self.0.path());
    }
}

/// Whether a rigup holds the lock of this process. If that was killed, its file is removed.
pub(crate) fn is_held(data_dir: &Path, process_id: ProcessId) -> bool {
    let path = path(data_dir, process_id);
    let is_locked = lock::is_locked(&path);
    if is_locked == Some(false) {
        let _ = fs_err::remove_file(&path);
    }
    is_locked == Some(true)
}

/// Removes the files, older than `age`, of rigups that were killed before they recorded their process.
pub(crate) fn remove_stale(data_dir: &Path, age: Duration) {
    for file in fs_err::read_dir(folder(data_dir)).into_iter().flatten().flatten() {
        let changed = file.metadata().and_then(|metadata| metadata.modified());
        let is_old = changed.is_ok_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed > age));
        if is_old && lock::is_locked(&file.path()) == Some(false) {
            let _ = fs_err::remove_file(file.path());
        }
    }
}

fn path(data_dir: &Path, process_id: ProcessId) -> PathBuf {
    folder(data_dir).join(process_id.to_string())
}

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("locks").join("process")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn an_old_lock_file_is_removed_unless_its_lock_is_held() {
        let data_dir = tempfile::tempdir().unwrap();
        let (held, stale) = (ProcessId::generate(), ProcessId::generate());
        let lock = ProcessLock::take(data_dir.path(), held).unwrap();
        File::create(path(data_dir.path(), stale)).unwrap();
        remove_stale(data_dir.path(), Duration::from_mins(1));
        assert!(path(data_dir.path(), stale).exists());
        let long_ago = SystemTime::now() - Duration::from_hours(1);
        for id in [held, stale] {
            let file = File::options().write(true).open(path(data_dir.path(), id)).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        remove_stale(data_dir.path(), Duration::from_mins(1));
        assert!(!path(data_dir.path(), stale).exists() && is_held(data_dir.path(), held));
        drop(lock);
        assert!(!path(data_dir.path(), held).exists());
    }
}
