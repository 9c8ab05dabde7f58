//! Linux: `/proc`, pidfds and the subreaper attribute.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, UnixCredentials, getsockopt, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::process::poll;
use crate::process::system::process_entry::ProcessEntry;
use crate::process::system::resource_usage::ResourceUsage;

/// The flag that makes `posix_spawn` start a session.
pub(crate) const SETSID: libc::c_short = libc::POSIX_SPAWN_SETSID;

/// The largest notification, in bytes. Longer ones are dropped.
const NOTIFICATION_SIZE: usize = 4096;

/// The flag that sends a signal through a pidfd to the group that its process leads (since Linux 6.9).
const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// How long a process may take to start another program, and the pause between two looks at it.
const EXEC_PATIENCE: Duration = Duration::from_millis(500);
const EXEC_RETRY: Duration = Duration::from_millis(1);

/// Returns the id of the current boot; empty if the system has none.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Returns the pid namespace of this process, or `None` if it is unknown or `/proc` shows the pids of another one.
pub(super) fn pid_namespace() -> Option<u64> {
    shows_own_pids().then(|| fs::metadata("/proc/self/ns/pid").ok().map(|metadata| metadata.ino())).flatten()
}

/// Returns whether `/proc` is mounted and shows the pids of the namespace of this process.
pub(super) fn shows_own_pids() -> bool {
    let link = fs::read_link("/proc/self");
    link.is_ok_and(|link| link.to_str() == Some(std::process::id().to_string().as_str()))
}

/// Returns the pids of all processes that this user may see.
pub(crate) fn pids() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for folder in fs::read_dir("/proc")? {
        pids.extend(folder?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(pids)
}

/// Returns the process with this pid, or `None` if it is gone.
pub(crate) fn entry(pid: u32) -> io::Result<Option<ProcessEntry>> {
    let mut stat = [0; 1024];
    // One read returns the whole text if the buffer is large enough.
    match File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut stat)) {
        Ok(length) => Ok(parse_stat(pid, &String::from_utf8_lossy(&stat[..length]))),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Parses `/proc/<pid>/stat`. The name in parentheses may hold any character, including parentheses and blanks.
fn parse_stat(pid: u32, stat: &str) -> Option<ProcessEntry> {
    /// The fields between `pgrp` and `flags`, and between `flags` and `num_threads`.
    const BEFORE_FLAGS: usize = 3;
    const BEFORE_THREADS: usize = 10;
    /// The flag of a thread that is exiting and has closed its files, or is about to: `PF_EXITING` in linux/sched.h.
    const EXITING: u32 = 4;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let has_exited = matches!(state, "Z" | "X");
    let mut entry = ProcessEntry {
        pid,
        ppid: fields.next()?.parse().ok()?,
        pgid: fields.next()?.parse().ok()?,
        start_ticks: 0,
        is_zombie: false,
        is_stopped: matches!(state, "T" | "t"),
    };
    let flags: u32 = fields.nth(BEFORE_FLAGS)?.parse().ok()?;
    let threads: u32 = fields.nth(BEFORE_THREADS)?.parse().ok()?;
    entry.start_ticks = fields.nth(1)?.parse().ok()?;
    // The state is that of the main thread, which may have exited before the others.
    entry.is_zombie = (has_exited || flags & EXITING != 0) && threads <= 1;
    Some(entry)
}

/// Returns what a process uses, or `None` if it is gone. Of another user's process, the system shows no reads and writes.
pub(crate) fn resources(pid: u32) -> Option<ResourceUsage> {
    /// The fields between the state and `utime`, and between `cstime` and `rss`.
    const BEFORE_CPU: usize = 11;
    const BEFORE_RSS: usize = 6;
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace().skip(BEFORE_CPU);
    let mut ticks = 0_u64;
    for _ in ["utime", "stime", "cutime", "cstime"] {
        ticks = ticks.saturating_add(fields.next()?.parse().ok()?);
    }
    let pages: u64 = fields.nth(BEFORE_RSS)?.parse().ok()?;
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let count = |key: &str| {
        let mut values = io.lines().filter_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        values.next().unwrap_or_default()
    };
    Some(ResourceUsage {
        rss: pages.saturating_mul(rustix::param::page_size() as u64),
        cpu: Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second()),
        read_bytes: count("read_bytes:"),
        write_bytes: count("write_bytes:"),
    })
}

