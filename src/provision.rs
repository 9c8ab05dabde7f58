//! From requirements to linked binaries.

pub mod adopt;
pub mod ask;
pub mod link;
pub mod linker;
pub mod lock;
pub mod locked;
pub mod needs;
pub mod plan;
pub mod portable;
pub mod probe;
pub mod question;
pub mod rebuild;
pub mod resolve;
pub mod resolver;
pub mod schedule;
pub mod standing;
pub mod verdict;
pub mod verify;
pub mod waits;
mod work;
