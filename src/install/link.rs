//! The link in LIB_BIN_DIR: never half-made, never over what is somebody else's.

use std::io;
use std::path::{Path, PathBuf};

use crate::fs::atomic;

/// Why a link was not made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A folder stands where the link goes.
    #[error("{} is a folder; move it away, or choose another LIB_BIN_DIR", .0.display())]
    Folder(PathBuf),
    /// A file, or a link that rigup did not make, stands where the link goes.
    #[error("{} is there already and not rigup's; --force replaces it", .0.display())]
    Foreign(PathBuf),
    /// LIB_BIN_DIR cannot be written.
    #[error("the link {} cannot be made: {error}", path.display())]
    Unwritable {
        /// Where the link goes.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

/// Makes the link `link` to `target`, or leaves it untouched where it is right. `is_ours` tells of the target of a
/// link that is there whether rigup made it; `force` also replaces a file and a foreign link, but never a folder.
pub fn link(
    link: &Path,
    target: &Path,
    is_ours: impl Fn(&Path) -> bool,
    force: bool,
) -> Result<(), LinkError> {
    match link.symlink_metadata() {
        Ok(there) if there.is_dir() => return Err(LinkError::Folder(link.to_owned())),
        Ok(there) if there.is_symlink() => {
            let old = fs_err::read_link(link).map_err(|error| unwritable(link, error))?;
            if old == target {
                return Ok(());
            }
            let is_dangling = !link.exists();
            if !(force || is_dangling || is_ours(&old)) {
                return Err(LinkError::Foreign(link.to_owned()));
            }
        }
        Ok(_) if !force => return Err(LinkError::Foreign(link.to_owned())),
        _ => {}
    }
    atomic::replace_link(link, target).map_err(|error| unwritable(link, error))
}

/// Takes a link away that is not wanted any more; anything but a link stays.
pub fn unlink(link: &Path) -> Result<(), LinkError> {
    if link.is_symlink() {
        fs_err::remove_file(link).map_err(|error| unwritable(link, error))?;
    }
    Ok(())
}

fn unwritable(link: &Path, error: io::Error) -> LinkError {
    LinkError::Unwritable { path: link.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    struct Bin(tempfile::TempDir);

    impl Bin {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn make(&self, target: &str, force: bool) -> Result<(), LinkError> {
            link(&self.path("x"), Path::new(target), |old| old.starts_with("/ours"), force)
        }
    }

    #[test]
    fn a_right_link_is_left_untouched() {
        let bin = Bin::new();
        bin.make("/bin/sh", false).unwrap();
        let before = bin.path("x").symlink_metadata().unwrap().ino();
        bin.make("/bin/sh", false).unwrap();
        assert_eq!(bin.path("x").symlink_metadata().unwrap().ino(), before);
    }

    #[test]
    fn a_link_of_our_own_and_a_dangling_one_are_replaced_and_a_foreign_one_is_not() {
        let bin = Bin::new();
        symlink("/bin/ls", bin.path("x")).unwrap();
        assert!(matches!(bin.make("/bin/sh", false), Err(LinkError::Foreign(_))));
        assert_eq!(fs_err::read_link(bin.path("x")).unwrap(), Path::new("/bin/ls"));
        bin.make("/bin/sh", true).unwrap();
        for old in ["/ours/old", "/nowhere/at/all"] {
            fs_err::remove_file(bin.path("x")).unwrap();
            symlink(old, bin.path("x")).unwrap();
            bin.make("/bin/sh", false).unwrap();
            assert_eq!(fs_err::read_link(bin.path("x")).unwrap(), Path::new("/bin/sh"));
        }
    }

    #[test]
    fn a_file_is_replaced_only_by_force_and_a_folder_never() {
        let bin = Bin::new();
        fs_err::write(bin.path("x"), "mine").unwrap();
        assert!(matches!(bin.make("/bin/sh", false), Err(LinkError::Foreign(_))));
        assert_eq!(fs_err::read_to_string(bin.path("x")).unwrap(), "mine");
        bin.make("/bin/sh", true).unwrap();
        fs_err::remove_file(bin.path("x")).unwrap();
        fs_err::create_dir(bin.path("x")).unwrap();
        assert!(matches!(bin.make("/bin/sh", true), Err(LinkError::Folder(_))));
    }

    #[test]
    fn a_link_is_made_also_where_somebody_never_frees_the_lock_of_the_folder() {
        let bin = Bin::new();
        let held = File::open(bin.0.path()).unwrap();
        held.lock().unwrap();
        bin.make("/bin/sh", false).unwrap();
        assert_eq!(fs_err::read_link(bin.path("x")).unwrap(), Path::new("/bin/sh"));
        assert_eq!(fs_err::read_dir(bin.0.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_at_once_always_leave_a_whole_link_and_nothing_else() {
        let bin = Bin::new();
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let bin = &bin;
                scope.spawn(move || {
                    for _ in 0..50 {
                        bin.make(if thread % 2 == 0 { "/ours/a" } else { "/ours/b" }, false).unwrap();
                        assert!(bin.path("x").is_symlink());
                    }
                });
            }
        });
        assert_eq!(fs_err::read_dir(bin.0.path()).unwrap().count(), 1);
    }
}
