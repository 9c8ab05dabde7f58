//! Temporary folders, which may contain anything in the end.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::fs::remove::remove_tree;
use crate::shell;

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
        Self::create_in(&tempfile::env::temp_dir(), prefix)
    }

    fn create_in(parent: &Path, prefix: &str) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(prefix).permissions(Permissions::from_mode(0o700));
        let folder = builder.tempdir_in(parent).map_err(|error| {
            let place = parent.display();
            let (cause, next) = if parent.exists() {
                (error.to_string(), String::new())
            } else {
                (
                    "it does not exist".to_owned(),
                    format!("create it with `mkdir -m 1777 {}`, or ", shell::quote_path(parent)),
                )
            };
            let text = "cannot create a folder for temporary files in";
            io::Error::new(
                error.kind(),
                format!("{text} {place}: {cause}; {next}set TMPDIR to another folder"),
            )
        })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_for_temporary_files_is_named_with_the_next_step() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("tmp");
        let error = TemporaryFolder::create_in(&missing, "x-").unwrap_err();
        let expected = format!(
            "cannot create a folder for temporary files in {0}: it does not exist; create it with `mkdir -m 1777 {0}`, or set TMPDIR to another folder",
            missing.display()
        );
        assert_eq!((error.to_string(), error.kind()), (expected, io::ErrorKind::NotFound));
    }
}
