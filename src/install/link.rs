//! The link of a binary in LIB_BIN_DIR.

use std::io;
use std::path::{Path, PathBuf};

use crate::fs::atomic;
use crate::fs::dir::{self, denying_owner, is_writable, parent};
use crate::fs::lib_dir;
use crate::install::module;
use crate::install::prefix::{Orphan, RemovalError, remove};
use crate::install::probe;
use crate::install::users::{Owner, User, Users};
use crate::model::{BinaryName, Installed, MachineId};
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
        let needs_no_link = module::needs_no_link(installed);
        if needs_no_link && wrapper::target(&path).is_none() {
            return Ok(());
        }
        let unwritable = |error| unwritable(&path, error);
        let users = Users::new(self.settings, self.store, self.machine_id)?;
        let markers = lib_dir::link_markers(&self.settings.lib_dir, &path);
        users.make(&self.settings.lib_bin_dir).map_err(unwritable)?;
        let _lock = users.lock(&markers).map_err(unwritable)?;
        let found = wrapper::target(&path).map(|(target, _)| target);
        let is_replaceable = match &found {
            Some(target) if target != file => self.is_replaceable(name, target, &users.list(&markers))?,
            found => found.is_some(),
        };
        if needs_no_link {
            let removed = if is_replaceable { fs_err::remove_file(&path) } else { Ok(()) };
            return removed.map_err(unwritable);
        }
        let (target, kind) = (self.written_target(file), LinkKind::of(installed));
        let marker = users.marker(&markers, name, &target, "").map_err(unwritable)?;
        link(&path, file, &target, kind, is_replaceable || self.force, || users.add(&marker))?;
        users.remove(&markers, name.as_str(), Some(&marker.0)).map_err(unwritable)
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

    /// Returns whether rigup may replace the link of a binary, which leads to `target`: every link if LIB_BIN_DIR is below
    /// LIB_DIR, otherwise only one with a marker of this data dir or of one that is gone.
    fn is_replaceable(&self, name: &BinaryName, target: &Path, users: &[User]) -> Result<bool, LinkError> {
        let Settings { lib_dir, lib_bin_dir, .. } = self.settings;
        let path = self.path(name);
        let mut makers = users.iter().filter(|user| user.target(&path).as_deref() == Some(target));
        let is_own =
            lib_bin_dir.starts_with(lib_dir) || makers.clone().any(|user| user.owner != Owner::Other);
        let is_other = |user: &&User| {
            if user.owner == Owner::This { !user.is_named(name.as_str()) } else { !is_own }
        };
        match makers.find(is_other).filter(|_| !self.force) {
            Some(user) if user.owner == Owner::This => Err(LinkError::OtherBinary(path, user.to_string())),
            Some(user) => Err(LinkError::OtherDataDir(path, user.to_string())),
            None => Ok(is_own),
        }
    }

    /// Removes a link that nothing but the binary with this name uses, and the markers of this binary and of data dirs that
    /// are gone. While the link leads to a file that exists and is not `is_removed`, it is kept, with the evidence that
    /// rigup made it. Returns the link if it is removed. A dry run only returns it.
    pub(crate) fn unlink(
        &self,
        path: &Path,
        name: &str,
        is_removed: impl Fn(&Path) -> bool,
        is_dry_run: bool,
    ) -> Result<Option<Orphan>, RemovalError> {
        let markers = lib_dir::link_markers(&self.settings.lib_dir, path);
        if !markers.is_dir() {
            return Ok(None);
        }
        let users = Users::new(self.settings, self.store, self.machine_id)?;
        let _lock = if is_dry_run { None } else { Some(users.lock(&markers)?) };
        let target = wrapper::target(path).map(|(target, _)| target);
        let is_kept = target.as_ref().is_some_and(|target| !dir::is_missing(target) && !is_removed(target));
        let is_maker = |user: &User| target.is_some() && user.target(path) == target;
        let is_former = |user: &User| user.is_former(name) && !(is_kept && is_maker(user));
        let (former, others): (Vec<User>, Vec<User>) = users.list(&markers).into_iter().partition(is_former);
        let is_used = others.iter().any(|user| user.target(path).is_none() || is_maker(user));
        let is_unused = former.iter().any(is_maker) && !is_used;
        if !is_dry_run {
            let link = is_unused.then_some(path).into_iter();
            link.chain(former.iter().map(|user| &*user.file)).try_for_each(remove)?;
            // This fails if there are other users.
            let _ = fs_err::remove_dir(markers);
        }
        Ok(is_unused.then(|| Orphan { paths: vec![path.to_owned()], bytes: 0 }))
    }
}

