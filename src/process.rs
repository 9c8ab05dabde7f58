//! Starting, supervising and terminating processes. No other module does so, and no other has `unsafe` code.

pub(crate) mod capture;
pub(crate) mod drain;
pub(crate) mod executable;
pub(crate) mod foreground;
mod group_witness;
pub(crate) mod handle;
pub(crate) mod kill;
pub(crate) mod lock;
pub(crate) mod log;
mod memory;
pub(crate) mod poll;
pub(crate) mod recover;
pub(crate) mod redact;
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
pub(crate) mod usage;
pub(crate) mod wait;
pub(crate) mod waiter;
pub(crate) mod wrapper;
