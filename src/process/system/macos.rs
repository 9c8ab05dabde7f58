//! macOS: libproc, and a kqueue for the exit of a process. There is no pidfd and no subreaper: the identity of a
//! process is checked right before it is signalled, and orphans are found only by the process id in their environment.

use std::ffi::{OsString, c_int, c_void};
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use rustix::process::{Pid, Signal};
use sysinfo::{ProcessRefreshKind, UpdateKind};

use crate::process::system::process_entry::ProcessEntry;
use crate::process::system::resource_usage::ResourceUsage;
use crate::process::usage::query;

/// The flag that makes `posix_spawn` start a session (since macOS 10.15).
pub(crate) const SETSID: libc::c_short = 0x0400;

/// Returns the id of the current boot; empty if the system has none.
pub(super) fn boot_id() -> String {
    let mut text = [0_u8; 64];
    let mut length = text.len();
    // SAFETY: the name ends with a NUL, and the buffer is live and has the given length.
    #[expect(unsafe_code, reason = "nix has no sysctl")]
    let read = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            text.as_mut_ptr().cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    let text = if read == 0 { &text[..length.min(64)] } else { &[] };
    String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()
}

/// Returns a constant: macOS has no pid namespaces.
#[expect(clippy::unnecessary_wraps, reason = "on Linux it may be unknown")]
pub(super) fn pid_namespace() -> Option<u64> {
    Some(0)
}

/// Returns true: macOS has no pid namespaces.
pub(super) fn shows_own_pids() -> bool {
    true
}

/// Returns what a process uses, without its reaped children, or `None` if it is gone.
pub(crate) fn resources(pid: u32) -> Option<ResourceUsage> {
    let kind = ProcessRefreshKind::nothing().with_memory().with_cpu().with_disk_usage();
    query(pid, kind, |process| ResourceUsage {
        rss: process.memory(),
        cpu: Duration::from_millis(process.accumulated_cpu_time()),
        read_bytes: process.disk_usage().total_read_bytes,
        write_bytes: process.disk_usage().total_written_bytes,
    })
}

/// Returns the pids of all processes that this user may see.
pub(crate) fn pids() -> io::Result<Vec<u32>> {
    let mut pids: Vec<libc::pid_t> = vec![0; 4096];
    loop {
        let bytes = c_int::try_from(pids.len() * size_of::<libc::pid_t>()).unwrap_or(c_int::MAX);
        // SAFETY: the buffer is live and has the given length.
        #[expect(unsafe_code, reason = "nix has no libproc")]
        let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), bytes) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        if count < pids.len() {
            pids.truncate(count);
            return Ok(pids.into_iter().filter_map(|pid| u32::try_from(pid).ok()).collect());
        }
        pids.resize(2 * pids.len(), 0);
    }
}

/// Returns the process with this pid, or `None` if it is gone.
pub(crate) fn entry(pid: u32) -> io::Result<Option<ProcessEntry>> {
    let size = c_int::try_from(size_of::<libc::proc_bsdinfo>()).map_err(io::Error::other)?;
    let number = i32::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: proc_bsdinfo is a plain C struct for which all zeroes is a value.
    #[expect(unsafe_code, reason = "nix has no libproc")]
    let mut info: libc::proc_bsdinfo = unsafe { std::mem::zeroed() };
    // SAFETY: the buffer is live and has the given length.
    #[expect(unsafe_code, reason = "nix has no libproc")]
    let read = unsafe {
        let buffer: *mut c_void = (&raw mut info).cast();
        libc::proc_pidinfo(number, libc::PROC_PIDTBSDINFO, 0, buffer, size)
    };
    if read != size {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ESRCH) { Ok(None) } else { Err(error) };
    }
    Ok(Some(ProcessEntry {
        pid,
        ppid: info.pbi_ppid,
        pgid: info.pbi_pgid,
        start_ticks: info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec,
        is_zombie: info.pbi_status == libc::SZOMB,
        is_stopped: info.pbi_status == libc::SSTOP,
    }))
}

/// Returns the environment that a process was started with, each variable followed by a NUL, or `None` if it cannot be
/// read.
pub(crate) fn environ(pid: u32) -> Option<Vec<u8>> {
    let kind = ProcessRefreshKind::nothing().with_environ(UpdateKind::Always);
    query(pid, kind, |process| joined(process.environ()))
}

/// Returns the arguments of a process, each followed by a NUL.
pub(crate) fn arguments(pid: u32) -> Vec<u8> {
    let kind = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always);
    query(pid, kind, |process| joined(process.cmd())).unwrap_or_default()
}

/// Returns the name of a process.
pub(crate) fn name(pid: u32) -> Vec<u8> {
    query(pid, ProcessRefreshKind::nothing(), |process| process.name().as_bytes().to_vec())
        .unwrap_or_default()
}

