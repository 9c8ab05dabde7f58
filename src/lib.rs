//! rigup gets the binaries that plugins need, runs the plugins' hooks, and keeps a record of every process it starts.
//!
//! The line that all data takes, in one direction:
//!
//! ```text
//! plugins on disk -> Requirement -> Plan -> hook run -> Attempt -> Binary record -> link -> report
//! ```

pub mod clock;
pub mod record;
