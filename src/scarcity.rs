//! What to do where the system is out of something.

use std::io;

/// Whether the system is out of open files, processes, threads or memory.
pub fn is_one(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM))
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
