//! The link of a binary in LIB_BIN_DIR.

use std::io;
use std::path::{Path, PathBuf};

use crate::fs::atomic;
use crate::fs::dir::{denying_owner, is_writable, parent};
use crate::fs::lib_dir;
use crate::install::probe;
use crate::install::users::{Owner, User, Users};
use crate::model::{BinaryName, Installed, MachineId, name};
use crate::process::wrapper::{self, LinkKind};
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// An error while linking a binary.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The path is a folder.
    #[error("cannot link {path}: it is a folder; move it away, or choose another LIB_BIN_DIR", path = .0.display())]
    Folder(PathBuf),
    /// The path is a file, or a link that rigup did not create.
    #[error("cannot link {path}: rigup did not create this file; --force replaces it", path = .0.display())]
    Foreign(PathBuf),
    /// The path is the link of another binary, which has this name.
    #[error("cannot link {path}: it is the link of {owner}; --force replaces it", path = .0.display(), owner = .1)]
    OtherBinary(PathBuf, String),
    /// The path is the link of another data dir, with its user.
    #[error("cannot link {path}: it is the link of {user}; choose another LIB_BIN_DIR, or replace the link with --force", path = .0.display(), user = .1)]
    OtherDataDir(PathBuf, String),
    /// LIB_BIN_DIR may not be written, with the cause.
    #[error("cannot link {path}: {folder} {2}; choose another LIB_BIN_DIR", path = .0.display(), folder = .1.display())]
    Denied(PathBuf, PathBuf, &'static str),
    /// LIB_BIN_DIR cannot be written.
    #[error("cannot link {path}: {error}; {next_step}", path = .0.display(), error = .1, next_step = next_step(.1))]
    Unwritable(PathBuf, io::Error),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A linker, which creates and removes the links of a machine's binaries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linker<'a> {
    /// The settings, which contain LIB_BIN_DIR.
    pub settings: &'a Settings,
    /// The binaries that own links.
    pub store: &'a Store,
    /// The machine.
    pub machine_id: MachineId,
    /// Whether to replace foreign files and the links of other binaries.
    pub force: bool,
}

impl Linker<'_> {
    /// Returns the path of a binary's link.
    pub(crate) fn path(&self, name: &BinaryName) -> PathBuf {
        self.settings.lib_bin_dir.join(name.link_name())
    }

    /// Links an installed binary. A link that is correct needs no write, so a marker that cannot be written is missing.
    pub(crate) fn link(&self, name: &BinaryName, installed: &Installed) -> Result<(), LinkError> {
        let correct = Some((installed.abspath.clone(), LinkKind::of(installed)));
        match self.link_and_mark(name, installed) {
            Err(LinkError::Denied(path, ..)) if wrapper::target(&path) == correct => Ok(()),
            linked => linked,
        }
    }

    fn link_and_mark(&self, name: &BinaryName, installed: &Installed) -> Result<(), LinkError> {
        let (path, file) = (self.path(name), &installed.abspath);
        if installed.is_in_app_bundle() && wrapper::target(&path).is_none() {
            return Ok(());
        }
        let unwritable = |error| unwritable(&path, error);
        let users = Users::new(self.settings, self.store, self.machine_id)?;
        let markers = lib_dir::link_markers(&self.settings.lib_dir, &path);
        users.make(&self.settings.lib_bin_dir).map_err(unwritable)?;
        let _lock = users.lock(&markers).map_err(unwritable)?;
        let existing = wrapper::target(&path).map(|(target, _)| target);
        let is_managed = match existing.filter(|target| target != file) {
            Some(target) => self.is_managed(name, &target, &users.list(&markers))?,
            None => true,
        };
        if installed.is_in_app_bundle() {
            return if is_managed { unlink(&path) } else { Ok(()) };
        }
        let (target, kind) = (self.written_target(file), LinkKind::of(installed));
        let mark = || users.add(&markers, name, &target);
        let marker = link(&path, file, &target, kind, |_| is_managed, self.force, mark)?;
        users.remove(&markers, name.as_str(), Some(&marker)).map_err(unwritable)
    }

    /// Returns the target of the link to a file: relative to LIB_BIN_DIR if both are below LIB_DIR, so that the link is
    /// still correct after LIB_DIR was moved.
    fn written_target(&self, file: &Path) -> PathBuf {
        let Settings { lib_dir, lib_bin_dir, .. } = self.settings;
        let relative = || {
            let levels = lib_bin_dir.strip_prefix(lib_dir).ok()?.components().count();
            let up: PathBuf = std::iter::repeat_n("..", levels).collect();
            Some(up.join(file.strip_prefix(lib_dir).ok()?))
        };
        // If LIB_BIN_DIR is itself a link, the system resolves `..` from the folder that it leads to.
        let leads_to_file =
            |path: &PathBuf| probe::fingerprint(&lib_bin_dir.join(path)) == probe::fingerprint(file);
        relative().filter(leads_to_file).unwrap_or_else(|| file.to_owned())
    }

    /// Removes the link of a binary, if it leads to this file and no other binary uses it.
    pub(crate) fn unlink(&self, name: &BinaryName, installed: &Installed) -> Result<(), LinkError> {
        let (path, file) = (self.path(name), &installed.abspath);
        let markers = lib_dir::link_markers(&self.settings.lib_dir, &path);
        if !markers.is_dir() && !leads_to(&path, file) {
            return Ok(());
        }
        let unwritable = |error| unwritable(&path, error);
        let users = Users::new(self.settings, self.store, self.machine_id)?;
        let _lock = users.lock(&markers).map_err(unwritable)?;
        let is_other = |user: &User| {
            user.owner == Owner::Other && user.target(&path).is_none_or(|target| target == *file)
        };
        let is_used = users.list(&markers).iter().any(is_other) || self.other_owner(name, file)?.is_some();
        if !is_used && leads_to(&path, file) {
            unlink(&path)?;
        }
        users.remove(&markers, name.as_str(), None).map_err(unwritable)?;
        // This fails if there are other users.
        let _ = fs_err::remove_dir(markers);
        Ok(())
    }

    /// Returns the other binary that owns the link to a file, or `None` if there is none: `/opt/x/tool` and `tool` have
    /// the same link.
    fn other_owner(&self, name: &BinaryName, file: &Path) -> Result<Option<String>, StoreError> {
        let binaries = self.store.binaries_of(self.machine_id)?.into_values();
        let mut owners = binaries.filter(|binary| {
            binary.name != name.as_str()
                && name::link_name(&binary.name) == name.link_name()
                && binary.installed().is_some_and(|installed| installed.abspath == file)
        });
        Ok(owners.next().map(|binary| binary.name))
    }

    /// Returns whether a binary's link that leads to another file counts as its own: every link if LIB_BIN_DIR is below
    /// LIB_DIR, otherwise only a link into LIB_DIR, or one with a marker of this data dir.
    fn is_managed(&self, name: &BinaryName, target: &Path, users: &[User]) -> Result<bool, LinkError> {
        let Settings { lib_dir, lib_bin_dir, .. } = self.settings;
        let path = self.path(name);
        if !self.force
            && let Some(owner) = self.other_owner(name, target)?
        {
            return Err(LinkError::OtherBinary(path, owner));
        }
        let makers = users.iter().filter(|user| user.target(&path).as_deref() == Some(target));
        let (others, own): (Vec<&User>, Vec<&User>) = makers.partition(|user| user.owner == Owner::Other);
        if lib_bin_dir.starts_with(lib_dir) || target.starts_with(lib_dir) || !own.is_empty() {
            return Ok(true);
        }
        match others.first() {
            Some(other) if !self.force => Err(LinkError::OtherDataDir(path, other.to_string())),
            _ => Ok(false),
        }
    }
}

