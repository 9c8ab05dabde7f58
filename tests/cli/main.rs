//! The whole command line, against real hooks, files and processes.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start rigup and read files by themselves, and what goes wrong in them is a failure"
)]

mod appearance;
mod apply;
mod bad_input;
mod batch;
mod built_in;
mod commands;
mod config;
mod conformance;
mod contract;
mod corpus;
mod crash;
mod docs;
mod ending;
mod event;
mod gc;
mod init;
mod injection;
mod install;
mod interrupt;
mod links;
mod lock;
mod more_providers;
mod policy;
mod providers;
mod readme;
mod runs;
mod snapshot;
mod test_context;
mod timings;
mod together;
mod trust;
