//! Locks between rigups, each of which is an advisory lock on a file or folder.

pub mod folder;
mod holder;
mod named;
pub mod process_lock;

pub use holder::Holder;
pub use named::{Busy, Lock, LockError};
