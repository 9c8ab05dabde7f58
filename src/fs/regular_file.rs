//! Regular files in folders that hooks, runs or other users can write to. In place of such a file, there may be a link, a
//! FIFO or a device, which could block, a folder, or a file of any size.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::fs::dir::with_path;

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(File::options().read(true), path)
}

/// Opens a file for reading, or returns `None` if there is no regular file.
pub(crate) fn find(path: &Path) -> io::Result<Option<File>> {
    open(path).map(Some).or_else(|error| if is_missing(path) { Ok(None) } else { Err(error) })
}

/// Returns whether it is certain that there is no regular file.
fn is_missing(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(found) => !found.is_file(),
        Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

/// Opens a file with these options. Fails for anything but a regular file.
pub(crate) fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
    let is_special = match &opened {
        Ok(file) => !file.metadata()?.is_file(),
        Err(_) => path.symlink_metadata().is_ok_and(|found| !found.is_file()),
    };
    let opened =
        if is_special { Err(io::Error::other("it is not a regular file; remove it")) } else { opened };
    opened.map_err(|error| with_path(path, error))
}

/// Reads a file. Fails if it has more than `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("{} has more than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn only_a_regular_file_within_the_limit_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::write(path("file"), "text").unwrap();
        symlink(path("file"), path("link")).unwrap();
        fs_err::create_dir(path("folder")).unwrap();
        nix::unistd::mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
        assert_eq!(read(&path("file"), 4).unwrap(), b"text");
        assert!(read(&path("file"), 3).unwrap_err().to_string().ends_with("file has more than 3 bytes"));
        assert_eq!(read(&path("missing"), 3).unwrap_err().kind(), io::ErrorKind::NotFound);
        for name in ["link", "folder", "fifo"] {
            let expected = format!("{}: it is not a regular file; remove it", path(name).display());
            assert_eq!(read(&path(name), 9).unwrap_err().to_string(), expected);
            let appended = open_with(File::options().append(true).create(true), &path(name));
            assert_eq!(appended.unwrap_err().to_string(), expected);
        }
    }
}
