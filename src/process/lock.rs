//! Locks between rigup processes, which are advisory locks on files and folders. The file of a [`Lock`] names its
//! holder.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::FdFlags;
use sha2::{Digest, Sha256};

use crate::fs::digest::hex;
use crate::fs::lib_dir::{self, make_shared_file};
use crate::fs::lock::{self as file_lock, FileLock, OwnLock};
use crate::fs::regular_file;
use crate::model::{BinaryName, Identity, ProcessId, name};
use crate::process::poll;
use crate::process::run_dir;
use crate::process::signals::Interrupt;
use crate::process::system::{self, BOOT_ID, PID_NAMESPACE};
use crate::process::tree;

/// The environment variable that names the lock in LIB_DIR under which a hook runs.
pub(crate) const LOCKED: &str = "RIGUP_LOCKED";

/// Returns the value of [`LOCKED`] for a lock.
pub(crate) fn id(lib_dir: &Path, name: &str) -> PathBuf {
    lib_dir.join(name)
}

/// The pause between two tries to take a lock.
const RETRY: Duration = Duration::from_millis(20);

/// The number of consecutive tries that have to find the holder waiting for this process before rigup gives up.
const CIRCULAR_TRIES: u32 = 10;

/// A lock that is held until it is dropped and every process that shares it is gone.
#[derive(Debug)]
pub(crate) struct Lock(FileLock);

/// A lock that another process holds.
#[derive(Debug)]
pub(crate) struct Busy(FileLock);

/// An error that prevents a lock from being taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// This signal interrupted rigup while it waited.
    #[error("interrupted while waiting for a lock")]
    Interrupted(i32),
    /// The holder of the lock, a process with this pid, waits for this process.
    #[error("cannot take the lock {path}: process {1} holds it and waits for this process", path = .0.display())]
    Circular(PathBuf, u32),
    /// The file cannot be created or locked.
    #[error("cannot take a lock: {0}")]
    Io(#[from] io::Error),
}

impl Busy {
    /// Returns the holder.
    pub(crate) fn holder(&mut self) -> Holder {
        Holder(self.0.read())
    }

    /// Takes the lock if it is free by now. Costs one system call.
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
        Busy(FileLock::create(&binary_lock(data_dir, name.link_name()))?).try_again()
    }

    /// Waits for the lock on the name of a binary, and takes it, so that only one rigup at a time installs the binary.
    pub(crate) fn take_for_binary(
        data_dir: &Path,
        name: &BinaryName,
        interrupt: &Interrupt,
        on_wait: impl FnOnce(&Holder),
    ) -> Result<Self, LockError> {
        Self::take(&binary_lock(data_dir, name.link_name()), interrupt, tree::descends_from, on_wait)
    }

    /// Takes a lock in LIB_DIR, which may be shared with other users, if it is free.
    pub(crate) fn try_in_lib_dir(lib_dir: &Path, name: &str) -> Result<Result<Self, Busy>, LockError> {
        let path = file_in_lib_dir(lib_dir, name)?;
        Busy(FileLock::create(&path)?).try_again()
    }

    /// Waits for a lock in LIB_DIR, and takes it; see [`Self::take`].
    pub(crate) fn take_in_lib_dir(
        lib_dir: &Path,
        name: &str,
        interrupt: &Interrupt,
        waits_for_this: impl Fn(&Identity) -> bool,
        on_wait: impl FnOnce(&Holder),
    ) -> Result<Self, LockError> {
        let path = file_in_lib_dir(lib_dir, name)?;
        Self::take(&path, interrupt, waits_for_this, on_wait)
    }

    /// Waits for the lock without a time limit, and takes it. `waits_for_this` returns whether a holder waits for this
    /// process. If another process holds the lock, calls `on_wait` once with the holder.
    pub(crate) fn take(
        path: &Path,
        interrupt: &Interrupt,
        waits_for_this: impl Fn(&Identity) -> bool,
        on_wait: impl FnOnce(&Holder),
    ) -> Result<Self, LockError> {
        let mut file = FileLock::create(path)?;
        let mut on_wait = Some(on_wait);
        let mut circular_tries = 0;
        file.lock_or(|file| {
            let holder = Holder(file.read());
            if let Some(on_wait) = on_wait.take() {
                on_wait(&holder);
            }
            // For a moment after the lock changes hands, the file still names the previous holder.
            let circular = holder.identity().filter(&waits_for_this);
            circular_tries = if circular.is_some() { circular_tries + 1 } else { 0 };
            match circular {
                Some(holder) if circular_tries == CIRCULAR_TRIES => {
                    Err(LockError::Circular(path.to_owned(), holder.pid))
                }
                _ => wait_to_retry(interrupt),
            }
        })?;
        Ok(Self::new(file)?)
    }

    /// Shares the lock with all processes that this one starts from now on. They keep it when this one exits.
    pub(crate) fn share_with_children(&self) -> io::Result<()> {
        Ok(rustix::io::fcntl_setfd(self.0.file(), FdFlags::empty())?)
    }

    /// Returns the file of the lock. A process that inherits its descriptor holds the lock, too.
    pub(crate) fn file(&self) -> &File {
        self.0.file()
    }

    /// Writes the pid of the holder to the file of the lock.
    pub(crate) fn set_holder(&mut self, pid: u32) -> io::Result<()> {
        self.0.write(&Holder::of(pid).0)
    }

    /// Releases the lock, even if other processes share it.
    pub(crate) fn release(self) -> io::Result<()> {
        self.0.unlock()
    }

    fn new(file: FileLock) -> io::Result<Self> {
        let mut lock = Self(file);
        lock.set_holder(std::process::id())?;
        Ok(lock)
    }
}

