//! A command under a lock, so that no two hooks install into one prefix at once.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::fs::digest::hex;
use crate::process::lock::{Holder, Lock, LockError};
use crate::process::signals::Interrupt;
use crate::process::spawn::{self, SpawnError};
use crate::process::{foreground, tree};

/// An error that keeps a command from running under a lock.
#[derive(Debug, thiserror::Error)]
pub enum LockedError {
    /// The lock was not taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The command could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The command cannot be made to hold the lock.
    #[error("cannot pass the lock to the command: {0}")]
    HandOn(io::Error),
    /// Its end cannot be seen.
    #[error("cannot observe the exit of the command: {0}")]
    Wait(#[from] io::Error),
}

/// Runs a command under the lock of this name in LIB_DIR and gives back its exit code, 128+N for signal N. The lock
/// is held until the command is over, also when this rigup is asked to stop: the command gets the same signal. Where
/// this rigup or the command is killed, the lock is held for as long as what the command started goes on. `waiting` is
/// told who holds it, if there is somebody to wait for.
pub fn run(
    lib_dir: &Path,
    name: &str,
    program: &OsString,
    args: &[OsString],
    interrupt: &Interrupt,
    waiting: impl FnOnce(&Holder),
) -> Result<i32, LockedError> {
    // A holder is the command of a rigup, or the rigup: what it waits for is itself, or descends from it.
    let mut lock = Lock::take(&path(lib_dir, name), interrupt, tree::descends_from, waiting)?;
    lock.share_with_children().map_err(LockedError::HandOn)?;
    let child = spawn::start_in_foreground(program, args, None)?;
    // Only a help for people who wait.
    let _ = lock.set_holder(child.handle.entry.pid);
    let exit = foreground::wait(&child, interrupt)?;
    if exit.signal.is_none() {
        // It is done: a service that it left behind, and that has the lock, too, keeps nobody waiting.
        lock.release()?;
    }
    Ok(exit.exit_code.unwrap_or_default())
}

/// A file name for any lock name: readable, and different for different names.
fn path(lib_dir: &Path, name: &str) -> PathBuf {
    const SHOWN: usize = 60;
    let digest = Sha256::digest(name.as_bytes());
    let shown: String = name
        .chars()
        .rev()
        .take(SHOWN)
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' })
        .collect();
    let shown: String = shown.chars().rev().collect();
    lib_dir.join(".locks").join(format!("{shown}-{}", hex(&digest[..4])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_lock_names_are_different_files_in_one_folder() {
        let file = |name| path(Path::new("/lib"), name);
        assert_ne!(file("pip/a"), file("pip_a"));
        assert_eq!(file("../../etc").parent(), Some(Path::new("/lib/.locks")));
        assert!(file(&"x/".repeat(500)).file_name().unwrap().len() < 100);
    }
}