/// Returns whether the link or wrapper `path` leads to a file.
pub(crate) fn leads_to(path: &Path, file: &Path) -> bool {
    wrapper::target(path).is_some_and(|(target, _)| target == file)
}

/// Creates the link or wrapper `path` to `file`, or keeps it if it is correct. `target` is the path of the file in a new
/// link. `is_managed` returns whether rigup created an existing link to this file. With `force`, a file or a foreign
/// link is replaced too, but never a folder. Calls `mark` before it changes anything, and returns its value.
pub fn link<T>(
    path: &Path,
    file: &Path,
    target: &Path,
    kind: LinkKind,
    is_managed: impl Fn(&Path) -> bool,
    force: bool,
    mark: impl FnOnce() -> io::Result<T>,
) -> Result<T, LinkError> {
    let found = wrapper::target(path);
    if let Ok(existing) = path.symlink_metadata() {
        let is_replaceable =
            |(old, kind): &(PathBuf, LinkKind)| old == file || *kind == LinkKind::Wrapper || is_managed(old);
        if existing.is_dir() {
            return Err(LinkError::Folder(path.to_owned()));
        } else if !(force || found.as_ref().is_some_and(is_replaceable)) {
            return Err(LinkError::Foreign(path.to_owned()));
        }
    }
    let create = |marked: T| {
        match kind {
            _ if wrapper::is_correct(path, file, kind) => {}
            LinkKind::Symlink => atomic::replace_link(path, target)?,
            LinkKind::Wrapper => atomic::write_program(path, &wrapper::content(target)?)?,
        }
        Ok(marked)
    };
    mark().and_then(create).map_err(|error| unwritable(path, error))
}

/// Removes a link or a wrapper, but keeps anything else.
fn unlink(path: &Path) -> Result<(), LinkError> {
    if wrapper::target(path).is_some() {
        fs_err::remove_file(path).map_err(|error| unwritable(path, error))?;
    }
    Ok(())
}

