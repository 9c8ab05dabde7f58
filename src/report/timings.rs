//! The timings of a command: how long each hook waited, ran and was verified, and which hooks determined how long the
//! command took.

mod axis;
pub(crate) mod chart;
mod hook_timing;
mod lanes;
mod page;
mod provider_total;
mod record;
mod timed_command;

pub use hook_timing::{AttemptTiming, HookTiming};
pub use page::page;
pub(crate) use record::record;
pub use timed_command::{TimedCommand, Timings};

#[cfg(test)]
mod tests;
