//! Orphans: the processes that an exited child leaves behind. rigup registers as a subreaper, which makes it their
//! parent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::process::system;

pub(crate) use crate::process::system::become_subreaper;

/// The pids of the children that rigup started itself and has not reaped yet.
static CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Starts a child, and registers it before another thread can reap it as an orphan.
pub(super) fn start_child<E>(start: impl FnOnce() -> Result<u32, E>) -> Result<u32, E> {
    let mut children = children();
    let pid = start()?;
    children.push(pid);
    Ok(pid)
}

/// Reaps a registered child. After this, another process may have its pid.
pub(super) fn reap_child<T>(pid: u32, reap: impl FnOnce() -> T) -> T {
    let mut children = children();
    children.retain(|child| *child != pid);
    reap()
}

/// Reaps the orphans that have exited, and returns whether there is no other orphan and no unreaped child.
pub(crate) fn has_no_children() -> bool {
    system::has_no_children(&children())
}

/// Reaps the orphans that have exited.
pub(crate) fn reap_orphans() {
    has_no_children();
}

/// Returns whether there is an orphan that has not exited, or cannot be told from one that has.
pub(super) fn has_orphans() -> bool {
    let children = children();
    !system::has_no_children(&children) && system::has_other_children(&children)
}

/// Returns whether this child is the only one, so that every orphan comes from it.
pub(super) fn is_only_child(pid: u32) -> bool {
    children().iter().all(|child| *child == pid)
}

/// Returns whether this process started a child itself.
pub(super) fn is_own_child(pid: u32) -> bool {
    children().contains(&pid)
}

fn children() -> MutexGuard<'static, Vec<u32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}
