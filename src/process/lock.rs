//! Advisory locks between rigups. The system frees them when their holder ends, however it ends.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::FdFlags;

use crate::model::name::BinaryName;
use crate::model::process::Identity;
use crate::process::signals::Interrupt;
use crate::process::{handle, wait};
use crate::trust::make_private_dir;

pub mod folder;
pub mod owner;

/// The pause between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A holder that was seen to wait for us so often in a row does.
const SURE: u32 = 10;

/// A lock that is held until it is dropped, and until all are over to whom it was handed on.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// A lock that somebody else holds.
#[derive(Debug)]
pub struct Busy {
    file: File,
    path: PathBuf,
}

/// Who holds a lock, as its file says: a pid, and what tells whether it can be compared with one from here. A file that is
/// being written, or that another version of rigup wrote, may say less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(String);

impl Holder {
    /// The process with this pid.
    fn of(pid: u32) -> Self {
        let known = handle::of(pid).zip(handle::pid_namespace());
        Self(known.map_or_else(
            || format!("{pid}\n"),
            |(it, namespace)| format!("{pid} {} {} {namespace}\n", it.start_ticks, it.boot_id),
        ))
    }

    /// Whether this process holds it.
    pub fn is_this_process(&self) -> bool {
        *self == Self::of(std::process::id())
    }

    /// Who that is among the processes that are seen from here; none where that cannot be told. Who holds the lock in another
    /// container, or on another machine, may have the pid of any process of this one.
    fn identity(&self) -> Option<Identity> {
        let [pid, start_ticks, boot_id, namespace] = self.fields()?;
        let is_ours = boot_id == handle::boot_id() && namespace.parse().ok() == handle::pid_namespace();
        is_ours.then_some(())?;
        Some(Identity {
            pid: pid.parse().ok()?,
            start_ticks: start_ticks.parse().ok()?,
            boot_id: boot_id.to_owned(),
        })
    }

    /// All that the file says, once it is whole.
    fn fields(&self) -> Option<[&str; 4]> {
        let fields: Vec<&str> = self.0.strip_suffix('\n')?.split(' ').collect();
        fields.try_into().ok()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split_whitespace().next().unwrap_or_default())?;
        let is_elsewhere = self.fields().is_some() && self.identity().is_none();
        f.write_str(if is_elsewhere { " of another pid namespace" } else { "" })
    }
}

impl Busy {
    /// Who holds it.
    pub fn holder(&mut self) -> Holder {
        holder(&mut self.file)
    }

    /// Takes it if it is free by now. This costs one system call, however often it is done.
    pub fn try_again(self) -> Result<Result<Lock, Self>, LockError> {
        let Self { file, path } = self;
        match file.try_lock() {
            Ok(()) => Lock::held(file).map(Ok).map_err(|error| LockError::Io(path, error)),
            Err(TryLockError::WouldBlock) => Ok(Err(Self { file, path })),
            Err(TryLockError::Error(error)) => Err(LockError::Io(path, error)),
        }
    }
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// rigup was asked to stop while it waited.
    #[error("interrupted while waiting for a lock")]
    Interrupted,
    /// Whoever holds it waits for this very process.
    #[error("the lock {path} is held by the process {holder}, which waits for this one", path = path.display())]
    Circular {
        /// The lock.
        path: PathBuf,
        /// The pid of the holder.
        holder: u32,
    },
    /// The file cannot be made or locked.
    #[error("the lock {path} cannot be taken: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
}

impl Lock {
    /// Takes the lock on the name of a binary if it is free.
    pub fn try_for_binary(data_dir: &Path, name: &BinaryName) -> Result<Result<Self, Busy>, LockError> {
        let path = data_dir.join("locks").join("binary").join(name.link_name());
        match open(&path) {
            Ok(file) => Busy { file, path }.try_again(),
            Err(error) => Err(LockError::Io(path, error)),
        }
    }