fn binary_lock(data_dir: &Path, link_name: &str) -> PathBuf {
    data_dir.join("locks").join("binary").join(link_name)
}

/// Returns whether a rigup holds the lock on the name of a binary, or `None` if that is unknown.
pub(crate) fn is_binary_locked(data_dir: &Path, name: &str) -> Option<bool> {
    file_lock::is_locked(&binary_lock(data_dir, name::link_name(name))).ok().flatten()
}

/// Returns the file of a lock in LIB_DIR. Its name is readable, and differs for different locks.
pub(crate) fn in_lib_dir(folder: &Path, name: &str) -> PathBuf {
    const MAX_CHARS: usize = 60;
    let digest = Sha256::digest(name.as_bytes());
    let plain = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-', "_");
    let suffix = &plain[plain.len().saturating_sub(MAX_CHARS)..];
    folder.join(lib_dir::LOCKS).join(format!("{suffix}-{}", hex(&digest[..4])))
}

/// Creates the file of a lock in LIB_DIR, unless it exists, and returns its path.
pub(crate) fn file_in_lib_dir(lib_dir: &Path, name: &str) -> io::Result<PathBuf> {
    let path = in_lib_dir(lib_dir, name);
    make_shared_file(lib_dir, &path)?;
    Ok(path)
}

/// The holder of a lock, as the file names it: the pid, and the start time, boot id and pid namespace, without which a
/// pid cannot be compared with those of other processes. A file that is being written, or that another version of rigup
/// wrote, may contain only a part of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder(String);

impl Holder {
    /// Returns the holder that a file names.
    pub(super) fn in_file(path: &Path) -> io::Result<Self> {
        Ok(Self(FileLock::create(path)?.read()))
    }

    /// Writes the holder to the file of a lock.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        FileLock::create(path)?.write(&self.0)
    }

    /// Returns the process with this pid as a holder.
    pub(super) fn of(pid: u32) -> Self {
        let known = system::entry(pid).ok().flatten().zip(*PID_NAMESPACE);
        Self(known.map_or_else(
            || format!("{pid}\n"),
            |(entry, namespace)| format!("{pid} {} {} {namespace}\n", entry.start_ticks, *BOOT_ID),
        ))
    }

    /// Returns whether this process holds the lock.
    pub(crate) fn is_this_process(&self) -> bool {
        *self == Self::of(std::process::id())
    }

    /// Returns the identity of the holder, or `None` if it is unknown. A holder in another container or on another
    /// machine may have the pid of any process on this one.
    pub(super) fn identity(&self) -> Option<Identity> {
        let [pid, start_ticks, boot_id, namespace] = self.fields()?;
        if boot_id != *BOOT_ID || namespace.parse().ok() != *PID_NAMESPACE {
            return None;
        }
        Some(Identity {
            pid: pid.parse().ok()?,
            start_ticks: start_ticks.parse().ok()?,
            boot_id: boot_id.to_owned(),
        })
    }

    /// Returns the pid, start time, boot id and pid namespace, or `None` if the file is incomplete.
    fn fields(&self) -> Option<[&str; 4]> {
        let fields: Vec<&str> = self.0.strip_suffix('\n')?.split(' ').collect();
        fields.try_into().ok()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_whitespace().next() {
            Some(pid) => write!(f, "pid {pid}")?,
            None => f.write_str("an unknown process")?,
        }
        let is_elsewhere = self.fields().is_some() && self.identity().is_none();
        f.write_str(if is_elsewhere { " in another pid namespace" } else { "" })
    }
}

