//! The prefixes in LIB_DIR that rigup made, which its markers show, and their removal.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::fs::copy::copy_tree;
use crate::fs::lib_dir::{self, Prefix};
use crate::fs::remove::{ignore_missing, remove_tree};
use crate::fs::{atomic, dir};
use crate::install::users::{Owner, Users};
use crate::model::BinaryName;
use crate::process::lock::{Lock, LockError};
use crate::sorting::sort;
use crate::store::StoreError;

/// A prefix, or a part of one, or a link, that nothing uses.
#[derive(Debug)]
pub(crate) struct Orphan {
    /// The paths that exist: the folder, and what an unfinished install left beside it.
    pub paths: Vec<PathBuf>,
    /// The size of its files, in bytes.
    pub bytes: u64,
}

/// The reason why a prefix or a link is not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemovalError {
    /// The prefix is in use.
    #[error("{path} is kept: {1} uses it", path = .0.display())]
    Used(PathBuf, String),
    /// Nothing shows that rigup made the prefix.
    #[error("{path} is kept: nothing shows that rigup made it; if it did, remove the folder yourself", path = .0.display())]
    Foreign(PathBuf),
    /// Only another user can remove the path, with the id of that user.
    #[error("cannot remove {path}: it belongs to the user {1}", path = .0.display())]
    OtherOwner(PathBuf, u32),
    /// A file cannot be removed.
    #[error("cannot remove what nothing uses: {0}")]
    Io(#[from] io::Error),
    /// The lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Users<'_> {
    /// Returns the prefixes that rigup made and that nothing uses, or beside which an unfinished install left something,
    /// sorted by path.
    pub(crate) fn orphaned_prefixes(&self) -> Result<Vec<Prefix>, StoreError> {
        let mut prefixes: Vec<Prefix> = self.made().collect();
        sort(&mut prefixes);
        prefixes.dedup();
        let files = self.store.binary_files()?;
        prefixes.retain(|prefix| matches!(self.unused_of(prefix, None, &files), Ok(Some(_))));
        Ok(prefixes)
    }

    /// Returns the prefixes that are named after a binary, one for each provider.
    pub(crate) fn prefixes_named_after(&self, name: &BinaryName) -> Vec<Prefix> {
        self.made().filter(|prefix| prefix.is_named(name.link_name())).collect()
    }

    /// Returns the prefixes that rigup made, and those that unfinished installs left something beside. One with both is
    /// returned twice.
    fn made(&self) -> impl Iterator<Item = Prefix> {
        let lib_dir = &self.settings.lib_dir;
        let prefix = |path: PathBuf| Prefix::of_part(&path, lib_dir).or_else(|| Prefix::new(&path, lib_dir));
        Prefix::candidates(lib_dir).filter_map(prefix).filter(|prefix| prefix.has_evidence(lib_dir))
    }

    /// Removes a prefix, with what an unfinished install left of it, unless another binary than `except` uses it or a
    /// hook is installing into it. Returns what was removed. A dry run only returns it.
    pub(crate) fn remove_prefix(
        &self,
        prefix: &Prefix,
        except: Option<&str>,
        is_dry_run: bool,
    ) -> Result<Option<Orphan>, RemovalError> {
        let find = || self.unused_of(prefix, except, &self.store.binary_files()?);
        let markers = prefix.markers(&self.settings.lib_dir);
        if is_dry_run || !markers.is_dir() {
            return find();
        }
        let _hook_locks = self.lock_out_hooks(prefix)?;
        let _lock = self.lock(&markers)?;
        let found = find();
        self.remove(&markers, except.unwrap_or_default(), None)?;
        let orphan = found?;
        for path in orphan.iter().flat_map(|orphan| &orphan.paths) {
            remove(path)?;
        }
        if orphan.is_some() && !prefix.exists(&self.settings.lib_dir) {
            self.remove_evidence(&markers)?;
            prefix.remove_empty_folders(&self.settings.lib_dir);
        }
        Ok(orphan)
    }

    /// Takes the locks that hooks hold while they install into a prefix.
    fn lock_out_hooks(&self, prefix: &Prefix) -> Result<Vec<Lock>, RemovalError> {
        let lib_dir = &self.settings.lib_dir;
        prefix.check_folders(lib_dir)?;
        let busy = |_| RemovalError::Used(prefix.path(lib_dir), "a hook".to_owned());
        let names = [prefix.lock_name(), prefix.provider().to_string_lossy().into_owned()];
        names.iter().map(|name| Lock::try_in_lib_dir(lib_dir, name)?.map_err(busy)).collect()
    }

    /// Removes what a hook left beside a prefix that stays, unless that is the only copy of the earlier version.
    pub(crate) fn remove_part(&self, prefix: &Prefix) -> Result<(), RemovalError> {
        let (lib_dir, part) = (&self.settings.lib_dir, prefix.part(&self.settings.lib_dir));
        let is_waste = part.symlink_metadata().is_ok() && !part.join(lib_dir::OLD).exists();
        if is_waste && prefix.has_evidence(lib_dir) {
            let _hook_locks = self.lock_out_hooks(prefix)?;
            remove(&part)?;
        }
        Ok(())
    }

    /// Replaces a prefix with its earlier copy, unless a hook is installing into it.
    pub(crate) fn restore_prefix(&self, prefix: &Prefix, copy: &Path) -> Result<(), RemovalError> {
        let lib_dir = &self.settings.lib_dir;
        let (path, part) = (prefix.path(lib_dir), prefix.part(lib_dir));
        let _hook_locks = self.lock_out_hooks(prefix)?;
        remove(&part)?;
        copy_tree(copy, &part)?;
        Ok(atomic::replace_folder(&path, &part, &part)?)
    }

    /// Returns what exists of a prefix and has no user: for `--orphaned` (without `except`), what an unfinished install
    /// left beside a prefix that is in use. `files` are the names and paths of the binaries of all machines in the store.
    fn unused_of(
        &self,
        prefix: &Prefix,
        except: Option<&str>,
        files: &[(String, Option<PathBuf>)],
    ) -> Result<Option<Orphan>, RemovalError> {
        let path = prefix.path(&self.settings.lib_dir);
        let is_user = |(name, file): &&(String, Option<PathBuf>)| {
            except != Some(name) && file.as_ref().is_some_and(|file| file.starts_with(&path))
        };
        let mut used_by = files.iter().find(is_user).map(|(name, _)| name.clone());
        let mut is_installing = false;
        let users = self.list(&prefix.markers(&self.settings.lib_dir)).into_iter();
        for user in users.filter(|user| !user.is_former(except.unwrap_or_default())) {
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
        match (used_by, &*paths) {
            (Some(user), []) => return Err(RemovalError::Used(path, user)),
            (None, []) if !is_made && lib_dir::is_filled(&path) => return Err(RemovalError::Foreign(path)),
            _ => {}
        }
        Ok((!paths.is_empty()).then_some(Orphan { paths, bytes }))
    }
}

/// Removes a folder, a link or a file, if it exists.
pub(super) fn remove(path: &Path) -> Result<(), RemovalError> {
    ignore_missing(remove_tree(path)).map_err(|error| match dir::denying_owner(path, &error) {
        Some(owner) => RemovalError::OtherOwner(path.to_owned(), owner),
        None => RemovalError::Io(error),
    })
}

/// Returns the size of a file, or of all files in a folder. Does not follow links.
pub(crate) fn size(path: &Path) -> u64 {
    let files = WalkDir::new(path).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}