/// Returns the environment that a process was started with, each variable followed by a NUL, or `None` if it cannot be
/// read.
pub(crate) fn environ(pid: u32) -> Option<Vec<u8>> {
    let deadline = Instant::now() + EXEC_PATIENCE;
    loop {
        let environ = read_memory(pid, "environ")?;
        if !environ.is_empty() || !is_starting_program(pid) || Instant::now() >= deadline {
            return Some(environ);
        }
        poll::pause(Instant::now() + EXEC_RETRY);
    }
}

/// Returns whether a process is starting another program. Until the memory of that is set up, the process has neither
/// arguments nor an environment, although its parent may have gone on.
fn is_starting_program(pid: u32) -> bool {
    arguments(pid).is_empty() && entry(pid).is_ok_and(|entry| entry.is_some_and(|entry| !entry.is_zombie))
}

/// Returns the arguments of a process, each followed by a NUL.
pub(crate) fn arguments(pid: u32) -> Vec<u8> {
    read_memory(pid, "cmdline").unwrap_or_default()
}

/// Returns the name of a process, which the system keeps until it is reaped.
pub(crate) fn name(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/comm")).unwrap_or_default()
}

/// Reads a file of `/proc` that shows the memory of a process. If the main thread has exited, only the others show it.
fn read_memory(pid: u32, name: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(format!("/proc/{pid}/{name}")).ok()?;
    if !bytes.is_empty() {
        return Some(bytes);
    }
    let of_threads = threads(pid).filter_map(|thread| fs::read(thread.join(name)).ok());
    of_threads.into_iter().find(|bytes| !bytes.is_empty()).or(Some(bytes))
}

/// Returns the folder of each thread of a process.
fn threads(pid: u32) -> impl Iterator<Item = PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    threads.filter_map(|thread| Some(thread.ok()?.path()))
}

/// Returns whether a thread of a process runs, waits for a processor, or waits for a disk.
pub(crate) fn is_busy(pid: u32) -> bool {
    threads(pid).any(|thread| {
        let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['R', 'D']))
    })
}

/// Returns whether a process has one of these files open, each a device and an inode, or may have it. A process without
/// open files is about to exit.
pub(crate) fn has_open_file(pid: u32, files: &[(u64, u64)]) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut open = open.map(|file| std::fs::metadata(file.path())).peekable();
    if open.peek().is_none() {
        return Path::new(&format!("/proc/{pid}")).exists();
    }
    open.flatten().any(|open| files.contains(&(open.dev(), open.ino())))
}

/// Returns whether the standard input of a process is a pipe or a socket without a name, as that of a filter.
pub(crate) fn reads_pipe(pid: u32) -> bool {
    let input = fs::read_link(format!("/proc/{pid}/fd/0")).unwrap_or_default();
    let input = input.as_os_str().as_encoded_bytes();
    input.starts_with(b"pipe:") || input.starts_with(b"socket:")
}

/// Returns the pids of the processes that listen at a TCP port, as far as this user may see them.
pub(crate) fn listeners(port: u16) -> Vec<u32> {
    /// The state of a listening socket.
    const LISTEN: &str = "0A";
    let port = format!(":{port:04X}");
    let tables =
        ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    // Its local address, its remote address, its state, and after five more fields its inode.
    let sockets: Vec<PathBuf> = lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let is_listener = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTEN;
            is_listener.then(|| Some(format!("socket:[{}]", fields.get(9)?).into())).flatten()
        })
        .collect();
    let has_socket = |pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|link| sockets.contains(&link))
    };
    pids().unwrap_or_default().into_iter().filter(has_socket).collect()
}

