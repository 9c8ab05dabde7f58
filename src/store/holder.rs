//! Which process has locked a store.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::store::files::with_suffix;

/// Returns the name and pid of the process that holds the write lock of the store at `path`, or `None` if no process does
/// or the system does not report it. The store itself is not opened: closing it would drop this process's own locks on it.
pub(super) fn find(path: &Path) -> Option<String> {
    // In WAL mode, the write lock is a lock on the -shm file.
    let inode = format!(":{}", with_suffix(path, "-shm").metadata().ok()?.ino());
    let locks = fs_err::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "POSIX", _, "WRITE", pid, file, ..] if file.ends_with(&inode) => Some(pid.to_owned()),
        _ => None,
    })?;
    let name = fs_err::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (pid {pid})", name.trim()))
}
