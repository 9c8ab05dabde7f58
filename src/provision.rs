//! From requirements to linked binaries.

pub mod adopt;
pub mod link;
pub mod linker;
pub mod lock;
pub mod needs;
pub mod plan;
pub mod probe;
pub mod question;
pub mod resolve;
pub mod verdict;
pub mod verify;
