//! What the system may be out of, and what to do then.

use std::io;
use std::path::Path;

/// Whether the system is out of open files, processes, threads or memory.
pub fn is_one(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM))
}

/// Whether the file system that a folder lies on has no room, be it for bytes or for files. One that counts neither has.
pub fn is_full(folder: &Path) -> bool {
    let is_out_of = |all: u64, left: u64| all > 0 && left == 0;
    rustix::fs::statvfs(folder)
        .is_ok_and(|it| is_out_of(it.f_blocks, it.f_bavail) || is_out_of(it.f_files, it.f_favail))
}

/// The error, and the way out where there are no more open files, processes or threads to be had.
pub fn explained(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EMFILE) => format!("{error}; allow more of them: ulimit -n"),
        Some(libc::EAGAIN) => {
            format!("{error}: there are too many processes and threads; end some, or allow more: ulimit -u")
        }
        _ => error.to_string(),
    }
}