/// Makes this process the parent of its orphaned descendants.
pub(crate) fn become_subreaper() {
    // If this fails, orphans are found only by the process id in their environment.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Reaps exited children that are not in `known`, and returns whether this process has no children. Takes two system
/// calls; reading the process table takes hundreds.
pub(crate) fn has_no_children(known: &[u32]) -> bool {
    let options = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        let exited = match waitid(Id::All, options) {
            Err(Errno::ECHILD) => return true,
            Ok(status) => status.pid(),
            Err(_) => return false,
        };
        match exited {
            Some(orphan) if !known.iter().any(|child| i32::try_from(*child) == Ok(orphan.as_raw())) => {
                let _ = waitpid(orphan, Some(WaitPidFlag::WNOHANG));
            }
            Some(_) => {
                // The system names the known one until it is reaped, and none that has exited after it.
                let others = children(std::process::id()).into_iter().filter(|child| !known.contains(child));
                for orphan in others.filter_map(|child| i32::try_from(child).ok()) {
                    let _ = waitpid(nix::unistd::Pid::from_raw(orphan), Some(WaitPidFlag::WNOHANG));
                }
                return false;
            }
            None => return false,
        }
    }
}

/// Returns whether this process has a child that is not in `known`. A kernel that does not list children counts as if it
/// had.
pub(crate) fn has_other_children(known: &[u32]) -> bool {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut lists = threads.map(|thread| match fs::read_to_string(thread.path().join("children")) {
        Ok(pids) => {
            pids.split_ascii_whitespace().any(|pid| pid.parse().is_ok_and(|pid| !known.contains(&pid)))
        }
        // The thread has exited, or the kernel has no such list.
        Err(_) => thread.path().exists(),
    });
    lists.any(|has_other| has_other)
}

/// Returns the pids of the children of a process, or none if the kernel does not list them.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids =
        |list: String| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>();
    lists.flat_map(pids).collect()
}

/// Returns whether a signal with this `si_code` was sent by the system, such as by a terminal, not by a process.
pub(crate) fn is_from_kernel(si_code: libc::c_int) -> bool {
    si_code > 0
}

/// Returns the path that an open file or folder has now.
pub(crate) fn path(file: &File) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

/// Creates a file in memory.
pub(crate) fn unnamed_file() -> io::Result<File> {
    Ok(memfd_create("rigup", MemfdFlags::CLOEXEC)?.into())
}

/// A pidfd, which refers to one process.
#[derive(Debug)]
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has this pid now.
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Returns a descriptor that becomes readable when the process exits.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sends a signal, and returns whether the process still existed.
    pub(crate) fn signal(&self, _: &ProcessEntry, signal: Signal) -> bool {
        pidfd_send_signal(&self.0, signal).is_ok()
    }

    /// Sends a signal to the group that the process leads, even if the process has exited. Returns whether the system
    /// supports this.
    pub(crate) fn signal_group(&self, signal: Signal) -> bool {
        // SAFETY: the descriptor is open, and a null siginfo stands for that of kill.
        #[expect(unsafe_code, reason = "rustix sends no signals to groups through a pidfd")]
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal.as_raw(),
                std::ptr::null::<libc::siginfo_t>(),
                PIDFD_SIGNAL_PROCESS_GROUP,
            )
        };
        sent == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL)
    }
}

/// Returns the user at the other end of a socket.
pub(crate) fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(getsockopt(stream, sockopt::PeerCredentials)?.uid())
}

