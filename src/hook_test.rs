//! Checks a hook against the contract: rigup runs it with good, absent, hostile and huge arguments, and checks each run.
//!
//! [`suite`] decides which runs a check needs, and runs the hook as the engine runs any hook; [`checks`] only evaluates
//! the results of the runs.

pub(crate) mod check;
pub(crate) mod checks;
pub(crate) mod expected_record;
pub(crate) mod request;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod suite;
