//! A process without a run dir, be it rigup itself: the lock by which its rigup says that it sees it out. Others know by it
//! also where they do not see its pid: in another container over the same data dir.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::id::ProcessId;
use crate::trust::make_private_dir;

/// Held from before the process is recorded until its ending is.
#[derive(Debug)]
pub struct ProcessLock {
    path: PathBuf,
    _file: File,
}

impl ProcessLock {
    /// Begins it, in the folder that the records are in.
    pub fn begin(data_dir: &Path, process_id: ProcessId) -> io::Result<Self> {
        let path = path(data_dir, process_id);
        if let Some(folder) = path.parent() {
            make_private_dir(folder)?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.lock()?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        let _ = fs_err::remove_file(&self.path);
    }
}

/// Whether a rigup sees this process out. What a killed one left behind is removed.
pub fn is_kept(data_dir: &Path, process_id: ProcessId) -> bool {
    let path = path(data_dir, process_id);
    let Ok(file) = File::open(&path) else { return false };
    let is_kept = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    if !is_kept {
        let _ = fs_err::remove_file(&path);
    }
    is_kept
}

/// Removes what was left, so long ago, by rigups that were killed before they recorded their process.
pub fn remove_left(data_dir: &Path, age: Duration) {
    for file in fs_err::read_dir(folder(data_dir)).into_iter().flatten().flatten() {
        let changed = file.metadata().and_then(|it| it.modified());
        let is_old = changed.is_ok_and(|it| it.elapsed().is_ok_and(|it| it > age));
        if is_old && File::open(file.path()).is_ok_and(|it| it.try_lock().is_ok()) {
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
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_nobody_holds_is_removed_once_it_is_old() {
        let data_dir = tempfile::tempdir().unwrap();
        let (kept, left) = (ProcessId::generate(), ProcessId::generate());
        let vigil = ProcessLock::begin(data_dir.path(), kept).unwrap();
        File::create(path(data_dir.path(), left)).unwrap();
        remove_left(data_dir.path(), Duration::from_mins(1));
        assert!(path(data_dir.path(), left).exists());
        let long_ago = SystemTime::now() - Duration::from_hours(1);
        for id in [kept, left] {
            let file = File::options().write(true).open(path(data_dir.path(), id)).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        remove_left(data_dir.path(), Duration::from_mins(1));
        assert!(!path(data_dir.path(), left).exists() && is_kept(data_dir.path(), kept));
        drop(vigil);
        assert!(!path(data_dir.path(), kept).exists());
    }
}
