//! Runs a command under a lock, so that no two hooks install into one prefix at once.

use std::io;
use std::path::Path;

use crate::model::ProcessExit;
use crate::process::foreground::Foreground;
use crate::process::lock::{Holder, Lock, LockError};
use crate::process::signals::Interrupt;
use crate::process::spawn::{CommandSpec, SpawnError};
use crate::process::tree;

/// An error that keeps a command from running under a lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockedError {
    /// The lock was not taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The command could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The lock cannot be shared with the command.
    #[error("cannot pass the lock to the command: {0}")]
    Share(io::Error),
    /// The exit of the command cannot be observed.
    #[error("cannot observe the exit of the command: {0}")]
    Wait(#[from] io::Error),
}

/// Runs a command under the lock of this name in LIB_DIR, and returns its exit. The lock is held until the command
/// exits, even if this rigup receives a signal, which `foreground` passes on to the command. If this rigup or the command is
/// killed, the processes that the command started hold the lock until they exit. If another process holds the lock,
/// calls `on_wait` with it.
pub(crate) fn run(
    lib_dir: &Path,
    name: &str,
    command: &CommandSpec,
    foreground: &mut Foreground,
    interrupt: &Interrupt,
    on_wait: impl FnOnce(&Holder),
) -> Result<ProcessExit, LockedError> {
    // The holder is a rigup or the command that it runs. If this process descends from the holder, the holder waits for
    // this process.
    let mut lock = Lock::take_in_lib_dir(lib_dir, name, interrupt, tree::descends_from, on_wait)?;
    lock.share_with_children().map_err(LockedError::Share)?;
    let child = foreground.start(command, None)?;
    // An error is ignored, because the file still names this rigup as the holder.
    let _ = lock.set_holder(child.handle.entry.pid);
    let exit = foreground.wait(&child)?;
    if exit.signal.is_none() {
        // A service that the command left behind shares the lock, and must not keep other hooks waiting.
        lock.release()?;
    }
    Ok(exit)
}
