//! Temporary folders, which may contain anything in the end.

use std::io;
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
    /// Creates a folder in the folder of temporary files, whose name begins with `prefix`.
    pub(crate) fn create(prefix: &str) -> io::Result<Self> {
        Ok(Self { path: tempfile::Builder::new().prefix(prefix).tempdir()?.keep(), is_kept: false })
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
