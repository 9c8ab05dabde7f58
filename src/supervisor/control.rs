//! The control socket: how commands reach the supervisor of a data dir.

mod client;
mod message;

use std::fs::{File, Permissions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use nix::poll::PollFlags;

use crate::jsonl;
use crate::process::handle::Handle;
use crate::process::{poll, system};
use crate::report::text::printable;
use crate::shell;

pub(crate) use client::{Client, drain};
pub(crate) use message::{Answer, ControlRequest};

/// The socket in the data dir.
const SOCKET: &str = "supervisor.sock";

/// Returns the path of the socket of a data dir.
pub(crate) fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET)
}

/// The longest path of a socket, in bytes.
const MAX_PATH: usize = 107;

/// The longest pause of a client that follows the supervisor.
const MAX_PAUSE: Duration = Duration::from_hours(1);

/// How long a supervisor may take to exit once it has stopped all daemons.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// The path of a socket in a folder, which is opened if its own path is too long for a socket.
struct SocketPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl SocketPath {
    fn new(data_dir: &Path) -> io::Result<Self> {
        let path = socket_path(data_dir);
        if path.as_os_str().as_bytes().len() <= MAX_PATH {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(data_dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
        Ok(Self { path, _folder: Some(folder) })
    }
}

/// The socket of a supervisor, and the clients that are connected.
#[derive(Debug)]
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
    /// Whether an earlier supervisor was killed, and left its socket.
    pub replaces_killed: bool,
}

impl Server {
    /// Opens the socket. The caller holds the lock of the supervisor, so a socket at its path is a stale one, unless another
    /// program listens there.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = socket_path(data_dir);
        let mut replaces_killed = false;
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.file_type().is_socket() => {
                if UnixStream::connect(SocketPath::new(data_dir)?.path).is_ok() {
                    let problem = format!("another program listens at {}; end it", path.display());
                    return Err(io::Error::new(ErrorKind::AddrInUse, problem));
                }
                fs::remove_file(&path)?;
                replaces_killed = true;
            }
            Ok(_) => {
                let problem = format!("{} is not a socket; remove it", path.display());
                return Err(io::Error::new(ErrorKind::AlreadyExists, problem));
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(SocketPath::new(data_dir)?.path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path, replaces_killed })
    }

    /// Accepts the next client of this user or of root, or returns `None` if none waits.
    pub(crate) fn accept(&self) -> Option<Client> {
        let (stream, _) = self.listener.accept().ok()?;
        let peer = system::peer_uid(&stream).ok()?;
        if peer != nix::unistd::geteuid().as_raw() && peer != 0 {
            return None;
        }
        Client::new(stream).ok()
    }

