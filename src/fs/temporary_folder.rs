//! Temporary folders, which may contain anything in the end.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::fs::remove::remove_tree;

/// A new folder that is removed with this value, whatever programs have put into it: folders of any depth, and folders
/// that nothing may be removed from. If a file system is mounted in it, it is kept.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    path: PathBuf,
    is_kept: bool,
}

impl TemporaryFolder {
    /// Creates a folder in the folder of temporary files, whose name begins with `prefix`, for this user only: a browser
    /// keeps its profile there.
    pub(crate) fn create(prefix: &str) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix(prefix).permissions(Permissions::from_mode(0o700)).tempdir()?;
        Ok(Self { path: folder.keep(), is_kept: false })
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the folder, and returns its path.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = remove_tree(&self.path);
        }
    }
}
