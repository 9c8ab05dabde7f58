//! A process without a run dir: the lock by which its rigup says that it sees it out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::trust::make_private_dir;

/// Held from before the process is recorded until its ending is.
#[derive(Debug)]
pub struct Vigil {
    path: PathBuf,
    _file: File,
}

impl Vigil {
    /// Begins it, in the folder that the records are in.
    pub fn begin(data_dir: &Path, process_id: Uuid) -> io::Result<Self> {
        let path = path(data_dir, process_id);
        if let Some(folder) = path.parent() {
            make_private_dir(folder)?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.lock()?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        let _ = fs_err::remove_file(&self.path);
    }
}

/// Whether a rigup sees this process out. What a killed one left behind is removed.
pub fn is_kept(data_dir: &Path, process_id: Uuid) -> bool {
    let path = path(data_dir, process_id);
    let Ok(file) = File::open(&path) else { return false };
    let is_kept = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    if !is_kept {
        let _ = fs_err::remove_file(&path);
    }
    is_kept
}

fn path(data_dir: &Path, process_id: Uuid) -> PathBuf {
    data_dir.join("locks").join("process").join(process_id.to_string())
}