/// Returns what to do if LIB_BIN_DIR cannot be written.
fn next_step(error: &io::Error) -> &'static str {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => "free some space, or choose another LIB_BIN_DIR",
        _ => "choose another LIB_BIN_DIR",
    }
}

fn unwritable(path: &Path, error: io::Error) -> LinkError {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let (path, folder) = (path.to_owned(), parent(path).to_owned());
    match error.kind() {
        // In a folder with the sticky bit.
        _ if is_writable(&folder) && denying_owner(&path, &error).is_some() => {
            LinkError::Denied(path.clone(), path, "belongs to another user")
        }
        PermissionDenied => LinkError::Denied(path, folder, "is not writable for this user"),
        ReadOnlyFilesystem => LinkError::Denied(path, folder, "is on a read-only file system"),
        _ => LinkError::Unwritable(path, error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    struct LibBinDir(tempfile::TempDir);

    impl LibBinDir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn link(&self, target: &str, force: bool) -> Result<(), LinkError> {
            self.link_as(target, LinkKind::Symlink, force)
        }

        fn link_as(&self, target: &str, kind: LinkKind, force: bool) -> Result<(), LinkError> {
            let target = Path::new(target);
            link(&self.path("x"), target, target, kind, |old| old.starts_with("/own"), force, || Ok(()))
        }
    }

    #[test]
    fn keeps_a_correct_link() {
        let bin = LibBinDir::new();
        bin.link("/bin/sh", false).unwrap();
        let before = bin.path("x").symlink_metadata().unwrap().ino();
        bin.link("/bin/sh", false).unwrap();
        assert_eq!(bin.path("x").symlink_metadata().unwrap().ino(), before);
    }

    #[test]
    fn a_wrapper_and_a_link_replace_each_other() {
        let bin = LibBinDir::new();
        for kind in [LinkKind::Wrapper, LinkKind::Symlink, LinkKind::Wrapper] {
            bin.link_as("/own/sh", kind, false).unwrap();
            assert_eq!(wrapper::target(&bin.path("x")), Some(("/own/sh".into(), kind)));
        }
        let before = bin.path("x").metadata().unwrap().ino();
        bin.link_as("/own/sh", LinkKind::Wrapper, false).unwrap();
        assert_eq!(bin.path("x").metadata().unwrap().ino(), before);
        bin.link_as("/own/other", LinkKind::Wrapper, false).unwrap();
        assert!(leads_to(&bin.path("x"), Path::new("/own/other")));
        unlink(&bin.path("x")).unwrap();
        assert!(!bin.path("x").exists());
    }

    #[test]
    fn replaces_its_own_links_but_no_foreign_one_dangling_or_not() {
        let bin = LibBinDir::new();
        for old in ["/bin/ls", "/nowhere/at/all"] {
            symlink(old, bin.path("x")).unwrap();
            assert!(matches!(bin.link("/bin/sh", false), Err(LinkError::Foreign(_))));
            assert_eq!(fs_err::read_link(bin.path("x")).unwrap(), Path::new(old));
            bin.link("/bin/sh", true).unwrap();
            fs_err::remove_file(bin.path("x")).unwrap();
        }
        symlink("/own/old", bin.path("x")).unwrap();
        bin.link("/bin/sh", false).unwrap();
        assert_eq!(fs_err::read_link(bin.path("x")).unwrap(), Path::new("/bin/sh"));
    }

    #[test]
    fn replaces_a_file_only_by_force_and_never_a_folder() {
        let bin = LibBinDir::new();
        fs_err::write(bin.path("x"), "mine").unwrap();
        assert!(matches!(bin.link("/bin/sh", false), Err(LinkError::Foreign(_))));
        assert_eq!(fs_err::read_to_string(bin.path("x")).unwrap(), "mine");
        bin.link("/bin/sh", true).unwrap();
        fs_err::remove_file(bin.path("x")).unwrap();
        fs_err::create_dir(bin.path("x")).unwrap();
        assert!(matches!(bin.link("/bin/sh", true), Err(LinkError::Folder(_))));
    }

    #[test]
    fn links_even_if_another_process_keeps_the_folder_locked() {
        let bin = LibBinDir::new();
        let held = File::open(bin.0.path()).unwrap();
        held.lock().unwrap();
        bin.link("/bin/sh", false).unwrap();
        assert_eq!(fs_err::read_link(bin.path("x")).unwrap(), Path::new("/bin/sh"));
        assert_eq!(fs_err::read_dir(bin.0.path()).unwrap().count(), 1);
    }

    #[test]
    fn concurrent_calls_leave_a_whole_link_and_no_other_file() {
        let bin = LibBinDir::new();
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let bin = &bin;
                scope.spawn(move || {
                    for _ in 0..50 {
                        bin.link(if thread % 2 == 0 { "/own/a" } else { "/own/b" }, false).unwrap();
                        assert!(bin.path("x").is_symlink());
                    }
                });
            }
        });
        assert_eq!(fs_err::read_dir(bin.0.path()).unwrap().count(), 1);
    }
}
