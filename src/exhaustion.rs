//! Exhausted resources of the system: open files, processes, memory, disk space and the size of a file.

use std::io;
use std::path::Path;

/// Returns whether an error means that the limit of open files, processes, threads or memory is reached.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM))
}

/// Returns whether the file system of a folder has no space left for another byte or another file. A file system that
/// does not count one of them reports a total of 0.
pub(crate) fn is_full(folder: &Path) -> bool {
    let is_out_of = |total: u64, available: u64| total > 0 && available == 0;
    rustix::fs::statvfs(folder)
        .is_ok_and(|stat| is_out_of(stat.f_blocks, stat.f_bavail) || is_out_of(stat.f_files, stat.f_favail))
}

/// Returns the space that is left for this user on the file system of a folder, in bytes, or `None` if it is unknown.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok().filter(|stat| stat.f_blocks > 0)?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Returns whether there is a limit on the size of files (`ulimit -f`).
pub(crate) fn limits_file_size() -> bool {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.is_some()
}

/// Returns the text of an error, with a next step if open files, processes, threads or the size of a file are
/// exhausted.
pub(crate) fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EMFILE) => format!("{error}; raise the limit with `ulimit -n`"),
        Some(libc::EAGAIN) => {
            format!("{error}: too many processes or threads; raise the limit with `ulimit -u`")
        }
        Some(libc::EFBIG) => format!("{error}; raise the limit with `ulimit -f`"),
        _ => error.to_string(),
    }
}
