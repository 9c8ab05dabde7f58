//! Readiness that a daemon reports through a fifo.

use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use nix::sys::stat::Mode;
use nix::unistd::{User, fchown, mkfifo};

use crate::model::ReadinessCheck;
use crate::process::launcher;

/// The most that is kept of what was written to a fifo, in bytes.
const MAX_TEXT: usize = 4096;

/// The text that a daemon of `process_pilot` writes when it is ready.
const READY: &[u8] = b"ready";

/// Creates a fifo that only this user or `user` can use, and replaces that of an earlier execution. Returns the problem if
/// there is another file at its path.
pub(super) fn create(path: &Path, user: Option<&str>) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_fifo() => {
            fs::remove_file(path)
                .map_err(|error| format!("cannot replace the fifo of an earlier execution: {error}"))?;
        }
        Ok(_) => return Err(format!("{} is not a fifo; remove it", path.display())),
        Err(_) => {}
    }
    let created = mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(io::Error::from);
    created
        .and_then(|()| user.and_then(launcher::find_user).map_or(Ok(()), |user| give(path, &user)))
        .map_err(|error| format!("cannot create the fifo {}: {error}", path.display()))
}

/// Gives a fifo to a user, but no file by which that user has replaced it.
fn give(path: &Path, user: &User) -> io::Result<()> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let fifo = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if fifo.metadata()?.file_type().is_fifo() {
        fchown(fifo, Some(user.uid), None)?;
    }
    Ok(())
}

/// The end of a fifo that rigup reads. It stays open, because a daemon that writes to a fifo without a reader is killed by
/// PIPE.
#[derive(Debug)]
pub(super) struct FifoReader {
    path: PathBuf,
    /// Whether only a line `ready` counts.
    is_strict: bool,
    file: Option<fs::File>,
    text: Vec<u8>,
}

impl FifoReader {
    /// Returns a reader for a check of a fifo, or `None` for any other check.
    pub(super) fn of(check: &ReadinessCheck) -> Option<Self> {
        let (path, is_strict) = match check {
            ReadinessCheck::Fifo(path) => (path, false),
            ReadinessCheck::Pipe(path) => (path, true),
            _ => return None,
        };
        Some(Self { path: path.clone(), is_strict, file: None, text: Vec::new() })
    }

    /// Reads what has been written, and returns whether that makes the daemon ready.
    pub(super) fn is_ready(&mut self) -> bool {
        self.reopen();
        let Some(file) = &mut self.file else { return false };
        let mut buffer = [0; MAX_TEXT];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.text.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
            self.text.drain(..self.text.len().saturating_sub(MAX_TEXT));
        }
        if self.is_strict {
            self.text.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == READY)
        } else {
            !self.text.is_empty()
        }
    }

    /// Opens the fifo, or the one that the daemon has put in its place.
    fn reopen(&mut self) {
        let id = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
        let opened = self.file.as_ref().and_then(|file| file.metadata().ok());
        let current = fs::metadata(&self.path).ok();
        if current.is_none() || opened.as_ref().map(id) != current.as_ref().map(id) {
            let mut options = fs::OpenOptions::new();
            self.file =
                options.read(true).custom_flags(libc::O_NONBLOCK).open(&self.path).ok().or(self.file.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn writer(path: &Path) -> fs::File {
        fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap()
    }

    #[test]
    fn only_a_fifo_is_replaced_and_only_its_owner_can_use_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        for _ in 0..2 {
            create(&path, None).unwrap();
            assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(create(&path, None).unwrap_err().ends_with("fifo is not a fifo; remove it"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn whatever_is_written_to_a_fifo_of_rigup_makes_ready() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        create(&path, None).unwrap();
        let mut reader = FifoReader::of(&ReadinessCheck::Fifo(path.clone())).unwrap();
        assert!(!reader.is_ready());
        let mut opened = writer(&path);
        assert!(!reader.is_ready(), "nothing is written yet");
        opened.write_all(b"\n").unwrap();
        assert!(reader.is_ready());
    }

    #[test]
    fn a_pipe_that_the_daemon_replaces_makes_ready_by_the_line_ready() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let mut reader = FifoReader::of(&ReadinessCheck::Pipe(path.clone())).unwrap();
        assert!(!reader.is_ready(), "the daemon has not created it yet");
        create(&path, None).unwrap();
        assert!(!reader.is_ready());
        create(&path, None).unwrap();
        assert!(!reader.is_ready());
        let mut opened = writer(&path);
        opened.write_all(b"not ready\n").unwrap();
        assert!(!reader.is_ready());
        opened.write_all(b" ready \n").unwrap();
        assert!(reader.is_ready());
    }
}
