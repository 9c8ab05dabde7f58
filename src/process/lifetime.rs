//! A rigup that must not outlive another one.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::model::ProcessId;
use crate::process::handle::Handle;
use crate::process::{poll, signals};
use crate::store::Store;

/// The interval at which a process is waited for.
const INTERVAL: Duration = Duration::from_hours(1);

/// Interrupts this process, whose signals are caught, once the rigup with this record is gone, even if that was killed.
/// Returns whether it still runs.
pub(crate) fn end_with(store: &Store, rigup: Option<ProcessId>) -> io::Result<bool> {
    let rigup = rigup.map(|id| store.process(id)).transpose().map_err(io::Error::other)?.flatten();
    let Some(rigup) = rigup.map_or(Ok(None), |rigup| Handle::open_running(&rigup))? else { return Ok(false) };
    let follow = move || {
        while poll::readable([rigup.fd()], Instant::now() + INTERVAL) != [true] {}
        // After a second signal, there would be no grace period.
        if signals::interrupted_by().is_none() {
            let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::TERM);
        }
    };
    std::thread::Builder::new().spawn(follow).map(|_| true)
}
