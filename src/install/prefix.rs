//! The prefixes in LIB_DIR, each a folder that a provider installed a binary into, and the data dirs that use them.
//!
//! `LIB_DIR/.prefixes/<provider>/<prefix>` shows that rigup made `LIB_DIR/<provider>/<prefix>`. It contains a marker for
//! each binary of each data dir that is, or is being, installed there: a symbolic link whose target is JSON, because a
//! link is created at once and completely. A data dir looks up its own binaries in its store. Other stores may not be
//! readable, so their markers decide.

use std::io;
use std::path::{Component, Path, PathBuf};

use fs_err::DirEntry;
use fs_err::os::unix::fs::symlink;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::fs::digest;
use crate::fs::dir::{self, ignore_missing};
use crate::model::{Binary, BinaryName, Installed, Machine, MachineId};
use crate::plugin::overrides::{PART, SHARED};
use crate::process::lock::{self, Lock, LockError};
use crate::settings::Settings;
use crate::store::{BinaryFilter, Store, StoreError};

/// The folder of the markers in LIB_DIR.
const FOLDER: &str = ".prefixes";

/// A prefix, as its path relative to LIB_DIR: `pip/yt-dlp` or `npm/packages/chrome`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix(PathBuf);

/// A marker: a binary of a data dir that uses a prefix.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    data_dir: PathBuf,
    lib_dir: PathBuf,
    #[serde(flatten)]
    host: Host,
    /// The name of the binary.
    name: String,
}

/// The machine of a data dir. In a container, each data dir is a machine of its own, and only the host name, which is the
/// id of the container, shows that another one is in the same container.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Host {
    guid: String,
    /// The host name, if the guid is that of the data dir.
    container: Option<String>,
}

impl Host {
    fn new(machine: &Machine) -> Self {
        let container = machine.guid.is_random().then(|| machine.facts.hostname.clone());
        Self { guid: machine.guid.value.clone(), container }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.guid == other.guid || self.container.is_some() && self.container == other.container
    }
}

/// The data dir that a marker belongs to.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// This one.
    This,
    /// Another one, which exists or is out of sight.
    Other,
    /// One that no longer exists on this machine, or that uses another LIB_DIR, of which this one is a copy.
    Gone,
}

/// A prefix without a user.
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

impl Prefix {
    /// Returns the prefix with this path, or `None` if no prefix can have it.
    pub(crate) fn new(path: &Path, lib_dir: &Path) -> Option<Self> {
        let prefix = Self::containing(&path.join("file"), lib_dir)?;
        (lib_dir.join(&prefix.0) == path).then_some(prefix)
    }

    /// Returns the prefix that contains a file, or `None` if it is not in one.
    pub(crate) fn containing(file: &Path, lib_dir: &Path) -> Option<Self> {
        let below: Vec<Component<'_>> = file.strip_prefix(lib_dir).ok()?.components().collect();
        let is_name = |part: &Component<'_>| {
            matches!(part, Component::Normal(name) if !name.as_encoded_bytes().starts_with(b".")
                && !name.as_encoded_bytes().ends_with(PART.as_bytes()))
        };
        let depth = if below.get(1) == Some(&Component::Normal(SHARED.as_ref())) { 3 } else { 2 };
        let is_prefix = below.len() > depth && below[..depth].iter().all(is_name);
        is_prefix.then(|| Self(below[..depth].iter().collect()))
    }

    /// Returns its path.
    pub(crate) fn path(&self, lib_dir: &Path) -> PathBuf {
        lib_dir.join(&self.0)
    }

    fn part(&self, lib_dir: &Path) -> PathBuf {
        let mut path = self.path(lib_dir).into_os_string();
        path.push(PART);
        path.into()
    }

    fn markers(&self, lib_dir: &Path) -> PathBuf {
        lib_dir.join(FOLDER).join(&self.0)
    }

    /// Returns the names of the locks that hooks hold while they install into the prefix: that of the prefix, or that of
    /// the provider.
    fn lock_names(&self) -> [String; 2] {
        let provider = self.0.iter().next().unwrap_or_default().to_string_lossy().into_owned();
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        [format!("{provider}/{name}"), provider]
    }
}

/// The prefixes in the LIB_DIR of an open data dir.
#[derive(Debug)]
pub(crate) struct Prefixes<'a> {
    settings: &'a Settings,
    store: &'a Store,
    host: Host,
    /// The guids of the other machines in the store.
    other_guids: Vec<String>,
}

impl<'a> Prefixes<'a> {
    /// Returns the prefixes, as this machine sees them.
    pub(crate) fn new(
        settings: &'a Settings,
        store: &'a Store,
        machine_id: MachineId,
    ) -> Result<Self, StoreError> {
        let (this, others): (Vec<_>, Vec<_>) =
            store.machines()?.into_iter().partition(|machine| machine.id == machine_id);
        let host = this.first().map_or(Host { guid: String::new(), container: None }, Host::new);
        let other_guids = others.into_iter().map(|machine| machine.guid.value).collect();
        Ok(Self { settings, store, host, other_guids })
    }

