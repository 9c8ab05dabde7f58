//! Starting, watching and ending processes: the only place that does so, and the only one with `unsafe`.

pub mod attached;
pub mod capture;
pub mod folder_lock;
pub mod identity;
pub mod kill;
pub mod live;
pub mod orphans;
pub mod poll;
mod posix_spawn;
pub mod reap;
pub mod redact;
pub mod run_dir;
pub mod signals;
pub mod spawn;
pub mod stop;
pub mod system;
pub mod table;
pub mod tail;
pub mod vigil;
pub mod wait;
pub mod waiter;
pub mod watch;
