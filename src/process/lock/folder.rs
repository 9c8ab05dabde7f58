//! The lock on a folder that rigup writes in: who has it is waited for, but not for ever.

use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::signals::Interrupt;
use crate::process::wait;

/// So long is waited for somebody else who has it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// Takes it for as long as the value lives. `waiting` is told once, if somebody else has it.
pub fn take(
    folder: &Path,
    interrupt: &Interrupt,
    patience: Duration,
    waiting: impl FnOnce(),
) -> io::Result<fs_err::File> {
    let held = fs_err::File::open(folder)?;
    let deadline = Instant::now() + patience;
    let mut waiting = Some(waiting);
    loop {
        match held.file().try_lock() {
            Ok(()) => return Ok(held),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {}
        }
        if let Some(waiting) = waiting.take() {
            waiting();
        }
        if wait::is_interrupted_by(interrupt, deadline.min(Instant::now() + TRY_AGAIN)) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if Instant::now() >= deadline {
            let reason = format!(
                "another process still has a lock on the folder {}; see with `lslocks` which, let it end, and try again",
                folder.display()
            );
            return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_folder_says_so_and_gives_up_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::install().unwrap();
        let first = take(folder.path(), &interrupt, PATIENCE, || panic!("nobody has it")).unwrap();
        let mut told = 0;
        let error = take(folder.path(), &interrupt, Duration::ZERO, || told += 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("let it end, and try again"), "{error}");
        assert_eq!(told, 1);
        take(folder.path(), &interrupt, PATIENCE, || drop(first)).unwrap();
    }
}
