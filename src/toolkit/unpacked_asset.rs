//! The release assets that are unpacked in LIB_DIR: what the next program of the same file needs no download for.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::fs::lib_dir::Prefix;
use crate::fs::regular_file;
use crate::fs::remove::{ignore_missing, remove_tree};
use crate::fs::tree_digest::tree_digest;
use crate::process::inherited_lock;
use crate::process::lock::{self, Holder, LockError};
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::shell;
use crate::toolkit::download::AssetSource;

/// The file in a prefix that states what was unpacked into it.
const STATEMENT: &str = ".rigup-asset";

/// The size limit of that file, in bytes. It has two digests and an address.
const MAX_SIZE: u64 = 64 << 10;

/// How many digits of the digest of a file are in the path of its prefix.
pub(super) const DIGITS: usize = 12;

/// What was unpacked into a prefix.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    /// The address of the file.
    url: String,
    /// The SHA-256 digest of the file.
    url_sha256: String,
    /// The digest of what was unpacked.
    tree_sha256: String,
}

/// States in a folder that it contains exactly what was unpacked from the file with this address and digest.
pub(crate) fn state(folder: &Path, (url, url_sha256): (&str, &str)) -> io::Result<()> {
    let file = folder.join(STATEMENT);
    // The archive may contain such a file, or a link.
    ignore_missing(remove_tree(&file))?;
    let tree_sha256 = tree_digest(folder, Some(STATEMENT))?;
    let statement = Statement { url: url.to_owned(), url_sha256: url_sha256.to_owned(), tree_sha256 };
    let mut file = fs_err::File::create_new(file)?;
    file.write_all(serde_json::to_string(&statement)?.as_bytes())
}

/// The prefix of a release asset whose digest alone verifies it.
#[derive(Debug)]
pub(crate) struct AssetPrefix<'a> {
    prefix: Prefix,
    source: &'a AssetSource,
    sha256: &'a str,
    settings: &'a Settings,
}

impl<'a> AssetPrefix<'a> {
    /// Returns the prefix of a file in a release, whose path begins with `release`, or `None` if the digest is not known yet,
    /// or if the request asks for a further check, for which the file is necessary.
    pub(crate) fn new(release: &Path, source: &'a AssetSource, settings: &'a Settings) -> Option<Self> {
        let sha256 = source.known.as_ref()?.sha256.as_str();
        if source.minisign.is_some() || source.verify.is_some() {
            return None;
        }
        let path = PathBuf::from(format!("{}-{}", release.to_str()?, sha256.get(..DIGITS)?));
        let prefix = Prefix::new(&path, &settings.lib_dir)?;
        Some(Self { prefix, source, sha256, settings })
    }

    /// Takes the lock of the prefix for the hook that has its file open. Returns `false` if the hook does not.
    pub(crate) fn lock(
        &self,
        interrupt: &Interrupt,
        on_wait: impl FnOnce(&Holder),
    ) -> Result<bool, LockError> {
        inherited_lock::take(&self.settings.lib_dir, &self.prefix.lock_name(), interrupt, on_wait)
    }

    /// Returns the shell code that makes the hook open the file of the lock, and then evaluate the output of a command. The
    /// lock is thus held until the hook ends: another hook that needs the same file waits for what this one unpacks.
    pub(crate) fn opening(&self, command: &str) -> Result<String, LockError> {
        let file = lock::file_in_lib_dir(&self.settings.lib_dir, &self.prefix.lock_name())?;
        Ok(format!("exec 9<{}\neval \"$({command})\"\n", shell::quote_path(&file)))
    }

    /// Returns the shell code that sets the prefix as what was unpacked, or `None` if it does not contain exactly that.
    pub(crate) fn script(&self) -> Option<String> {
        let lib_dir = &self.settings.lib_dir;
        self.prefix.check_folders(lib_dir).ok()?;
        let path = self.prefix.path(lib_dir);
        let file = path.join(STATEMENT);
        let is_own = file.symlink_metadata().ok()?.uid() == geteuid().as_raw();
        let statement: Statement = serde_json::from_slice(&regular_file::read(&file, MAX_SIZE).ok()?).ok()?;
        let addresses = [Some(&self.source.url), self.source.api_url.as_ref()];
        let is_intact = is_own
            && self.prefix.has_evidence(lib_dir)
            && addresses.contains(&Some(&statement.url))
            && statement.url_sha256 == self.sha256
            && statement.tree_sha256 == tree_digest(&path, Some(STATEMENT)).ok()?;
        let variables = [("url", &*statement.url), ("sha256", self.sha256), ("built", path.to_str()?)];
        let assign = |(name, value): (&str, &str)| format!("{name}={}\n", shell::quote_text(value));
        is_intact.then(|| variables.into_iter().map(assign).collect())
    }
}