    /// Returns the descriptor that is readable when a client waits.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Sends a request to the supervisor, and returns its answer; that of `down` once it has exited. Returns `None` if no
/// supervisor listens, or if it ends before it answers.
pub(crate) fn request(
    data_dir: &Path,
    request: &ControlRequest,
    timeout: Option<Duration>,
) -> io::Result<Option<Answer>> {
    let Some(mut stream) = send(data_dir, request)? else { return Ok(None) };
    stream.set_read_timeout(timeout)?;
    let is_last = matches!(request, ControlRequest::Down { .. });
    let supervisor = system::peer_pid(&stream).filter(|_| is_last).and_then(|pid| system::entry(pid).ok()?);
    let supervisor = supervisor.and_then(|entry| Handle::open_entry(&entry).ok()?);
    // The supervisor closes the connection after its answer, and that of `down` once the next supervisor can start.
    let mut line = String::new();
    match stream.read_to_string(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => {
            if let Some(supervisor) = supervisor {
                poll::readable([supervisor.fd()], Instant::now() + EXIT_PATIENCE);
            }
            Ok(Some(serde_json::from_str(&line)?))
        }
        Err(error) if is_closed(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends a request to the supervisor, and calls `on_answer` with each answer until that breaks, or the supervisor ends.
/// Ends early if the other end of `output`, to which the caller writes, is closed. Returns whether a supervisor listens.
pub(crate) fn follow(
    data_dir: &Path,
    request: &ControlRequest,
    output: BorrowedFd<'_>,
    mut on_answer: impl FnMut(Answer) -> ControlFlow<()>,
) -> io::Result<bool> {
    let Some(stream) = send(data_dir, request)? else { return Ok(false) };
    let mut answers = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        let has_more = !answers.buffer().is_empty();
        while !has_more && !poll::is_ready(answers.get_ref().as_fd(), PollFlags::POLLIN) {
            if poll::is_ready(output, PollFlags::empty()) {
                return Ok(true);
            }
            let fds = [(answers.get_ref().as_fd(), PollFlags::POLLIN), (output, PollFlags::empty())];
            poll::any_ready(fds, Instant::now() + MAX_PAUSE);
        }
        line.clear();
        match answers.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(true),
            Ok(_) if on_answer(serde_json::from_slice(&line)?).is_break() => return Ok(true),
            Ok(_) => {}
            Err(error) if is_closed(&error) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

/// Sends a request to the supervisor, and returns the connection, or `None` if no supervisor listens.
fn send(data_dir: &Path, request: &ControlRequest) -> io::Result<Option<UnixStream>> {
    let path = SocketPath::new(data_dir)?;
    let mut stream = match UnixStream::connect(&path.path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        connected => connected?,
    };
    match stream.write_all(&jsonl::line(request)) {
        Err(error) if is_closed(&error) => Ok(None),
        written => written.map(|()| Some(stream)),
    }
}

/// Returns the error for a name that no daemon has.
pub(crate) fn unknown_daemon(name: &str) -> String {
    format!("no daemon is named {name}; `rigup ps -a` shows the daemons")
}

/// Returns the note about a daemon that stays stopped because it was stopped by name, with the command that starts it.
pub(crate) fn stopped_note(name: &str, command: &str) -> String {
    let (name, started) = (printable(name), printable(&shell::quote_text(name)));
    format!("{name} was stopped by name; start it with `rigup {command} {started}`")
}

/// Whether a transfer failed because the supervisor has closed the connection.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_answered_over_a_socket_whose_path_is_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("x".repeat(150));
        fs::create_dir(&data_dir).unwrap();
        assert!(
            request(&data_dir, &ControlRequest::Down { grace: None }, None).unwrap().is_none(),
            "no supervisor listens"
        );
        let server = Server::open(&data_dir).unwrap();
        std::thread::scope(|scope| {
            let answer = scope
                .spawn(|| request(&data_dir, &ControlRequest::Stop { names: vec!["a".to_owned()] }, None));
            let mut client = std::iter::repeat_with(|| server.accept()).find_map(|client| client).unwrap();
            let received =
                std::iter::repeat_with(|| client.read().unwrap()).find_map(|request| request).unwrap();
            assert!(matches!(received, Ok(ControlRequest::Stop { names }) if names == ["a"]));
            client.send(&Answer::with(vec![json!({"name": "a"})])).unwrap();
            drop(client);
            assert_eq!(answer.join().unwrap().unwrap().unwrap().daemons[0]["name"], "a");
        });
    }

    #[test]
    fn a_foreign_file_at_the_path_of_the_socket_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(SOCKET), "mine").unwrap();
        assert!(Server::open(folder.path()).unwrap_err().to_string().contains("is not a socket"));
        assert_eq!(fs::read_to_string(folder.path().join(SOCKET)).unwrap(), "mine");
    }

    #[test]
    fn a_stale_socket_is_replaced_and_the_own_one_removed() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let error = Server::open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "a live socket of another program");
        drop(listener);
        let server = Server::open(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(server);
        assert!(!folder.path().join(SOCKET).exists());
    }
}
