//! Locks that a process shares with the rigup that started it.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::parent_id;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::{Errno, FdFlags};

use crate::process::lock::{self, Holder, Lock, LockError};
use crate::process::signals::Interrupt;
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

/// Waits for a lock in LIB_DIR whose file this process inherited open, and takes it for all processes that share that
/// descriptor. Returns `false` if it inherited none, or one on a file system that cannot lock it. If another process holds the
/// lock, calls `on_wait` once.
pub(crate) fn take(
    lib_dir: &Path,
    name: &str,
    interrupt: &Interrupt,
    on_wait: impl FnOnce(&Holder),
) -> Result<bool, LockError> {
    let path = lock::in_lib_dir(lib_dir, name);
    let mut on_wait = Some(on_wait);
    let Some(fd) = inherited(&path).next() else { return Ok(false) };
    loop {
        match flock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) => {}
            Err(_) => return Ok(false),
        }
        if let Some(on_wait) = on_wait.take() {
            on_wait(&Holder::in_file(&path)?);
        }
        lock::wait_to_retry(interrupt)?;
    }
    // The descriptor may be read-only. Its holder is the hook, which is the parent.
    Holder::of(parent_id()).write(&path)?;
    Ok(true)
}

/// Returns whether this process inherited the lock of this name in LIB_DIR.
pub(crate) fn is_inherited(lib_dir: &Path, name: &str) -> bool {
    inherits(&lock::in_lib_dir(lib_dir, name))
}

/// Releases the lock of this name in LIB_DIR if this process inherited it, even if other processes share it.
pub(crate) fn release(lib_dir: &Path, name: &str) {
    for fd in inherited(&lock::in_lib_dir(lib_dir, name)) {
        // Without a lock, there is nothing to release.
        let _ = flock(fd, FlockOperation::Unlock);
    }
}

/// Returns whether this process inherited a descriptor that shares the lock on a file, which another process holds: only then
/// can it be locked once more.
fn inherits(path: &Path) -> bool {
    inherited(path).any(|fd| flock(fd, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Returns the descriptors of a file that this process inherited. rigup opens its own so that no child inherits them.
fn inherited(path: &Path) -> impl Iterator<Item = RawFd> {
    let file = path.metadata();
    let is_of_file = move |fd: &RawFd| {
        let found = fs_err::metadata(format!("/dev/fd/{fd}"));
        let is_same =
            |file: &Metadata, found: Metadata| (found.dev(), found.ino()) == (file.dev(), file.ino());
        file.as_ref().is_ok_and(|file| found.is_ok_and(|found| is_same(file, found)))
    };
    let entries = fs_err::read_dir("/dev/fd").into_iter().flatten().flatten();
    let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(is_of_file).filter(|fd| {
        rustix::io::fcntl_getfd(borrow(*fd)).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC))
    })
}

fn flock(fd: RawFd, operation: FlockOperation) -> rustix::io::Result<()> {
    rustix::fs::flock(borrow(fd), operation)
}

fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the descriptor is open, and rigup does not close those that it inherited.
    #[expect(unsafe_code, reason = "no value owns an inherited descriptor")]
    unsafe {
        BorrowedFd::borrow_raw(fd)
    }
}
