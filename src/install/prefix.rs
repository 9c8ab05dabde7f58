//! The prefixes in LIB_DIR that rigup made, which its markers show, and their removal.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::fs::dir;
use crate::fs::lib_dir::{self, Prefix};
use crate::fs::remove::{ignore_missing, remove_tree};
use crate::install::users::{Owner, Users};
use crate::model::{Binary, BinaryName};
use crate::process::lock::{Lock, LockError};
use crate::store::{BinaryFilter, StoreError};

/// A prefix, or a part of one, that nothing uses.
#[derive(Debug)]
pub(crate) struct Orphan {
    /// The prefix.
    pub prefix: Prefix,
    /// The paths that exist: the folder, and what an unfinished install left beside it.
    pub paths: Vec<PathBuf>,
    /// The size of its files, in bytes.
    pub bytes: u64,
}

/// The reason why a prefix is not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrefixError {
    /// The prefix is in use.
    #[error("{path} is kept: {1} uses it", path = .0.display())]
    Used(PathBuf, String),
    /// Only another user can remove the prefix, with the id of that user.
    #[error("cannot remove {path}: it belongs to the user {1}", path = .0.display())]
    OtherOwner(PathBuf, u32),
    /// A file cannot be removed.
    #[error("cannot remove the prefix: {0}")]
    Io(#[from] io::Error),
    /// The lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Users<'_> {
    /// Returns the prefixes that rigup made and that nothing uses, with the remains of unfinished installs, sorted by
    /// path.
    pub(crate) fn orphaned_prefixes(&self) -> Result<Vec<Orphan>, StoreError> {
        let mut prefixes: Vec<Prefix> =
            Prefix::candidates(&self.settings.lib_dir).filter_map(|path| self.made(&path)).collect();
        prefixes.sort();
        prefixes.dedup();
        let binaries = self.binaries()?;
        let unused = |prefix: &Prefix| self.unused_of(prefix, None, &binaries).ok().flatten();
        Ok(prefixes.iter().filter_map(unused).collect())
    }

    /// Returns the prefixes that are named after a binary, one for each provider.
    pub(crate) fn prefixes_named_after(&self, name: &BinaryName) -> Vec<Prefix> {
        let prefixes = Prefix::candidates(&self.settings.lib_dir).filter_map(|path| self.made(&path));
        prefixes.filter(|prefix| prefix.is_named(name.link_name())).collect()
    }

    /// Returns the prefix that rigup made at this path, or that an unfinished install at this path belongs to.
    fn made(&self, path: &Path) -> Option<Prefix> {
        let lib_dir = &self.settings.lib_dir;
        let prefix = Prefix::of_part(path, lib_dir).or_else(|| Prefix::new(path, lib_dir));
        prefix.filter(|prefix| prefix.has_evidence(lib_dir))
    }

    /// Returns what could be removed of a prefix, or the reason why it must be kept. The binary with the name `except` is
    /// no user.
    pub(crate) fn find_prefix(
        &self,
        prefix: &Prefix,
        except: Option<&str>,
    ) -> Result<Option<Orphan>, PrefixError> {
        self.unused_of(prefix, except, &self.binaries()?)
    }

    /// Removes a prefix, with what an unfinished install left of it, unless another binary than `except` uses it or a
    /// hook is installing into it. Returns what was removed.
    pub(crate) fn remove_prefix(
        &self,
        prefix: &Prefix,
        except: Option<&str>,
    ) -> Result<Option<Orphan>, PrefixError> {
        let markers = prefix.markers(&self.settings.lib_dir);
        if !markers.is_dir() && self.find_prefix(prefix, except)?.is_none() {
            return Ok(None);
        }
        let mut locks = Vec::new();
        for name in [prefix.lock_name(), prefix.provider().to_string_lossy().into_owned()] {
            let busy = |_| PrefixError::Used(prefix.path(&self.settings.lib_dir), "a hook".to_owned());
            locks.push(Lock::try_in_lib_dir(&self.settings.lib_dir, &name)?.map_err(busy)?);
        }
        let _lock = self.lock(&markers)?;
        let found = self.find_prefix(prefix, except);
        self.remove(&markers, except.unwrap_or_default(), None)?;
        let orphan = found?;
        for path in orphan.iter().flat_map(|orphan| &orphan.paths) {
            let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            let removed = if is_folder { remove_tree(path) } else { fs_err::remove_file(path) };
            ignore_missing(removed).map_err(|error| match dir::denying_owner(path, &error) {
                Some(owner) => PrefixError::OtherOwner(path.clone(), owner),
                None => PrefixError::Io(error),
            })?;
        }
        // This fails if there are other users.
        let _ = fs_err::remove_dir(markers);
        Ok(orphan)
    }

    /// Returns the binaries of all machines in the store.
    fn binaries(&self) -> Result<Vec<Binary>, StoreError> {
        self.store.binaries(&BinaryFilter::default())
    }

    /// Returns what exists of a prefix and has no user: for `--orphaned` (without `except`), what an unfinished install
    /// left beside a prefix that is in use.
    fn unused_of(
        &self,
        prefix: &Prefix,
        except: Option<&str>,
        binaries: &[Binary],
    ) -> Result<Option<Orphan>, PrefixError> {
        let path = prefix.path(&self.settings.lib_dir);
        let is_user = |binary: &&Binary| {
            except != Some(&binary.name)
                && binary.installed().is_some_and(|installed| installed.abspath.starts_with(&path))
        };
        let mut used_by = binaries.iter().find(is_user).map(|binary| binary.name.clone());
        let mut is_installing = false;
        for user in self.list(&prefix.markers(&self.settings.lib_dir)) {
            if user.owner == Owner::Gone || except.is_some_and(|name| user.is_named(name)) {
                continue;
            }
            is_installing |= user.is_installing().unwrap_or(user.owner == Owner::Other);
            if user.owner == Owner::Other || user.is_installing() == Some(true) {
                used_by.get_or_insert_with(|| user.to_string());
            }
        }
        let mut paths = Vec::new();
        let is_made = prefix.has_evidence(&self.settings.lib_dir);
        if is_made && used_by.is_none() {
            paths.push(path.clone());
        }
        let part = prefix.part(&self.settings.lib_dir);
        let is_waste = || except.is_none() && !part.join(lib_dir::OLD).exists();
        if is_made && !is_installing && (used_by.is_none() || is_waste()) {
            paths.push(part);
        }
        paths.retain(|path| path.symlink_metadata().is_ok());
        let bytes = paths.iter().map(|path| size(path)).sum();
        if let (Some(user), []) = (used_by, &*paths) {
            return Err(PrefixError::Used(path, user));
        }
        Ok((!paths.is_empty()).then(|| Orphan { prefix: prefix.clone(), paths, bytes }))
    }
}

/// Returns the size of a file, or of all files in a folder. Does not follow links.
fn size(path: &Path) -> u64 {
    let files = WalkDir::new(path).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}