/// Creates the link or wrapper `path` to `file`, or keeps it if it is correct. `target` is the path of the file in a new
/// link. Replaces a file or another link only if `is_replaceable`, and never a folder. Calls `mark` before it changes
/// anything.
pub fn link(
    path: &Path,
    file: &Path,
    target: &Path,
    kind: LinkKind,
    is_replaceable: bool,
    mark: impl FnOnce() -> io::Result<()>,
) -> Result<(), LinkError> {
    match path.symlink_metadata() {
        Ok(existing) if existing.is_dir() => return Err(LinkError::Folder(path.to_owned())),
        Ok(_) if !is_replaceable => return Err(LinkError::Foreign(path.to_owned())),
        _ => {}
    }
    let create = || match kind {
        _ if wrapper::is_correct(path, file, kind) => Ok(()),
        LinkKind::Symlink => atomic::replace_link(path, target),
        LinkKind::Wrapper => atomic::write_program(path, &wrapper::content(target)?),
    };
    mark().and_then(|()| create()).map_err(|error| unwritable(path, error))
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

        fn link(&self, target: &str, is_replaceable: bool) -> Result<(), LinkError> {
            self.link_as(target, LinkKind::Symlink, is_replaceable)
        }

        fn link_as(&self, target: &str, kind: LinkKind, is_replaceable: bool) -> Result<(), LinkError> {
            let target = Path::new(target);
            link(&self.path("x"), target, target, kind, is_replaceable, || Ok(()))
        }
    }

    #[test]
    fn keeps_a_correct_link() {
        let bin = LibBinDir::new();
        bin.link("/bin/sh", false).unwrap();
        let before = bin.path("x").symlink_metadata().unwrap().ino();
        bin.link("/bin/sh", true).unwrap();
        assert_eq!(bin.path("x").symlink_metadata().unwrap().ino(), before);
    }

    #[test]
    fn a_wrapper_and_a_link_replace_each_other() {
        let bin = LibBinDir::new();
        for kind in [LinkKind::Wrapper, LinkKind::Symlink, LinkKind::Wrapper] {
            bin.link_as("/own/sh", kind, true).unwrap();
            assert_eq!(wrapper::target(&bin.path("x")), Some(("/own/sh".into(), kind)));
        }
        let before = bin.path("x").metadata().unwrap().ino();
        bin.link_as("/own/sh", LinkKind::Wrapper, true).unwrap();
        assert_eq!(bin.path("x").metadata().unwrap().ino(), before);
        bin.link_as("/own/other", LinkKind::Wrapper, true).unwrap();
        assert_eq!(wrapper::target(&bin.path("x")), Some(("/own/other".into(), LinkKind::Wrapper)));
    }

    #[test]
    fn replaces_only_what_is_replaceable_and_never_a_folder() {
        let bin = LibBinDir::new();
        let path = bin.path("x");
        let create: [fn(&Path); 3] = [
            |path| symlink("/bin/ls", path).unwrap(),
            |path| symlink("/nowhere/at/all", path).unwrap(),
            |path| fs_err::write(path, "mine").unwrap(),
        ];
        for create in create {
            create(&path);
            let before = path.symlink_metadata().unwrap().ino();
            assert!(matches!(bin.link("/bin/sh", false), Err(LinkError::Foreign(_))));
            assert_eq!(path.symlink_metadata().unwrap().ino(), before);
            bin.link("/bin/sh", true).unwrap();
            assert_eq!(fs_err::read_link(&path).unwrap(), Path::new("/bin/sh"));
            fs_err::remove_file(&path).unwrap();
        }
        fs_err::create_dir(&path).unwrap();
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
                        bin.link(if thread % 2 == 0 { "/own/a" } else { "/own/b" }, true).unwrap();
                        assert!(bin.path("x").is_symlink());
                    }
                });
            }
        });
        assert_eq!(fs_err::read_dir(bin.0.path()).unwrap().count(), 1);
    }
}
