//! Facts about this machine, gathered without network traffic, child processes or environment variables. A fact that
//! cannot be determined is left empty.

pub(crate) mod arm;
pub(crate) mod config;
pub(crate) mod facts;
pub(crate) mod guid;
pub(crate) mod interface;
pub(crate) mod libc;
mod stats;
