//! The link of a binary in LIB_BIN_DIR.

use std::io;
use std::path::{Path, PathBuf};

use crate::fs::atomic;
use crate::fs::dir::parent;
use crate::install::wrapper::{self, LinkKind};
use crate::install::{link_users, probe};
use crate::model::{BinaryName, Installed, MachineId, name};
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
    /// LIB_BIN_DIR cannot be written.
    #[error("cannot link {path}: {error}", path = .0.display(), error = .1)]
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

    /// Links an installed binary. `previous` is the path that it had before.
    pub(crate) fn link(
        &self,
        name: &BinaryName,
        installed: &Installed,
        previous: Option<&Path>,
    ) -> Result<(), LinkError> {
        let path = self.path(name);
        if !self.force
            && let Some(owner) = self.other_owner(name, installed)?
        {
            return Err(LinkError::OtherBinary(path, owner));
        }
        let is_managed = |target: &Path| self.is_managed(previous, target);
        if installed.is_in_app_bundle() {
            return if wrapper::target(&path).is_some_and(|(target, _)| is_managed(&target)) {
                unlink(&path)
            } else {
                Ok(())
            };
        }
        // A relative target can only be resolved from an existing folder.
        fs_err::create_dir_all(parent(&path)).map_err(|error| unwritable(&path, error))?;
        let file = &installed.abspath;
        let kind = LinkKind::of(installed);
        link(&path, file, &self.written_target(file), kind, is_managed, self.force)?;
        link_users::add(self.settings, name).map_err(|error| unwritable(&path, error))
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

    /// Removes the link of a binary, if it points to this file and no other data dir uses it.
    pub(crate) fn unlink(&self, name: &BinaryName, installed: &Installed) -> Result<(), LinkError> {
        let path = self.path(name);
        let is_used = link_users::remove(self.settings, name).map_err(|error| unwritable(&path, error))?;
        if !is_used && leads_to(&path, &installed.abspath) {
            unlink(&path)?;
        }
        Ok(())
    }

    /// Returns the other binary that owns the link, or `None` if there is none: `/opt/x/tool` and `tool` have the same
    /// link.
    fn other_owner(&self, name: &BinaryName, installed: &Installed) -> Result<Option<String>, StoreError> {
        let target = wrapper::target(&self.path(name)).map(|(target, _)| target);
        let Some(target) = target.filter(|target| *target != installed.abspath) else { return Ok(None) };
        let binaries = self.store.binaries_of(self.machine_id)?.into_values();
        let mut owners = binaries.filter(|binary| {
            binary.name != name.as_str()
                && name::link_name(&binary.name) == name.link_name()
                && binary.installed().is_some_and(|installed| installed.abspath == target)
        });
        Ok(owners.next().map(|binary| binary.name))
    }

    /// Returns whether a link to `target` counts as created by rigup: any link if LIB_BIN_DIR is below LIB_DIR,
    /// otherwise only a link into LIB_DIR or to the recorded path.
    fn is_managed(&self, previous: Option<&Path>, target: &Path) -> bool {
        let Settings { lib_dir, lib_bin_dir, .. } = self.settings;
        lib_bin_dir.starts_with(lib_dir) || target.starts_with(lib_dir) || previous == Some(target)
    }
}

/// Returns whether the link or wrapper `path` leads to a file.
pub(crate) fn leads_to(path: &Path, file: &Path) -> bool {
    wrapper::target(path).is_some_and(|(target, _)| target == file)
}

/// Creates the link or wrapper `path` to `file`, or keeps it if it is correct. `target` is the path of the file in a new
/// link. `is_managed` returns whether rigup created an existing link to this file. With `force`, a file or a foreign
/// link is replaced too, but never a folder.
pub fn link(
    path: &Path,
    file: &Path,
    target: &Path,
    kind: LinkKind,
    is_managed: impl Fn(&Path) -> bool,
    force: bool,
) -> Result<(), LinkError> {
    if let Ok(existing) = path.symlink_metadata() {
        let found = wrapper::target(path);
        if existing.is_dir() {
            return Err(LinkError::Folder(path.to_owned()));
        } else if found == Some((file.to_owned(), kind)) {
            return Ok(());
        } else if !(force || found.is_some_and(|(old, kind)| kind == LinkKind::Wrapper || is_managed(&old))) {
            return Err(LinkError::Foreign(path.to_owned()));
        }
    }
    let created = match kind {
        LinkKind::Symlink => atomic::replace_link(path, target),
        LinkKind::Wrapper => {
            wrapper::content(target).and_then(|content| atomic::write_program(path, &content))
        }
    };
    created.map_err(|error| unwritable(path, error))
}

/// Removes a link or a wrapper, but keeps anything else.
fn unlink(path: &Path) -> Result<(), LinkError> {
    if wrapper::target(path).is_some() {
        fs_err::remove_file(path).map_err(|error| unwritable(path, error))?;
    }
    Ok(())
}

fn unwritable(path: &Path, error: io::Error) -> LinkError {
    LinkError::Unwritable(path.to_owned(), error)
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
            link(&self.path("x"), target, target, kind, |old| old.starts_with("/own"), force)
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
