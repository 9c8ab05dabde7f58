//! rigup gets the binaries that plugins need, runs the plugins' hooks, and keeps a record of every process it starts.
//!
//! The line that all data takes, in one direction:
//!
//! ```text
//! plugins on disk -> Requirement -> Plan -> hook run -> Attempt -> Binary record -> link -> report
//! ```

pub mod cli;
pub mod clock;
pub mod hook;
pub mod host;
pub mod jsonl;
pub mod plugin;
pub mod process;
pub mod protocol;
pub mod provision;
pub mod record;
pub mod report;
pub mod settings;
pub mod store;
pub mod toolkit;
