//! Locks that are files of their own, whose holder is written into them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::FdFlags;

use crate::fs::lock::FileLock;
use crate::model::{BinaryName, Identity};
use crate::process::lock::holder::Holder;
use crate::process::signals::Interrupt;
use crate::process::wait;

/// The pause between two tries to take a lock.
pub(super) const RETRY: Duration = Duration::from_millis(20);

/// The number of tries in a row after which a holder that waits for this process is taken to do so.
const CIRCULAR_TRIES: u32 = 10;

/// A lock that is held until it is dropped, and until every process that shares it is gone.
#[derive(Debug)]
pub(crate) struct Lock(FileLock);

/// A lock that another process holds.
#[derive(Debug)]
pub(crate) struct Busy(FileLock);

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// rigup was interrupted while it waited.
    #[error("interrupted while waiting for a lock")]
    Interrupted,
    /// The holder waits for this process.
    #[error("cannot take the lock {path}: process {holder} holds it and waits for this process", path = path.display())]
    Circular {
        /// The lock.
        path: PathBuf,
        /// The pid of the holder.
        holder: u32,
    },
    /// The file cannot be created or locked.
    #[error("cannot take a lock: {0}")]
    Io(#[from] io::Error),
}

impl Busy {
    /// Returns the holder.
    pub(crate) fn holder(&mut self) -> Holder {
        Holder(self.0.read())
    }

    /// Takes the lock if it is free by now. This costs one system call per try.
    pub(crate) fn try_again(self) -> Result<Result<Lock, Self>, LockError> {
        if self.0.try_lock()? { Ok(Ok(Lock::new(self.0)?)) } else { Ok(Err(self)) }
    }
}

impl Lock {
    /// Takes the lock on the name of a binary if it is free.
    pub(crate) fn try_for_binary(
        data_dir: &Path,
        name: &BinaryName,
    ) -> Result<Result<Self, Busy>, LockError> {
        Busy(FileLock::create(&binary_lock(data_dir, name))?).try_again()
    }

    /// Takes the lock on the name of a binary: one rigup at a time installs it.
    pub(crate) fn take_for_binary(
        data_dir: &Path,
        name: &BinaryName,
        interrupt: &Interrupt,
        waiting: impl FnOnce(&Holder),
    ) -> Result<Self, LockError> {
        Self::take(&binary_lock(data_dir, name), interrupt, |_| false, waiting)
    }

    /// Takes the lock, however long that takes. `waits_for_this` returns whether a holder waits for this process;
    /// `waiting` is called once with the holder, if there is one.
    pub(crate) fn take(
        path: &Path,
        interrupt: &Interrupt,
        waits_for_this: impl Fn(&Identity) -> bool,
        waiting: impl FnOnce(&Holder),
    ) -> Result<Self, LockError> {
        let mut file = FileLock::create(path)?;
        let mut waiting = Some(waiting);
        let mut circular_tries = 0;
        file.lock_or(|file| {
            let holder = Holder(file.read());
            if let Some(waiting) = waiting.take() {
                waiting(&holder);
            }
            // For a moment after the lock changed hands, the file names its holder of before.
            let circular = holder.identity().filter(&waits_for_this);
            circular_tries = if circular.is_some() { circular_tries + 1 } else { 0 };
            match circular {
                Some(Identity { pid: holder, .. }) if circular_tries == CIRCULAR_TRIES => {
                    Err(LockError::Circular { path: path.to_owned(), holder })
                }
                _ if wait::is_interrupted_by(interrupt, Instant::now() + RETRY) => {
                    Err(LockError::Interrupted)
                }
                _ => Ok(()),
            }
        })?;
        Ok(Self::new(file)?)
    }

    /// Shares the lock with every process that this one starts from now on, whatever becomes of this one.
    pub(crate) fn share_with_children(&self) -> io::Result<()> {
        Ok(rustix::io::fcntl_setfd(self.0.file(), FdFlags::empty())?)
    }

    /// Writes the pid for which the lock is held into its file.
    pub(crate) fn set_holder(&mut self, pid: u32) -> io::Result<()> {
        self.0.write(&Holder::of(pid).0)
    }

    /// Releases the lock, also for those that share it.
    pub(crate) fn release(self) -> io::Result<()> {
        self.0.unlock()
    }

    fn new(file: FileLock) -> io::Result<Self> {
        let mut lock = Self(file);
        lock.set_holder(std::process::id())?;
        Ok(lock)
    }
}

fn binary_lock(data_dir: &Path, name: &BinaryName) -> PathBuf {
    data_dir.join("locks").join("binary").join(name.link_name())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::process::poll;

    #[test]
    fn a_lock_has_one_holder_and_waiting_callers_learn_its_pid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/x");
        let interrupt = Interrupt::install().unwrap();
        let (inside, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let first = Lock::take(&path, &interrupt, |_| false, |_| panic!("the lock is free")).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _lock = Lock::take(
                        &path,
                        &interrupt,
                        |_| false,
                        |holder| {
                            assert!(holder.is_this_process());
                            assert_eq!(holder.to_string(), std::process::id().to_string());
                            told.fetch_add(1, Ordering::SeqCst);
                        },
                    )
                    .unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
            let deadline = Instant::now() + Duration::from_secs(10);
            while told.load(Ordering::SeqCst) < 4 && Instant::now() < deadline {
                poll::pause(Instant::now() + Duration::from_millis(1));
            }
            drop(first);
        });
        assert_eq!(told.load(Ordering::SeqCst), 4);
    }
}
