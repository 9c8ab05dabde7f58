//! The folders that a hook is tested in, and file systems that are read-only or full: a small file system in a mount
//! namespace, because root ignores permissions.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{getgid, getuid};
use walkdir::WalkDir;

use crate::fs::dir::make_private_dir;
use crate::fs::lib_dir::{self, LOCKS, PREFIXES};
use crate::model::text_enum::text_enum;
use crate::settings::Settings;

/// The folders of one or more runs.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// The folder that holds the others, and the canary.
    pub disk: PathBuf,
    /// The settings of the runs.
    pub settings: Settings,
}

impl Sandbox {
    /// Creates empty folders below `disk`.
    pub(crate) fn create(disk: PathBuf, settings: &Settings) -> io::Result<Self> {
        let lib_dir = disk.join("lib");
        let settings = Settings { lib_bin_dir: lib_dir::bin(&lib_dir), lib_dir, ..settings.clone() };
        let sandbox = Self { disk, settings };
        make_private_dir(&sandbox.cwd())?;
        make_private_dir(&sandbox.settings.lib_dir)?;
        Ok(sandbox)
    }

    /// Returns the folder that the hook runs in.
    pub(crate) fn cwd(&self) -> PathBuf {
        self.disk.join("out")
    }

    /// Returns the files and folders in LIB_DIR without the locks and the markers, which are not installed files.
    pub(crate) fn installed(&self) -> Vec<PathBuf> {
        let below = WalkDir::new(&self.settings.lib_dir).min_depth(1).into_iter();
        let entries =
            below.filter_entry(|entry| ![LOCKS, PREFIXES].map(OsStr::new).contains(&entry.file_name()));
        entries.filter_map(Result::ok).map(walkdir::DirEntry::into_path).collect()
    }
}

text_enum! {
    /// A fault of the file system that a hook runs on.
    pub(crate) enum DiskFault {
        /// Nothing can be written.
        ReadOnly = "read-only",
        /// Files can be created, but not written.
        Full = "full",
    }
}

/// The script that sets up the mount namespace and starts the hook in it.
const SCRIPT: &str = include_str!("sandbox.sh");

impl DiskFault {
    /// Returns the command that starts the hook's program on a `disk` with this fault. The hook's output goes to files
    /// that are open already, outside the disk.
    pub(crate) fn launcher(self, disk: &Path) -> Vec<OsString> {
        let (user, group) = (getuid(), getgid());
        let script = ["--mount", "--", "/bin/sh", "-c", SCRIPT, "sandbox"].map(OsString::from);
        let mount = script.into_iter().chain([disk.into(), self.as_str().into()]);
        if user.is_root() {
            return std::iter::once("unshare".into()).chain(mount).collect();
        }
        // Users other than root can mount only in a user namespace in which they are root. A second user namespace
        // gives the hook the user's own id back.
        let as_root = ["unshare", "--user", "--map-root-user"].map(OsString::from);
        let (map_user, map_group) = (format!("--map-user={user}"), format!("--map-group={group}"));
        let as_user = ["unshare", "--user", &map_user, &map_group, "--"].map(OsString::from);
        as_root.into_iter().chain(mount).chain(as_user).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_follows_the_disk_and_its_fault() {
        let words = DiskFault::Full.launcher(Path::new("/tmp/disk"));
        assert_eq!(words[0], "unshare");
        let disk = words.iter().position(|word| word == "/tmp/disk").unwrap();
        assert_eq!(words[disk + 1], "full");
        assert_eq!(words.len() == disk + 2, getuid().is_root(), "others get their own id back");
    }
}
