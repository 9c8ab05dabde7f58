//! The errors in the settings.

use std::path::PathBuf;

use crate::trust::Untrusted;

/// An error in the settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The data dir is not set, and there is no home folder.
    #[error(
        "cannot choose a data dir: HOME is not set to an absolute path; set it, or --data-dir or RIGUP_DATA_DIR"
    )]
    NoDataDir,
    /// The path of a folder has a character that is not supported. The last text is the flag that chooses another
    /// folder.
    #[error("cannot use the folder {path}: its path {1}; choose another with {2}", path = .0.display())]
    Folder(PathBuf, String, &'static str),
    /// A relative path is used in a current folder that was removed.
    #[error("cannot use {}: the path is relative, and the current folder does not exist; change to an existing folder", .0.display())]
    NoCurrentDir(PathBuf),
    /// A `rigup.toml` cannot be read or parsed.
    #[error("cannot use {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1; `None` for the whole file.
        line: Option<usize>,
        /// The reason.
        reason: String,
    },
    /// Others may have written a `rigup.toml`.
    #[error("{0}")]
    Untrusted(#[from] Untrusted),
    /// `RIGUP_OUTPUT_LIMIT` is invalid.
    #[error("RIGUP_OUTPUT_LIMIT={0} is not a limit; set it to a whole number of MiB, at least 1")]
    OutputLimit(String),
    /// A folder of plugins does not exist.
    #[error("--plugins-dir {}: no such folder", .0.display())]
    NoPluginsDir(PathBuf),
    /// The path of the running rigup is unknown.
    #[error("cannot find the path of the running rigup: {0}")]
    NoProgram(std::io::Error),
}