/// How long to wait for the lock on a folder.
pub(crate) const FOLDER_PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the lock on a folder that rigup writes into, for a limited time, and takes it. If another process holds
/// it, calls `on_wait` once.
pub(crate) fn take_folder(
    folder: &Path,
    interrupt: &Interrupt,
    patience: Duration,
    on_wait: impl FnOnce(),
) -> io::Result<OwnLock> {
    let mut lock = FileLock::open(folder)?;
    let deadline = Instant::now() + patience;
    let mut on_wait = Some(on_wait);
    lock.lock_or(|_| {
        if let Some(on_wait) = on_wait.take() {
            on_wait();
        }
        if interrupted_by(interrupt, deadline.min(Instant::now() + RETRY)).is_some() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if Instant::now() < deadline {
            return Ok(());
        }
        let reason = format!(
            "cannot lock the folder {}: another process holds the lock; find it with `lslocks`, wait until it exits, and try again",
            folder.display()
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    })?;
    Ok(lock.into())
}

/// Waits until it is time to try again to take a lock.
pub(super) fn wait_to_retry(interrupt: &Interrupt) -> Result<(), LockError> {
    interrupted_by(interrupt, Instant::now() + RETRY)
        .map_or(Ok(()), |signal| Err(LockError::Interrupted(signal)))
}

/// Waits until `deadline` or until a signal interrupts rigup, and returns that signal.
fn interrupted_by(interrupt: &Interrupt, deadline: Instant) -> Option<i32> {
    poll::readable([interrupt.fd()], deadline);
    interrupt.signal()
}

/// The lock of a process without a run dir, such as rigup itself. Its rigup takes the lock before the process is
/// recorded, and holds it until the exit is recorded. A rigup that shares the data dir from another container can check
/// the lock, although the pid is not visible to it. The file is removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct ProcessLock(FileLock);

impl ProcessLock {
    /// Takes the lock of a process that is not recorded yet.
    pub(crate) fn take(data_dir: &Path, process_id: ProcessId) -> io::Result<Self> {
        let file = FileLock::create(&process_lock(data_dir, process_id))?;
        file.lock()?;
        Ok(Self(file))
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        let _ = fs_err::remove_file(self.0.path());
    }
}

/// Returns whether a rigup holds the lock of this process.
pub(crate) fn is_process_locked(data_dir: &Path, process_id: ProcessId) -> io::Result<bool> {
    Ok(file_lock::is_locked(&process_lock(data_dir, process_id))? == Some(true))
}

/// Removes the lock of a process whose rigup was killed, unless it names a folder.
pub(crate) fn remove_killed_process_lock(data_dir: &Path, process_id: ProcessId) {
    let path = process_lock(data_dir, process_id);
    if path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        let _ = fs_err::remove_file(&path);
    }
}

/// Writes the path of a folder to the lock of a process, so that gc removes the folder if the process is killed. A path
/// that is not UTF-8 is left out.
pub(crate) fn name_folder(data_dir: &Path, process_id: ProcessId, folder: &Path) -> io::Result<()> {
    let Some(folder) = folder.to_str() else { return Ok(()) };
    let path = process_lock(data_dir, process_id);
    // Without the line break, only a part of the path was written.
    regular_file::open_with(File::options().write(true).truncate(true), &path)?
        .write_all(format!("{folder}\n").as_bytes())
}

/// Returns the processes that were killed and whose locks name a folder, each with that.
pub(crate) fn killed_with_folder(data_dir: &Path) -> Vec<(ProcessId, PathBuf)> {
    let named = |(id, path): (ProcessId, PathBuf)| {
        let content = file_lock::content_of_free(&path).ok()??;
        Some((id, PathBuf::from(content.strip_suffix('\n')?)))
    };
    process_locks(data_dir).filter_map(named).collect()
}

/// Removes the lock of a process that was killed.
pub(crate) fn remove_process_lock(data_dir: &Path, process_id: ProcessId) -> io::Result<()> {
    fs_err::remove_file(process_lock(data_dir, process_id))
}

/// Removes files older than `age` whose rigups were killed before they recorded their process. Keeps those that name a
/// folder.
pub(crate) fn remove_stale_process_locks(data_dir: &Path, age: Duration) {
    for (_, path) in process_locks(data_dir) {
        let changed = path.symlink_metadata().and_then(|metadata| metadata.modified());
        let is_old = changed.is_ok_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed > age));
        let content = file_lock::content_of_free(&path).unwrap_or_default();
        if is_old && content.is_some_and(|content| !content.ends_with('\n')) {
            let _ = fs_err::remove_file(path);
        }
    }
}

