//! Detached runs: commands that outlive whoever started them, with a true ending, messages and a result.

pub mod gc;
pub mod notes;
pub(crate) mod remove;
pub mod start;
mod sweep;
