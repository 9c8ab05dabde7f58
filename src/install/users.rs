//! The users of a link or a prefix: the binaries of this data dir, and of others that share LIB_DIR or LIB_BIN_DIR.
//!
//! A folder contains a marker for each user: a small file with one line of JSON, whose name is the digest of that line. A
//! marker is created before what it stands for, and removed afterwards. A data dir looks up its own binaries in its store.
//! Other stores may not be readable, so their markers decide.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fs::dir::{self, parent};
use crate::fs::lib_dir::{self, Prefix, make_shared_dir, write_shared_file};
use crate::fs::lock::FileLock;
use crate::fs::regular_file;
use crate::fs::remove::ignore_missing;
use crate::fs::{digest, link};
use crate::model::{BinaryName, Installed, Machine, MachineId};
use crate::process::lock::is_binary_locked;
use crate::process::wrapper;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// How long to wait for the lock on the markers, which each holder needs only for a moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// The size limit of a marker, in bytes. The longest values in it are three paths of up to 4 KiB each.
const MAX_SIZE: u64 = 64 << 10;

/// A marker.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    data_dir: PathBuf,
    /// The folder of the marker, as the data dir sees it.
    folder: PathBuf,
    #[serde(flatten)]
    host: Host,
    /// The name of the binary.
    name: String,
    /// The target of the link, as it is written; empty for a prefix.
    target: PathBuf,
    /// The version that was installed into the prefix; empty for a link, or if it is unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    version: String,
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

/// The data dir of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This one, which has a record of the binary.
    This,
    /// Another one, which exists or is out of sight.
    Other,
    /// One that no longer exists on this machine, that uses another folder, of which this one is a copy, or that has no
    /// record of the binary. The marker only shows what rigup made.
    Gone,
}

/// A user, as its marker describes it.
#[derive(Debug)]
pub(crate) struct User {
    /// The file of the marker.
    pub file: PathBuf,
    /// The data dir.
    pub owner: Owner,
    /// The marker; `None` if it cannot be read.
    marker: Option<Marker>,
}

impl User {
    /// Returns whether this is a binary of this data dir with this name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.owner == Owner::This && self.marker.as_ref().is_some_and(|marker| marker.name == name)
    }

    /// Returns whether this is the binary of this data dir with this name, which is removed, or one that is gone.
    pub(super) fn is_former(&self, name: &str) -> bool {
        self.is_named(name) || self.owner == Owner::Gone
    }

    /// Returns the path that the user's link at `path` leads to, or `None` if it is unknown.
    pub(crate) fn target(&self, path: &Path) -> Option<PathBuf> {
        Some(link::resolve_from(parent(path), &self.marker.as_ref()?.target))
    }

    /// Returns the version that the user installed into the prefix; empty if it is unknown.
    pub(crate) fn version(&self) -> &str {
        self.marker.as_ref().map_or("", |marker| &marker.version)
    }

    /// Returns whether a rigup is installing the binary, or `None` if that is unknown. That rigup holds the lock of the
    /// name until the binary is recorded.
    pub(crate) fn is_installing(&self) -> Option<bool> {
        let marker = self.marker.as_ref()?;
        is_binary_locked(&marker.data_dir, &marker.name)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.marker {
            Some(marker) if self.owner == Owner::This => f.write_str(&marker.name),
            Some(Marker { name, data_dir, .. }) => {
                write!(f, "{name} of the data dir {} ({})", data_dir.display(), self.file.display())
            }
            None => write!(f, "the unknown user in {}", self.file.display()),
        }
    }
}

/// The users of links and prefixes, as an open data dir sees them.
#[derive(Debug)]
pub(crate) struct Users<'a> {
    pub(super) settings: &'a Settings,
    pub(super) store: &'a Store,
    host: Host,
    /// The guids of the other machines in the store.
    other_guids: Vec<String>,
}

impl<'a> Users<'a> {
    /// Returns the users, as this machine sees them.
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

    /// Takes the lock on the folder around a folder of markers, and creates it. On a network file system that cannot lock
    /// a folder, there is no lock.
    pub(crate) fn lock(&self, folder: &Path) -> io::Result<FileLock> {
        self.make(parent(folder))?;
        let lock = FileLock::open(parent(folder))?;
        let _ = lock.try_lock_for(PATIENCE);
        Ok(lock)
    }

    /// Creates a folder in LIB_DIR or LIB_BIN_DIR, unless it exists.
    pub(super) fn make(&self, folder: &Path) -> io::Result<()> {
        let Settings { lib_dir, lib_bin_dir, .. } = self.settings;
        make_shared_dir(if folder.starts_with(lib_dir) { lib_dir } else { lib_bin_dir }, folder)
    }

    /// Adds a binary of this data dir to the users by its marker.
    pub(super) fn add(&self, (file, text): &(PathBuf, String)) -> io::Result<()> {
        let write = || self.make(parent(file)).and_then(|()| write_shared_file(file, text.as_bytes()));
        // Without a lock, another rigup may remove the empty folder or the temporary file meanwhile.
        write().or_else(|error| if error.kind() == io::ErrorKind::NotFound { write() } else { Err(error) })
    }

    /// Returns the path and the content of a marker.
    pub(super) fn marker(
        &self,
        folder: &Path,
        name: &BinaryName,
        target: &Path,
        version: &str,
    ) -> io::Result<(PathBuf, String)> {
        let marker = Marker {
            data_dir: self.settings.data_dir.clone(),
            folder: folder.to_owned(),
            host: self.host.clone(),
            name: name.to_string(),
            target: target.to_owned(),
            version: version.to_owned(),
        };
        let text = serde_json::to_string(&marker)? + "\n";
        Ok((folder.join(digest::hex(&Sha256::digest(&text)[..8])), text))
    }

