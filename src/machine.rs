//! The facts of this machine, gathered without network traffic, child processes or the environment. A fact that cannot be
//! found out is empty, which is not an error.

pub mod config;
pub mod facts;
pub mod guid;
pub mod interface;
mod stats;
