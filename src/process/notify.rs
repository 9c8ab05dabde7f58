//! Notifications of a process about its state, by the protocol of systemd: datagrams with lines such as `READY=1`, which the
//! waiter of the process receives.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::fs::{atomic, regular_file};
use crate::model::ProcessId;
use crate::process::{messages, poll, system};

/// The variable with the address of the socket.
pub(crate) const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// The socket and the state in the run dir.
const SOCKET: &str = "notify.sock";
const STATE: &str = "notify.json";

/// The longest path of a socket, in bytes.
const MAX_PATH: usize = 107;

/// The largest state, in bytes.
const MAX_STATE: u64 = 4096;

/// How long a process that notifies waits until its notification was handled, as `systemd-notify` does.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a process has notified.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notified {
    /// Whether it is ready.
    pub is_ready: bool,
    /// How often it has requested more time.
    pub extensions: u64,
    /// The time that it requested last.
    pub extension: Duration,
}

/// Returns the address at which the waiter of a process listens: a socket in the run dir, or an abstract one if that path is
/// too long, or if the process may not enter the run dir.
pub(crate) fn address(run_dir: &Path, id: ProcessId, has_other_user: bool) -> String {
    let path = run_dir.join(SOCKET);
    match path.to_str() {
        Some(path) if path.len() <= MAX_PATH && !has_other_user => path.to_owned(),
        _ => abstract_address(id),
    }
}

fn abstract_address(id: ProcessId) -> String {
    format!("@rigup-{id}")
}

/// Returns what a process has notified so far.
pub(crate) fn read(run_dir: &Path) -> Notified {
    let state = regular_file::read(&run_dir.join(STATE), MAX_STATE).ok();
    state.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Opens the socket of a process if its environment says that it has one.
pub(crate) fn listener(
    run_dir: &Path,
    id: ProcessId,
    variable: Option<&OsStr>,
) -> io::Result<Option<NotifyListener>> {
    let own = [address(run_dir, id, false), abstract_address(id)];
    let Some(address) = own.iter().find(|address| variable == Some(OsStr::new(address))) else {
        return Ok(None);
    };
    let socket = system::notify_socket(address)?;
    if !address.starts_with('@') {
        fs_err::set_permissions(address, Permissions::from_mode(0o600))?;
    }
    Ok(Some(NotifyListener { socket, run_dir: run_dir.to_owned(), notified: Notified::default() }))
}

/// Removes the socket of a process that has exited.
pub(crate) fn remove(run_dir: &Path) {
    let _ = fs_err::remove_file(run_dir.join(SOCKET));
}

/// The waiter's end of the socket.
#[derive(Debug)]
pub(crate) struct NotifyListener {
    socket: UnixDatagram,
    run_dir: PathBuf,
    notified: Notified,
}

impl NotifyListener {
    /// Handles notifications in a thread, as long as this process runs.
    pub(crate) fn listen(mut self) {
        let _ = std::thread::Builder::new().spawn(move || {
            while let Ok((text, sender)) = system::receive_notification(&self.socket) {
                if sender.is_some_and(is_descendant) {
                    self.handle(&String::from_utf8_lossy(&text));
                }
            }
        });
    }

    /// Handles one notification. Lines of unknown meaning are ignored.
    fn handle(&mut self, text: &str) {
        let before = self.notified.clone();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "READY" if value == "1" => self.notified.is_ready = true,
                "STOPPING" if value == "1" => self.post("stopping"),
                "STATUS" => self.post(value),
                "EXTEND_TIMEOUT_USEC" => {
                    if let Ok(micros) = value.parse() {
                        self.notified.extension = Duration::from_micros(micros);
                        self.notified.extensions += 1;
                    }
                }
                _ => {}
            }
        }
        if self.notified != before
            && let Ok(state) = serde_json::to_vec(&self.notified)
        {
            let _ = atomic::write(&self.run_dir.join(STATE), &state);
        }
    }

    /// Adds a progress message, as `rigup post` does.
    fn post(&self, text: &str) {
        let _ = messages::post(&self.run_dir, text.into(), Map::new());
    }
}

/// Whether a process is a descendant of this one. All descendants of a waiter belong to its process, because a waiter adopts
/// the orphans among them.
fn is_descendant(mut pid: u32) -> bool {
    let this = std::process::id();
    while let Ok(Some(entry)) = system::entry(pid) {
        if entry.ppid == this {
            return true;
        }
        pid = entry.ppid;
    }
    false
}

/// Notifies the listener at an address, and waits until it has handled that.
pub(crate) fn send(address: &str, text: &str) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    system::send_notification(address, text, None)?;
    system::send_notification(address, "BARRIER=1", Some(writer.as_fd()))?;
    drop(writer);
    poll::readable([reader.as_fd()], Instant::now() + BARRIER_TIMEOUT);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_too_long_or_out_of_reach_is_abstract() {
        let id = ProcessId::generate();
        assert_eq!(address(Path::new("/data/x"), id, false), "/data/x/notify.sock");
        let long = PathBuf::from("/").join("x".repeat(100));
        for address in [address(&long, id, false), address(Path::new("/data/x"), id, true)] {
            assert_eq!(address, format!("@rigup-{id}"));
        }
    }

    #[test]
    fn lines_of_a_notification_change_the_state_and_post_messages() {
        let folder = tempfile::tempdir().unwrap();
        let (run_dir, notified) = (folder.path().to_owned(), Notified::default());
        let mut listener = NotifyListener { socket: UnixDatagram::unbound().unwrap(), run_dir, notified };
        listener.handle("STATUS=loading 3=4\nMAINPID=1\nnoise\nREADY=0\nEXTEND_TIMEOUT_USEC=soon\n");
        assert_eq!(read(folder.path()), Notified::default());
        listener.handle("EXTEND_TIMEOUT_USEC=1500000\n");
        listener.handle("READY=1\nSTOPPING=1");
        let expected = Notified { is_ready: true, extensions: 1, extension: Duration::from_millis(1500) };
        assert_eq!(read(folder.path()), expected);
        let texts: Vec<_> =
            messages::messages(folder.path()).into_iter().map(|message| message["text"].clone()).collect();
        assert_eq!(texts, ["loading 3=4", "stopping"]);
    }
}
