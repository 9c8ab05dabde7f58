//! Detached runs: commands that outlive the process that started them, with their exit code, messages and a result.

pub mod gc;
pub mod messages;
pub(crate) mod remove;
mod retention;
pub mod start;