/// Returns false: the state of a process that waits is that of one that runs on macOS.
pub(crate) fn is_busy(_: u32) -> bool {
    false
}

/// Returns true: a process may have any file open.
pub(crate) fn has_open_file(_: u32, _: &[(u64, u64)]) -> bool {
    true
}

/// Returns false: the files that a process has open are not read on macOS.
pub(crate) fn reads_pipe(_: u32) -> bool {
    false
}

/// Returns nothing: the sockets of other processes are not read on macOS.
pub(crate) fn listeners(_: u16) -> Vec<u32> {
    Vec::new()
}

fn joined(texts: &[OsString]) -> Vec<u8> {
    texts.iter().flat_map(|text| text.as_bytes().iter().copied().chain([0])).collect()
}

/// Does nothing: launchd is the parent of all orphans.
pub(crate) fn become_subreaper() {}

/// Returns false: orphans are not children of this process on macOS, so the process table has to be read.
pub(crate) fn has_no_children(_: &[u32]) -> bool {
    false
}

/// Returns whether this process has orphans, which are the children of launchd on macOS.
pub(crate) fn has_other_children(_: &[u32]) -> bool {
    false
}

/// Returns the pids of the children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let is_child = |entry: &ProcessEntry| entry.ppid == pid;
    let entries = pids().unwrap_or_default().into_iter().filter_map(|pid| entry(pid).ok().flatten());
    entries.filter(is_child).map(|entry| entry.pid).collect()
}

/// Returns whether a signal with this `si_code` was sent by the system, such as by a terminal, not by a process.
pub(crate) fn is_from_kernel(si_code: c_int) -> bool {
    si_code == 0
}

/// Returns the path that an open file or folder has now.
pub(crate) fn path(file: &File) -> Option<PathBuf> {
    rustix::fs::getpath(file).ok().map(|path| OsString::from_vec(path.into_bytes()).into())
}

/// Creates a file without a name in the folder for temporary files.
pub(crate) fn unnamed_file() -> io::Result<File> {
    tempfile::tempfile()
}

/// A kqueue that waits for the exit of a process.
#[derive(Debug)]
pub(crate) struct ExitQueue(Kqueue);

impl ExitQueue {
    /// Opens the process that has this pid now.
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        let queue = Kqueue::new()?;
        let ident = usize::try_from(pid).map_err(io::Error::other)?;
        let (flags, end) = (EvFlags::EV_ADD | EvFlags::EV_CLEAR, FilterFlag::NOTE_EXIT);
        let event = KEvent::new(ident, EventFilter::EVFILT_PROC, flags, end, 0, 0);
        match queue.kevent(&[event], &mut [], None) {
            Err(Errno::ESRCH) => {
                // The process has exited, and no event will follow, so a user event replaces it.
                let exited =
                    KEvent::new(0, EventFilter::EVFILT_USER, EvFlags::EV_ADD, FilterFlag::NOTE_TRIGGER, 0, 0);
                queue.kevent(&[exited], &mut [], None)?;
            }
            done => drop(done?),
        }
        Ok(Self(queue))
    }

    /// Returns a descriptor that becomes readable when the process exits.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sends a signal, and returns whether the process still existed.
    #[expect(clippy::unused_self, reason = "Linux needs the pidfd")]
    pub(crate) fn signal(&self, known: &ProcessEntry, signal: Signal) -> bool {
        let pid = i32::try_from(known.pid).ok().and_then(Pid::from_raw);
        known.refreshed().is_ok_and(|now| now.is_some())
            && pid.is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
    }

    /// Returns false: the system cannot signal the group of a process that may have exited.
    #[expect(clippy::unused_self, reason = "Linux needs the pidfd")]
    pub(crate) fn signal_group(&self, _: Signal) -> bool {
        false
    }
}

/// Returns the user at the other end of a socket.
pub(crate) fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(nix::unistd::getpeereid(stream)?.0.as_raw())
}

/// Returns `None`: the process at the other end of a socket is not looked for on macOS.
pub(crate) fn peer_pid(_: &UnixStream) -> Option<u32> {
    None
}

/// Fails: rigup does not use the holes of APFS.
pub(crate) fn punch_hole(_: &File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: the system cannot remove the head of a file.
pub(crate) fn remove_head(_: &File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: the system does not say which process has sent a datagram.
pub(crate) fn notify_socket(_: &str) -> io::Result<UnixDatagram> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails, like [`notify_socket`].
pub(crate) fn receive_notification(_: &UnixDatagram) -> io::Result<(Vec<u8>, Option<u32>)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails, like [`notify_socket`].
pub(crate) fn send_notification(_: &str, _: &str, _: Option<BorrowedFd<'_>>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
