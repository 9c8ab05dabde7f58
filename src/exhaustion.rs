//! Resources that the system has run out of.

use std::io;
use std::path::Path;

/// Whether an error means that there are no more open files, processes, threads or memory.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM))
}

/// Whether the file system of a folder has no space for another byte or another file. A file system that does not count one
/// of them never runs out of it.
pub(crate) fn is_full(folder: &Path) -> bool {
    let is_out_of = |total: u64, available: u64| total > 0 && available == 0;
    rustix::fs::statvfs(folder)
        .is_ok_and(|stat| is_out_of(stat.f_blocks, stat.f_bavail) || is_out_of(stat.f_files, stat.f_favail))
}

/// Returns the error with the next step, if open files, processes or threads are exhausted.
pub(crate) fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EMFILE) => format!("{error}; raise the limit with `ulimit -n`"),
        Some(libc::EAGAIN) => {
            format!("{error}: too many processes and threads; end some, or raise the limit with `ulimit -u`")
        }
        _ => error.to_string(),
    }
}
