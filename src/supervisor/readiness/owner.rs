//! Which process answers at an address: only the daemon itself counts as ready.

use std::net::{ToSocketAddrs, UdpSocket};

use crate::model::Process;
use crate::process::{handle, system, tree};

/// Returns a process that listens at an address of this machine although the execution has not started it, if nothing that
/// the execution has started listens there. Listeners that this user cannot see are not looked at.
pub(super) fn foreign_listener(host: &str, port: u16, execution: &Process) -> Option<u32> {
    let listeners = system::listeners(port);
    let first = *listeners.first()?;
    // Only an address of this machine can be bound.
    let is_local = |address| UdpSocket::bind((address, 0)).is_ok();
    if !(host, port).to_socket_addrs().ok()?.any(|address| is_local(address.ip())) {
        return None;
    }
    let root = handle::find_running(execution).ok()??;
    let tree = tree::find(execution.id, root).all();
    let is_own = |pid: &u32| *pid == root.pid || tree.iter().any(|entry| entry.pid == *pid);
    (!listeners.iter().any(is_own)).then_some(first)
}