    /// Removes the markers of a binary of this data dir, but not `kept`, and those of data dirs that are gone.
    pub(crate) fn remove(&self, folder: &Path, name: &str, kept: Option<&Path>) -> io::Result<()> {
        self.remove_if(folder, |user| user.is_former(name) && Some(&*user.file) != kept)
    }

    fn remove_if(&self, folder: &Path, is_removed: impl Fn(&User) -> bool) -> io::Result<()> {
        let mut users = self.list(folder).into_iter().filter(is_removed);
        users.try_for_each(|user| ignore_missing(fs_err::remove_file(user.file)))
    }

    /// Replaces the markers of a binary by a new one, unless that exists.
    fn renew(&self, folder: &Path, name: &BinaryName, target: &Path, version: &str) -> io::Result<()> {
        let marker @ (file, text) = &self.marker(folder, name, target, version)?;
        if file.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == text.len() as u64) {
            return Ok(());
        }
        let _lock = self.lock(folder)?;
        self.add(marker)?;
        self.remove(folder, name.as_str(), Some(file))
    }

    /// Marks a prefix as used by a binary, before its provider installs into it. The marker contains the version that is
    /// installed. A prefix that rigup did not make gets no marker, which would be evidence that it did.
    pub(crate) fn mark_prefix(&self, prefix: &Prefix, name: &BinaryName, version: &str) -> io::Result<()> {
        let lib_dir = &self.settings.lib_dir;
        match prefix.foreign(lib_dir) {
            Some(_) => Ok(()),
            None => self.renew(&prefix.markers(lib_dir), name, Path::new(""), version),
        }
    }

    /// Removes the marker of a binary, which does not use the prefix any more, and the evidence for a prefix that does not
    /// exist. A marker of this data dir without a binary in its store has no effect.
    pub(crate) fn unmark_prefix(&self, prefix: &Prefix, name: &BinaryName) {
        let lib_dir = &self.settings.lib_dir;
        let markers = prefix.markers(lib_dir);
        let _ = self.remove(&markers, name.as_str(), None);
        if markers.is_dir()
            && !prefix.exists(lib_dir)
            && let Ok(_lock) = self.lock(&markers)
        {
            // This fails if there are other users.
            let _ = fs_err::remove_dir(markers);
        }
    }

    /// Removes the evidence for a prefix that was removed, unless another data dir uses it: what is at that path later was
    /// not made by rigup.
    pub(super) fn remove_evidence(&self, markers: &Path) -> io::Result<()> {
        self.remove_if(markers, |user| user.owner != Owner::Other && user.is_installing() != Some(true))?;
        // This fails if there are other users.
        let _ = fs_err::remove_dir(markers);
        Ok(())
    }

    /// Returns the users of other data dirs that installed another version into a prefix.
    pub(crate) fn others_with_another_version(&self, prefix: &Prefix, version: &str) -> Vec<User> {
        let mut users = self.list(&prefix.markers(&self.settings.lib_dir));
        let is_other = |user: &User| user.owner == Owner::Other && !user.version().is_empty();
        users.retain(|user| is_other(user) && user.version() != version);
        users
    }

    /// Marks the link and the prefix of an installed binary. Their markers may be those of another path of the data dir
    /// or of LIB_DIR.
    pub(crate) fn mark_installed(&self, installed: &Installed, name: &BinaryName) -> io::Result<()> {
        let Settings { lib_dir, lib_bin_dir, .. } = self.settings;
        let path = lib_bin_dir.join(name.link_name());
        if let Some((target, _)) = wrapper::written_target(&path)
            && link::resolve_from(lib_bin_dir, &target) == installed.abspath
        {
            self.renew(&lib_dir::link_markers(lib_dir, &path), name, &target, "")?;
        }
        match Prefix::containing(&installed.abspath, lib_dir) {
            Some(prefix) if prefix.provider() == installed.binprovider.as_str() => {
                self.mark_prefix(&prefix, name, &installed.version)
            }
            _ => Ok(()),
        }
    }

    /// Returns the users whose markers are in a folder.
    pub(crate) fn list(&self, folder: &Path) -> Vec<User> {
        let user = |file: PathBuf| {
            let text = regular_file::read(&file, MAX_SIZE).ok();
            let marker: Option<Marker> = text.and_then(|text| serde_json::from_slice(&text).ok());
            let owner = marker.as_ref().map_or(Owner::Other, |marker| self.owner(marker, folder));
            User { file, owner, marker }
        };
        // Another rigup may have removed a marker meanwhile.
        let exists = |user: &User| user.marker.is_some() || user.file.symlink_metadata().is_ok();
        lib_dir::entries(folder).into_iter().map(user).filter(exists).collect()
    }

    fn owner(&self, marker: &Marker, folder: &Path) -> Owner {
        let Marker { data_dir, host, name, .. } = marker;
        let is_this = if self.host.is_same(host) {
            if dir::is_same(&marker.folder, folder) == Some(false) || dir::is_missing(data_dir) {
                return Owner::Gone;
            }
            dir::is_same(data_dir, &self.settings.data_dir) == Some(true)
        } else {
            self.other_guids.contains(&host.guid)
        };
        match is_this.then(|| self.is_recorded(name)) {
            Some(true) => Owner::This,
            Some(false) => Owner::Gone,
            None => Owner::Other,
        }
    }

    /// Returns whether the store has a record of a binary, or cannot be read.
    fn is_recorded(&self, name: &str) -> bool {
        self.store.has_binary(name).unwrap_or(true)
    }
}
