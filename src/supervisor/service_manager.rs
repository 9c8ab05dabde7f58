//! The service manager that started the supervisor, such as systemd: what `sd_notify(3)` tells it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::settings::Environment;

/// The variables by which a service manager says where and how often it expects messages. They concern this process alone.
pub(crate) const VARIABLES: [&str; 3] = [SOCKET, WATCHDOG, WATCHDOG_PID];

const SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// The service manager of a supervisor.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// The interval of its watchdog messages.
    watchdog: Option<Duration>,
    /// When the next of them is due.
    next: Instant,
    is_ready: bool,
    is_stopping: bool,
}

impl ServiceManager {
    /// Returns the service manager that the environment names, or `None` if there is none.
    pub(crate) fn of(environment: &Environment) -> io::Result<Option<Self>> {
        let Some(path) = environment.get(SOCKET).filter(|path| !path.is_empty()) else { return Ok(None) };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let number = |name: &str| environment.text(name).and_then(|text| text.parse::<u64>().ok());
        let is_own = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
        // Half the time, as sd_watchdog_enabled(3) recommends.
        let watchdog = number(WATCHDOG).filter(|time| is_own && *time > 0);
        let watchdog = watchdog.map(|time| Duration::from_micros(time) / 2);
        let (address, next) = (address(path)?, Instant::now());
        Ok(Some(Self { socket, address, watchdog, next, is_ready: false, is_stopping: false }))
    }

    /// Tells the service manager that the supervisor works, and whether it stops all daemons. Called in each turn of the
    /// control loop. Returns the time until the next call has to come.
    pub(crate) fn tick(&mut self, is_ending: bool) -> Option<Duration> {
        if !self.is_ready {
            self.is_ready = true;
            self.send("READY=1");
        }
        if is_ending && !self.is_stopping {
            self.is_stopping = true;
            self.send("STOPPING=1");
        }
        let (interval, now) = (self.watchdog?, Instant::now());
        if self.next <= now {
            self.next = now + interval;
            self.send("WATCHDOG=1");
        }
        Some(self.next - now)
    }

    /// Sends a message. A service manager that does not receive it decides itself what follows.
    fn send(&self, message: &str) {
        let _ = self.socket.send_to_addr(message.as_bytes(), &self.address);
    }
}

/// Returns the address of a socket: a path, or the name of an abstract one after `@`.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    match path.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => SocketAddr::from_pathname(path),
    }
}