    /// Marks a prefix as used by a binary, before its provider installs into it.
    pub(crate) fn mark(&self, prefix: &Prefix, name: &BinaryName) -> io::Result<()> {
        let Settings { data_dir, lib_dir, .. } = self.settings;
        let marker = Marker {
            data_dir: data_dir.clone(),
            lib_dir: lib_dir.clone(),
            host: self.host.clone(),
            name: name.to_string(),
        };
        dir::make_shared_dirs(lib_dir, &Path::new(FOLDER).join(&prefix.0))?;
        match symlink(serde_json::to_string(&marker)?, self.marker(prefix, name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Marks the prefix of an installed binary, if its provider made one.
    pub(crate) fn mark_installed(&self, installed: &Installed, name: &BinaryName) -> io::Result<()> {
        match Prefix::containing(&installed.abspath, &self.settings.lib_dir) {
            Some(prefix) if prefix.0.starts_with(installed.binprovider.as_str()) => self.mark(&prefix, name),
            _ => Ok(()),
        }
    }

    /// Removes the marker of a binary, which does not use the prefix any more.
    pub(crate) fn unmark(&self, prefix: &Prefix, name: &BinaryName) {
        // A marker of this data dir without a binary in its store has no effect.
        let _ = fs_err::remove_file(self.marker(prefix, name));
    }

    fn marker(&self, prefix: &Prefix, name: &BinaryName) -> PathBuf {
        let owner = [self.host.guid.as_bytes(), b"\0", self.settings.data_dir.as_os_str().as_encoded_bytes()];
        let digest = digest::hex(&Sha256::digest(owner.concat())[..4]);
        prefix.markers(&self.settings.lib_dir).join(format!("{digest}-{}", name.link_name()))
    }

    /// Returns the binaries of all machines in the store.
    fn binaries(&self) -> Result<Vec<Binary>, StoreError> {
        self.store.binaries(&BinaryFilter::default())
    }

    /// Returns what uses a prefix, or `None` if nothing does. `binaries` are those in the store; the one with the name
    /// `except` does not count.
    fn user(&self, prefix: &Prefix, except: Option<&str>, binaries: &[Binary]) -> Option<String> {
        let path = prefix.path(&self.settings.lib_dir);
        let is_user = |binary: &&Binary| {
            except != Some(&binary.name)
                && binary.installed().is_some_and(|installed| installed.abspath.starts_with(&path))
        };
        if let Some(user) = binaries.iter().find(is_user) {
            return Some(user.name.clone());
        }
        let files = fs_err::read_dir(prefix.markers(&self.settings.lib_dir)).into_iter().flatten().flatten();
        for file in files.filter(is_marker) {
            let target = fs_err::read_link(file.path()).ok();
            let marker = target.and_then(|text| serde_json::from_str(text.to_str()?).ok());
            // Another version of rigup may have written a marker that this one cannot read.
            let Some(marker): Option<Marker> = marker else {
                return Some(format!("the unknown user in {}", file.path().display()));
            };
            match self.owner(&marker) {
                Owner::Other => {
                    let (name, data_dir) = (marker.name, marker.data_dir.display());
                    return Some(format!("{name} of the data dir {data_dir} ({})", file.path().display()));
                }
                Owner::This if except == Some(&marker.name) => {}
                // Its rigup holds the lock of the name until the binary is recorded.
                Owner::This if lock::is_binary_locked(&self.settings.data_dir, &marker.name) => {
                    return Some(marker.name);
                }
                Owner::This | Owner::Gone => {}
            }
        }
        None
    }

    fn owner(&self, marker: &Marker) -> Owner {
        let Settings { data_dir, lib_dir, .. } = self.settings;
        if !self.host.is_same(&marker.host) {
            let is_known = self.other_guids.contains(&marker.host.guid);
            return if is_known { Owner::This } else { Owner::Other };
        }
        if dir::identity(&marker.lib_dir) != dir::identity(lib_dir) {
            Owner::Gone
        } else if marker.data_dir == *data_dir {
            Owner::This
        } else if dir::identity(&marker.data_dir).is_none() {
            Owner::Gone
        } else {
            Owner::Other
        }
    }

    /// Returns the prefixes that rigup made and that nothing uses, with the remains of unfinished installs, sorted by
    /// path.
    pub(crate) fn orphans(&self) -> Result<Vec<Orphan>, StoreError> {
        let lib_dir = &self.settings.lib_dir;
        let mut prefixes = Vec::new();
        for provider in folders(&lib_dir.join(FOLDER)) {
            let Some(name) = provider.file_name() else { continue };
            for below in [lib_dir.join(name), lib_dir.join(name).join(SHARED)] {
                prefixes.extend(folders(&below).into_iter().filter_map(|path| self.made(&path)));
            }
        }
        prefixes.sort();
        prefixes.dedup();
        let binaries = self.binaries()?;
        prefixes.retain(|prefix| self.user(prefix, None, &binaries).is_none());
        Ok(prefixes.into_iter().filter_map(|prefix| self.orphan(prefix)).collect())
    }

    /// Returns the prefix that rigup made at this path, or that an unfinished install at this path belongs to.
    fn made(&self, path: &Path) -> Option<Prefix> {
        let lib_dir = &self.settings.lib_dir;
        // No prefix has such a name, so rigup, or a hook, made the folder.
        if let Some(whole) = path.to_str().and_then(|path| path.strip_suffix(PART)) {
            return Prefix::new(Path::new(whole), lib_dir);
        }
        Prefix::new(path, lib_dir).filter(|prefix| prefix.markers(lib_dir).is_dir())
    }

    /// Returns what exists of a prefix, or `None` if nothing does.
    fn orphan(&self, prefix: Prefix) -> Option<Orphan> {
        let lib_dir = &self.settings.lib_dir;
        let mut paths = Vec::new();
        if prefix.markers(lib_dir).is_dir() {
            paths.push(prefix.path(lib_dir));
        }
        paths.push(prefix.part(lib_dir));
        paths.retain(|path| path.symlink_metadata().is_ok());
        let bytes = paths.iter().map(|path| size(path)).sum();
        // The npm hook keeps an empty file in such a folder.
        (bytes > 0 || paths.iter().any(|path| *path == prefix.path(lib_dir))).then_some(Orphan {
            prefix,
            paths,
            bytes,
        })
    }

    /// Returns the prefixes that are named after a binary, one for each provider.
    pub(crate) fn named_after(&self, name: &BinaryName) -> Vec<Prefix> {
        let lib_dir = &self.settings.lib_dir;
        let providers = folders(&lib_dir.join(FOLDER)).into_iter();
        let path = |provider: PathBuf| Some(lib_dir.join(provider.file_name()?).join(name.link_name()));
        providers.filter_map(|provider| self.made(&path(provider)?)).collect()
    }

    /// Returns what exists of a prefix, or the reason why it must be kept. The binary with the name `except` is not one.
    pub(crate) fn find(&self, prefix: &Prefix, except: Option<&str>) -> Result<Option<Orphan>, PrefixError> {
        match self.user(prefix, except, &self.binaries()?) {
            Some(user) => Err(PrefixError::Used(prefix.path(&self.settings.lib_dir), user)),
            None => Ok(self.orphan(prefix.clone())),
        }
    }

    /// Removes a prefix, with what an unfinished install left of it, unless another binary than `except` uses it or a
    /// hook is installing into it. Returns what was removed.
    pub(crate) fn remove(
        &self,
        prefix: &Prefix,
        except: Option<&str>,
    ) -> Result<Option<Orphan>, PrefixError> {
        let lib_dir = &self.settings.lib_dir;
        let mut locks = Vec::new();
        for name in prefix.lock_names() {
            let busy = |_| PrefixError::Used(prefix.path(lib_dir), "a hook".to_owned());
            locks.push(Lock::try_in_lib_dir(lib_dir, &name)?.map_err(busy)?);
        }
        let orphan = self.find(prefix, except)?;
        for path in orphan.iter().flat_map(|orphan| &orphan.paths) {
            let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            let removed = if is_folder { fs_err::remove_dir_all(path) } else { fs_err::remove_file(path) };
            ignore_missing(removed)?;
        }
        let markers = prefix.markers(lib_dir);
        for file in fs_err::read_dir(&markers).into_iter().flatten().flatten() {
            if is_marker(&file) {
                ignore_missing(fs_err::remove_file(file.path()))?;
            }
        }
        // This fails for the folder of other prefixes, which is kept.
        let _ = fs_err::remove_dir(markers);
        Ok(orphan)
    }
}

fn is_marker(file: &DirEntry) -> bool {
    file.file_type().is_ok_and(|kind| kind.is_symlink())
}

/// Returns the entries of a folder, or none if it cannot be read.
fn folders(path: &Path) -> Vec<PathBuf> {
    fs_err::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Returns the size of a file, or of all files in a folder. Does not follow links.
fn size(path: &Path) -> u64 {
    let files = WalkDir::new(path).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_folder_of_a_provider_or_one_below_packages() {
        let containing = |path: &str| {
            let prefix = Prefix::containing(Path::new(path), Path::new("/lib"))?;
            Some(prefix.0.into_os_string().into_string().unwrap())
        };
        assert_eq!(containing("/lib/pip/x/bin/x").as_deref(), Some("pip/x"));
        assert_eq!(containing("/lib/npm/packages/x/bin/x").as_deref(), Some("npm/packages/x"));
        for outside in [
            "/lib/pip/x",
            "/lib/bin/x",
            "/lib/npm/packages/x",
            "/usr/bin/x",
            "/lib/pip/x.part/y",
            "/lib/.locks/a/b",
        ] {
            assert_eq!(containing(outside), None, "{outside}");
        }
    }
}