/// Returns the pid of the process at the other end of a socket, or `None` if this process cannot see it.
pub(crate) fn peer_pid(stream: &UnixStream) -> Option<u32> {
    let pid = getsockopt(stream, sockopt::PeerCredentials).ok()?.pid();
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

/// Opens a socket for notifications of other processes at a path, or at an abstract address that begins with `@`.
pub(crate) fn notify_socket(address: &str) -> io::Result<UnixDatagram> {
    let socket = match address.strip_prefix('@') {
        Some(name) => UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => UnixDatagram::bind(address)?,
    };
    setsockopt(&socket, sockopt::PassCred, &true)?;
    Ok(socket)
}

/// Waits for the next notification, and returns its text and the pid of its sender, which the kernel vouches for. Descriptors
/// that came with it are closed, which tells a sender that waits for it that its earlier notifications were handled.
pub(crate) fn receive_notification(socket: &UnixDatagram) -> io::Result<(Vec<u8>, Option<u32>)> {
    const MAX_FDS: usize = 253;
    let mut text = vec![0; NOTIFICATION_SIZE];
    let mut control = nix::cmsg_space!(UnixCredentials, [libc::c_int; MAX_FDS]);
    let mut parts = [io::IoSliceMut::new(&mut text)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let mut sender = None;
    for message in received.cmsgs()? {
        match message {
            ControlMessageOwned::ScmCredentials(credentials) => {
                sender = u32::try_from(credentials.pid()).ok();
            }
            ControlMessageOwned::ScmRights(descriptors) => descriptors.into_iter().for_each(|descriptor| {
                // SAFETY: the kernel has just opened it for this process, and nothing else knows it.
                #[expect(unsafe_code, reason = "nix returns received descriptors without owners")]
                drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }),
            _ => {}
        }
    }
    let (length, is_cut) = (received.bytes, received.flags.contains(MsgFlags::MSG_TRUNC));
    text.truncate(if is_cut { 0 } else { length });
    Ok((text, sender))
}

/// Sends a notification to an address as in [`notify_socket`], with a descriptor if there is one.
pub(crate) fn send_notification(
    address: &str,
    text: &str,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let to = match address.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None => UnixAddr::new(address)?,
    };
    let descriptors: Vec<libc::c_int> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let rights = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    let parts = [io::IoSlice::new(text.as_bytes())];
    let socket = UnixDatagram::unbound()?;
    sendmsg(socket.as_raw_fd(), &parts, rights, MsgFlags::MSG_NOSIGNAL, Some(&to))?;
    Ok(())
}

/// Turns the first `length` bytes of a file into a hole.
pub(crate) fn punch_hole(file: &File, length: u64) -> io::Result<()> {
    Ok(fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, length)?)
}

/// Removes the first `length` bytes of a file, so that the rest begins at 0. Fails if the file system cannot do this, or only
/// for a multiple of another size.
pub(crate) fn remove_head(file: &File, length: u64) -> io::Result<()> {
    Ok(fallocate(file, FallocateFlags::COLLAPSE_RANGE, 0, length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_parentheses_and_blanks() {
        let stat = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 1";
        let (is_zombie, is_stopped) = (false, false);
        let expected = ProcessEntry { pid: 42, ppid: 7, pgid: 42, start_ticks: 9876, is_zombie, is_stopped };
        assert_eq!(parse_stat(42, stat), Some(expected));
        assert_eq!(parse_stat(42, "42 (cut"), None);
    }

    #[test]
    fn a_process_is_a_zombie_only_if_no_thread_is_left() {
        let of = |(state, flags, threads): (&str, u32, u32)| {
            let stat =
                format!("42 (a) {state} 7 42 42 0 -1 {flags} 1 0 0 0 0 0 0 0 20 0 {threads} 0 9876 1 1");
            parse_stat(42, &stat).unwrap().is_zombie
        };
        assert_eq!([("Z", 4_194_560, 1), ("Z", 4_194_560, 2)].map(of), [true, false]);
        assert_eq!(
            [("R", 4_194_564, 1), ("R", 4_194_564, 2), ("R", 4_194_560, 1)].map(of),
            [true, false, false]
        );
    }
}
