//! Starting, supervising and terminating processes. No other module does so, and no other has `unsafe` code.

pub(crate) mod capture;
pub(crate) mod drain;
pub(crate) mod executable;
pub(crate) mod foreground;
mod group_witness;
pub(crate) mod handle;
mod heap;
pub(crate) mod inherited_lock;
pub(crate) mod kill;
pub(crate) mod launcher;
pub(crate) mod lifetime;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod log_series;
mod memory;
pub(crate) mod messages;
pub(crate) mod notify;
pub(crate) mod poll;
mod process_table;
pub(crate) mod recover;
pub(crate) mod redact;
pub(crate) mod reserved_exit;
pub(crate) mod rotation;
pub(crate) mod run_dir;
pub(crate) mod sandbox;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod subreaper;
pub(crate) mod supervise;
pub(crate) mod system;
pub(crate) mod tail;
pub(crate) mod terminate;
pub(crate) mod tree;
pub(crate) mod tree_usage;
pub(crate) mod usage;
pub(crate) mod wait;
pub(crate) mod waiter;
pub(crate) mod wrapper;

/// Prepares the heap and the signals of the executable.
pub(crate) fn prepare_executable() {
    heap::prepare_executable();
    signals::prepare_executable();
}
