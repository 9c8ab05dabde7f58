//! The `rigup hook` commands for hook scripts: the parts of the contract that are hard in shell.

pub mod batch;
pub mod begin;
pub mod binary;
pub mod lock;
pub mod pin;
pub mod policy;
pub mod request;
