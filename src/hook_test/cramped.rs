//! Folders that are read-only or have no space left, for real: a small file system in a mount namespace. Permissions
//! would not do, for root ignores them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::unistd::{getgid, getuid};

/// What is wrong with the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cramped {
    /// Nothing in them can be written.
    ReadOnly,
    /// Files can be made, and nothing can be written into them.
    Full,
}

/// Sets the namespace up and starts the hook in it.
const SCRIPT: &str = include_str!("cramped.sh");

/// The folder below a disk that is the hook's own.
pub const OUT: &str = "out";
/// LIB_DIR below a disk.
pub const LIB: &str = "lib";

impl Cramped {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Full => "full",
        }
    }

    /// The words before a hook's program by which it is started with `disk` being so. The output of the hook goes to
    /// files that are open by then, outside of it.
    pub fn launcher(self, disk: &Path) -> Vec<OsString> {
        let (user, group) = (getuid(), getgid());
        let script: [OsString; 8] = [
            "--mount".into(),
            "--".into(),
            "/bin/sh".into(),
            "-c".into(),
            SCRIPT.into(),
            "cramped".into(),
            disk.into(),
            self.as_str().into(),
        ];
        let unshare = || std::iter::once(OsString::from("unshare"));
        if user.is_root() {
            return unshare().chain(script).collect();
        }
        // Others may mount in a user namespace in which they are root; the hook is given a second one in which it is
        // nobody but the user again.
        let as_root = ["--user", "--map-root-user"].map(OsString::from);
        let as_user = [
            "--user".to_owned(),
            format!("--map-user={user}"),
            format!("--map-group={group}"),
            "--".to_owned(),
        ];
        unshare().chain(as_root).chain(script).chain(unshare()).chain(as_user.map(OsString::from)).collect()
    }

    /// Whether the hook was started there at all; where not, the system does not allow it.
    pub fn was_possible(disk: &Path) -> bool {
        Self::mark(disk).exists()
    }

    fn mark(disk: &Path) -> PathBuf {
        disk.join("cramped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_follows_the_disk_and_what_it_is_like() {
        let words = Cramped::Full.launcher(Path::new("/tmp/disk"));
        assert_eq!(words[0], "unshare");
        let disk = words.iter().position(|it| it == "/tmp/disk").unwrap();
        assert_eq!(words[disk + 1], "full");
        assert_eq!(words.len() == disk + 2, getuid().is_root(), "others become themselves again");
    }
}
