//! Noticing that the store has changed, without reading it again and again.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::store::files::FILE_NAME;

/// A watch on the store in a data dir, which keeps neither the store open nor a lock on it.
#[derive(Debug)]
pub(crate) struct StoreWatch {
    events: OwnedFd,
    wal: String,
}

impl StoreWatch {
    /// Begins to watch. The folder is watched, because the files of the store are created, removed and replaced.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        inotify::add_watch(&events, data_dir, flags)?;
        Ok(Self { events, wal: format!("{FILE_NAME}-wal") })
    }

    /// Returns a descriptor that becomes readable when a file in the data dir changes, which may be one of others.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Returns whether something was written to the store, or another store took its place, since the last call. Fails if
    /// the data dir was removed.
    pub(crate) fn has_changed(&self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.events, &mut buffer);
        let mut has_changed = false;
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(has_changed),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if event.events().contains(ReadFlags::IGNORED) {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the folder was removed"));
            }
            let name = event.file_name().map_or(&[][..], |name| name.to_bytes());
            // Every transaction is written to the WAL. A process that only reads may write the database itself, when it is
            // the last one to close it.
            has_changed |= event.events().contains(ReadFlags::QUEUE_OVERFLOW)
                || name == self.wal.as_bytes()
                || name == FILE_NAME.as_bytes() && event.events().contains(ReadFlags::MOVED_TO);
        }
    }
}
