//! A prefix that a hook builds beside its place, and that replaces the earlier one only if its program is accepted.

use std::io;
use std::path::{Path, PathBuf};

use crate::fs::atomic;

/// A folder that a hook has filled, and the prefix that it replaces.
#[derive(Debug)]
pub(crate) struct BuiltPrefix<'a> {
    /// The folder, on the same file system as the prefix.
    pub built: &'a Path,
    /// The prefix.
    pub prefix: PathBuf,
}

impl BuiltPrefix<'_> {
    /// Returns the path at which a file of the prefix is until [`Self::put_in_place`].
    pub(crate) fn locate(&self, file: &Path) -> PathBuf {
        file.strip_prefix(&self.prefix).map_or_else(|_| file.to_owned(), |inside| self.built.join(inside))
    }

    /// Returns a message about a file in the folder with the path that it has in the prefix.
    pub(crate) fn with_final_paths(&self, message: &str) -> String {
        message.replace(&*self.built.to_string_lossy(), &self.prefix.to_string_lossy())
    }

    /// Replaces the prefix with the folder, and returns the new path of a file. After an error, the earlier prefix is
    /// still in place.
    pub(crate) fn put_in_place(&self, file: &Path) -> io::Result<PathBuf> {
        atomic::replace_folder(&self.prefix, self.built)?;
        Ok(file.strip_prefix(self.built).map_or_else(|_| file.to_owned(), |inside| self.prefix.join(inside)))
    }
}
