//! Locks between rigups, each of which is an advisory lock on a file or folder.

pub(crate) mod folder;
mod holder;
mod named;
pub(crate) mod process_lock;

pub(crate) use holder::Holder;
pub(crate) use named::{Busy, Lock, LockError};
