//! Checks a hook against the contract: rigup runs it with good, absent, hostile and huge arguments, and checks each run.
//!
//! [`runner`] runs the hook as the engine runs any hook, and [`suite`] decides which runs a check needs; [`checks`] only
//! compares what they observed.

pub(crate) mod check;
pub(crate) mod checks;
pub(crate) mod request;
pub(crate) mod result;
pub(crate) mod run;
pub(crate) mod runner;
pub(crate) mod sandbox;
pub(crate) mod suite;
