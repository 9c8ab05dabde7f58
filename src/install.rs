//! From requirements to linked binaries.

pub mod attempt;
pub mod event;
pub mod link;
pub mod pin;
pub mod plan;
pub mod probe;
pub mod provider_deps;
pub mod register;
pub mod relocatable;
pub mod resolver;
pub mod scheduler;
pub mod status;
pub mod verdict;
pub mod verify;
