//! Detached runs: commands that outlive the process that started them, with their exit code, messages and a result.

pub mod gc;
pub mod messages;
mod prune;
mod retention;
pub mod start;
