//! Who keeps a store locked.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::schema::beside;

/// The process that may write to the store at `path` now: its name and its pid. None where the system does not tell, or
/// nobody does any more. The files themselves are not opened: to close one would drop this process's own locks on it.
pub(super) fn of(path: &Path) -> Option<String> {
    // With a WAL, the right to write is a lock on the file beside the store.
    let inode = format!(":{}", beside(path, "-shm").metadata().ok()?.ino());
    let locks = fs_err::read_to_string("/proc/locks").ok()?;
    let mut words = locks.lines().map(|it| it.split_whitespace().collect::<Vec<_>>());
    let pid = words.find_map(|it| match it[..] {
        [_, "POSIX", _, "WRITE", pid, file, ..] if file.ends_with(&inode) => Some(pid.to_owned()),
        _ => None,
    })?;
    let name = fs_err::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (pid {pid})", name.trim()))
}
