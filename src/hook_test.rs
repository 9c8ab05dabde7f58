//! Checks a hook against the contract: rigup runs it with good, absent, hostile and huge arguments, and checks each run.
//!
//! [`runner`] runs the hook as the engine runs any hook, and [`suite`] decides which runs a check needs; [`checks`] only
//! compares what they observed.

pub mod check;
pub mod checks;
pub mod request;
pub mod result;
pub mod run;
pub mod runner;
pub mod sandbox;
pub mod suite;
