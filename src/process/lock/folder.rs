//! The lock on a folder that rigup writes into. It is waited for, for a limited time.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fs::lock::FileLock;
use crate::process::lock::named::RETRY;
use crate::process::signals::Interrupt;
use crate::process::wait;

/// How long to wait for another holder.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Takes the lock on a folder. `waiting` is called once, if another process holds it.
pub(crate) fn take(
    folder: &Path,
    interrupt: &Interrupt,
    patience: Duration,
    waiting: impl FnOnce(),
) -> io::Result<FileLock> {
    let mut lock = FileLock::open(folder)?;
    let deadline = Instant::now() + patience;
    let mut waiting = Some(waiting);
    lock.lock_or(|_| {
        if let Some(waiting) = waiting.take() {
            waiting();
        }
        if wait::is_interrupted_by(interrupt, deadline.min(Instant::now() + RETRY)) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if Instant::now() < deadline {
            return Ok(());
        }
        let reason = format!(
            "cannot lock the folder {}: another process holds the lock; find it with `lslocks`, wait until it ends, and try again",
            folder.display()
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    })?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_on_a_folder_that_stays_locked() {
        let folder = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::install().unwrap();
        let first = take(folder.path(), &interrupt, PATIENCE, || panic!("the lock is free")).unwrap();
        let mut calls = 0;
        let error = take(folder.path(), &interrupt, Duration::ZERO, || calls += 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("wait until it ends"), "{error}");
        assert_eq!(calls, 1);
        take(folder.path(), &interrupt, PATIENCE, || drop(first)).unwrap();
    }
}
