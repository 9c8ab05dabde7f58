//! The facts of this machine, gathered without network traffic, child processes or the environment. A fact that cannot be
//! found out is empty, which is not an error.

pub(crate) mod config;
pub(crate) mod facts;
pub(crate) mod guid;
pub(crate) mod interface;
mod stats;