    /// Takes the lock on the name of a binary: only one rigup at a time works on it.
    pub fn take_for_binary(
        data_dir: &Path,
        name: &BinaryName,
        interrupt: &Interrupt,
        waiting: impl FnOnce(&Holder),
    ) -> Result<Self, LockError> {
        let path = data_dir.join("locks").join("binary").join(name.link_name());
        Self::take(&path, interrupt, |_| false, waiting)
    }

    /// Takes the lock, waiting as long as it takes. `waits_for_us` tells of a holder that is seen from here whether to wait
    /// for it would be in vain; `waiting` is told once who holds it, if there is somebody to wait for.
    pub fn take(
        path: &Path,
        interrupt: &Interrupt,
        waits_for_us: impl Fn(&Identity) -> bool,
        waiting: impl FnOnce(&Holder),
    ) -> Result<Self, LockError> {
        let failed = |error| LockError::Io(path.to_owned(), error);
        let mut file = open(path).map_err(failed)?;
        let mut waiting = Some(waiting);
        let mut circles = 0;
        loop {
            match file.try_lock() {
                Ok(()) => return Self::held(file).map_err(failed),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let holder = holder(&mut file);
            if let Some(waiting) = waiting.take() {
                waiting(&holder);
            }
            // For a moment after a change of hands the file names the holder of before.
            let in_vain = holder.identity().filter(&waits_for_us);
            circles = if in_vain.is_some() { circles + 1 } else { 0 };
            if let Some(Identity { pid: holder, .. }) = in_vain.filter(|_| circles == SURE) {
                return Err(LockError::Circular { path: path.to_owned(), holder });
            }
            if wait::is_interrupted_by(interrupt, Instant::now() + TRY_AGAIN) {
                return Err(LockError::Interrupted);
            }
        }
    }

    /// Has all that this process starts from here on hold the lock as well, whatever becomes of this process.
    pub fn hand_on(&self) -> io::Result<()> {
        Ok(rustix::io::fcntl_setfd(&self.file, FdFlags::empty())?)
    }

    /// Notes that it is held for this process.
    pub fn note_holder(&mut self, pid: u32) -> io::Result<()> {
        self.file.rewind()?;
        self.file.set_len(0)?;
        // In one piece, so that nobody reads half of it.
        self.file.write_all(Holder::of(pid).0.as_bytes())
    }

    /// Frees it, though others may hold it as well.
    pub fn free(self) -> io::Result<()> {
        self.file.unlock()
    }

    fn held(file: File) -> io::Result<Self> {
        let mut lock = Self { file };
        lock.note_holder(std::process::id())?;
        Ok(lock)
    }
}

/// Opens a lock's file, and makes it and its folder where they are not there.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        make_private_dir(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// What a lock's file says; nothing where nobody wrote there yet.
fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    Holder(text)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::process::poll;

    #[test]
    fn a_holder_is_compared_only_with_processes_that_are_seen_from_where_it_is() {
        let me = Holder::of(std::process::id());
        assert_eq!(me.identity(), handle::of(std::process::id()));
        let [pid, start, boot, namespace] = me.fields().unwrap();
        for (text, told) in [
            (format!("{pid}\n"), pid.to_owned()),
            (format!("{pid} {start} {boot} {namespace}"), pid.to_owned()),
            (format!("{pid} {start} {boot} 1\n"), format!("{pid} of another pid namespace")),
            (format!("{pid} {start} other {namespace}\n"), format!("{pid} of another pid namespace")),
            (String::new(), String::new()),
        ] {
            let holder = Holder(text);
            assert_eq!((holder.identity(), holder.to_string()), (None, told));
        }
    }

    #[test]
    fn only_one_holds_it_at_a_time_and_the_waiting_are_told_who_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/x");
        let interrupt = Interrupt::install().unwrap();
        let (inside, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let first = Lock::take(&path, &interrupt, |_| false, |_| panic!("nobody holds it")).unwrap();
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
