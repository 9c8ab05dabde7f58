//! The control socket: how commands reach the supervisor of a data dir.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::jsonl;
use crate::model::DaemonSpec;
use crate::process::system;

/// The socket in the data dir.
const SOCKET: &str = "supervisor.sock";

/// The longest path of a socket, in bytes.
const MAX_PATH: usize = 107;

/// The longest request, in bytes.
const MAX_REQUEST: usize = 16 << 20;

/// How long a client may take to read an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A request to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum ControlRequest {
    /// Applies a manifest, and starts the daemons with these names, or all that start by themselves.
    Apply {
        /// All declared daemons.
        daemons: Vec<DaemonSpec>,
        /// The daemons to start.
        names: Vec<String>,
        /// Whether daemons that are no longer declared are stopped.
        remove_orphans: bool,
    },
    /// Starts daemons.
    Start { names: Vec<String> },
    /// Stops daemons, and answers once they are stopped.
    Stop { names: Vec<String> },
    /// Stops and starts daemons.
    Restart { names: Vec<String> },
    /// Stops all daemons and the supervisor, and answers once all are stopped.
    Down {
        /// The grace period in place of that of each daemon.
        grace: Option<Duration>,
    },
    /// Answers once all daemons that are wanted are ready or have ended.
    AwaitReady,
    /// Answers once the daemons with these names have ended.
    Wait { names: Vec<String> },
}

/// The answer to a request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The records of the daemons.
    pub daemons: Vec<Value>,
    /// Why the request cannot be carried out.
    pub error: Option<String>,
}

/// The path of a socket in a folder, which is opened if its own path is too long for a socket.
struct SocketPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl SocketPath {
    fn new(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(SOCKET);
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

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    input: Vec<u8>,
}

impl Server {
    /// Opens the socket. The caller holds the lock of the supervisor, so a socket at its path is a stale one.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(SOCKET);
        let mut replaces_killed = false;
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.file_type().is_socket() => {
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
        stream.set_nonblocking(true).ok()?;
        Some(Client { stream, input: Vec::new() })
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

impl Client {
    /// Reads what has arrived. Returns the request once it is complete, or an error if the client is gone or its request is
    /// invalid.
    pub(crate) fn read(&mut self) -> io::Result<Option<ControlRequest>> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(serde_json::from_slice(&self.input[..end])?));
            }
            if self.input.len() > MAX_REQUEST {
                return Err(ErrorKind::FileTooLarge.into());
            }
        }
    }

    /// Whether the client has closed its end.
    pub(crate) fn is_gone(&mut self) -> bool {
        !matches!(self.stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Answers the request. A client that does not read its answer is dropped.
    pub(crate) fn answer(&self, answer: &Answer) {
        let _ = self.stream.set_nonblocking(false);
        let _ = self.stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let _ = (&self.stream).write_all(&jsonl::line(answer));
    }

    /// Returns the descriptor that is readable when the client has sent something.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Sends a request to the supervisor, and returns its answer. Returns `None` if no supervisor listens, or if it ends before it
/// answers.
pub(crate) fn request(
    data_dir: &Path,
    request: &ControlRequest,
    timeout: Option<Duration>,
) -> io::Result<Option<Answer>> {
    let path = SocketPath::new(data_dir)?;
    let mut stream = match UnixStream::connect(&path.path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        connected => connected?,
    };
    stream.set_read_timeout(timeout)?;
    // The supervisor closes the connection after its answer, and that of `down` once the next supervisor can start.
    let mut line = String::new();
    let exchanged = stream.write_all(&jsonl::line(request)).and_then(|()| stream.read_to_string(&mut line));
    match exchanged {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(serde_json::from_str(&line)?)),
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the error for a name that no daemon has.
pub(crate) fn unknown_daemon(name: &str) -> String {
    format!("no daemon is named {name}; `rigup ps -a` shows the daemons")
}

/// Returns the answer with this error.
pub(crate) fn refused(error: impl Into<String>) -> Answer {
    Answer { daemons: Vec::new(), error: Some(error.into()) }
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
            request(&data_dir, &ControlRequest::AwaitReady, None).unwrap().is_none(),
            "no supervisor listens"
        );
        let server = Server::open(&data_dir).unwrap();
        std::thread::scope(|scope| {
            let answer = scope
                .spawn(|| request(&data_dir, &ControlRequest::Stop { names: vec!["a".to_owned()] }, None));
            let mut client = std::iter::repeat_with(|| server.accept()).find_map(|client| client).unwrap();
            let received = std::iter::repeat_with(|| client.read().unwrap()).find_map(|request| request);
            assert!(matches!(received, Some(ControlRequest::Stop { names }) if names == ["a"]));
            client.answer(&Answer { daemons: vec![json!({"name": "a"})], error: None });
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
        drop(UnixListener::bind(folder.path().join(SOCKET)).unwrap());
        let server = Server::open(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(server);
        assert!(!folder.path().join(SOCKET).exists());
    }
}
