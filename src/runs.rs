//! Detached runs: commands that outlive the process that started them, with their exit code, messages and a result.

mod age;
pub(crate) mod gc;
mod prune;
pub(crate) mod start;
