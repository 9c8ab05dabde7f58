//! Starting, supervising and terminating processes: the only place that does so, and the only one with `unsafe` code.

pub mod capture;
pub mod foreground;
pub mod handle;
pub mod kill;
pub mod lock;
pub mod poll;
pub mod recover;
pub mod redact;
pub mod run_dir;
pub mod run_dirs;
pub mod signals;
pub mod spawn;
pub mod subreaper;
pub mod supervise;
pub mod system;
pub mod tail;
pub mod terminate;
pub mod tree;
pub mod usage;
pub mod wait;
pub mod waiter;