/// Returns the locks of processes.
fn process_locks(data_dir: &Path) -> impl Iterator<Item = (ProcessId, PathBuf)> {
    let entries = fs_err::read_dir(data_dir.join(run_dir::FOLDER)).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let path = entry.path();
        let id = path.file_name()?.to_str()?.strip_suffix(LOCK_SUFFIX)?.parse().ok()?;
        (path == process_lock(data_dir, id)).then_some((id, path))
    })
}

/// The end of the name of a process's lock, after its id.
const LOCK_SUFFIX: &str = ".lock";

/// Returns the lock of a process. It is among the run dirs, so that `process gc` removes files from one folder only.
fn process_lock(data_dir: &Path, process_id: ProcessId) -> PathBuf {
    data_dir.join(run_dir::FOLDER).join(format!("{process_id}{LOCK_SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_waiting_callers_get_its_pid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/x");
        let interrupt = Interrupt::install().unwrap();
        let (inside, notified) = (AtomicUsize::new(0), AtomicUsize::new(0));
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
                            assert_eq!(holder.to_string(), format!("pid {}", std::process::id()));
                            notified.fetch_add(1, Ordering::SeqCst);
                        },
                    )
                    .unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
            let deadline = Instant::now() + Duration::from_secs(10);
            while notified.load(Ordering::SeqCst) < 4 && Instant::now() < deadline {
                poll::pause(Instant::now() + Duration::from_millis(1));
            }
            drop(first);
        });
        assert_eq!(notified.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn a_holder_is_compared_only_with_processes_of_its_pid_namespace() {
        let this = Holder::of(std::process::id());
        assert_eq!(this.identity(), system::entry(std::process::id()).unwrap().map(|entry| entry.identity()));
        let [pid, start, boot, namespace] = this.fields().unwrap();
        for (text, shown) in [
            (format!("{pid}\n"), format!("pid {pid}")),
            (format!("{pid} {start} {boot} {namespace}"), format!("pid {pid}")),
            (format!("{pid} {start} {boot} 1\n"), format!("pid {pid} in another pid namespace")),
            (format!("{pid} {start} other {namespace}\n"), format!("pid {pid} in another pid namespace")),
            (String::new(), "an unknown process".to_owned()),
        ] {
            let holder = Holder(text);
            assert_eq!((holder.identity(), holder.to_string()), (None, shown));
        }
    }

    #[test]
    fn gives_up_on_a_folder_that_stays_locked() {
        let folder = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::install().unwrap();
        let first =
            take_folder(folder.path(), &interrupt, FOLDER_PATIENCE, || panic!("the lock is free")).unwrap();
        let mut calls = 0;
        let error = take_folder(folder.path(), &interrupt, Duration::ZERO, || calls += 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("wait until it exits"), "{error}");
        assert_eq!(calls, 1);
        take_folder(folder.path(), &interrupt, FOLDER_PATIENCE, || drop(first)).unwrap();
    }

    #[test]
    fn an_old_lock_file_is_removed_unless_its_lock_is_held() {
        let data_dir = tempfile::tempdir().unwrap();
        let (held, stale) = (ProcessId::generate(), ProcessId::generate());
        let lock = ProcessLock::take(data_dir.path(), held).unwrap();
        File::create(process_lock(data_dir.path(), stale)).unwrap();
        remove_stale_process_locks(data_dir.path(), Duration::from_mins(1));
        assert!(process_lock(data_dir.path(), stale).exists());
        let long_ago = SystemTime::now() - Duration::from_hours(1);
        for id in [held, stale] {
            let file = File::options().write(true).open(process_lock(data_dir.path(), id)).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        remove_stale_process_locks(data_dir.path(), Duration::from_mins(1));
        assert!(
            !process_lock(data_dir.path(), stale).exists()
                && is_process_locked(data_dir.path(), held).unwrap()
        );
        drop(lock);
        assert!(!process_lock(data_dir.path(), held).exists());
    }

    #[test]
    fn different_lock_names_are_different_files_in_one_folder() {
        let file = |name| in_lib_dir(Path::new("/lib"), name);
        assert_ne!(file("pip/a"), file("pip_a"));
        assert_eq!(file("../../etc").parent(), Some(Path::new("/lib/.locks")));
        assert!(file(&"x/".repeat(500)).file_name().unwrap().len() < 100);
    }
}
