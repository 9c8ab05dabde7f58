//! Locks that a process shares with the rigup that started it.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::FdFlags;

use crate::process::lock::{self, Lock};
use crate::process::tree;

/// Returns whether this process runs under a lock in LIB_DIR. `stated` is the value of [`lock::LOCKED`], which a process that
/// a hook left behind has, too, and which a caller can set. So this process must also share the lock, or descend from its
/// holder, which may run a program that closes its descriptors.
pub(crate) fn is_held(stated: Option<&OsStr>, lib_dir: &Path, name: &str) -> bool {
    if stated != Some(lock::id(lib_dir, name).as_os_str()) {
        return false;
    }
    match Lock::try_in_lib_dir(lib_dir, name) {
        Ok(Err(mut busy)) => {
            let holder = busy.holder().identity();
            holder.is_some_and(|holder| holder.pid != std::process::id() && tree::descends_from(&holder))
                || inherits(&lock::in_lib_dir(lib_dir, name))
        }
        _ => false,
    }
}

/// Returns whether this process inherited a descriptor that shares the lock on a file.
fn inherits(path: &Path) -> bool {
    let Ok(file) = path.metadata() else { return false };
    let is_of_file = |fd: &RawFd| {
        let found = fs_err::metadata(format!("/dev/fd/{fd}"));
        found.is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
    };
    let entries = fs_err::read_dir("/dev/fd").into_iter().flatten().flatten();
    let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(is_of_file).any(shares_lock)
}

/// Returns whether a descriptor is inherited and shares the lock on its file, which another process holds: only then can it be
/// locked once more. rigup opens its own descriptors so that no child inherits them.
fn shares_lock(fd: RawFd) -> bool {
    // SAFETY: the descriptor is open, and rigup does not close those that it inherited.
    #[expect(unsafe_code, reason = "no value owns an inherited descriptor")]
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let is_inherited = rustix::io::fcntl_getfd(fd).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC));
    is_inherited && rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive).is_ok()
}
