//! Orphans: what a child leaves behind when it ends. The system hands them to rigup, which asked to be their parent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::process::system;

/// The children that rigup started itself and has not reaped yet.
static CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Makes this process the parent of every orphan below it. Where the system cannot, they are found by their marks alone.
pub fn adopt() {
    system::adopt_orphans();
}

/// Starts a child, and knows it from its first moment on as one that is no orphan.
pub(super) fn started<E>(start: impl FnOnce() -> Result<u32, E>) -> Result<u32, E> {
    let mut children = lock();
    let pid = start()?;
    children.push(pid);
    Ok(pid)
}

/// Takes the end of a child, after which its pid may be somebody else's.
pub(super) fn reaped<T>(pid: u32, reap: impl FnOnce() -> T) -> T {
    let mut children = lock();
    children.retain(|it| *it != pid);
    reap()
}

/// Whether nobody is there, neither an orphan nor a child that rigup started and did not reap: nothing was left behind.
/// Orphans that are over are reaped on the way.
pub fn are_none() -> bool {
    system::is_childless(&lock())
}

/// Reaps the orphans that are over, for whoever waits long for something else.
pub fn reap() {
    are_none();
}

/// Whether an orphan without a mark can only be that of this root: no other child runs.
pub(super) fn can_only_be_of(root: u32) -> bool {
    lock().iter().all(|it| *it == root)
}

fn lock() -> MutexGuard<'static, Vec<u32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}
