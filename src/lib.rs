//! rigup installs the binaries that plugins require, runs the plugins' hooks, and records every process that it starts.
//!
//! [`engine::Engine`] is the library's public face: it opens a data dir, installs, runs events, starts runs and cleans up.
//! [`settings::Settings`] says which folders it uses. Everything else is internal; some modules are reachable for the
//! command line, the tests, the benches and the fuzz targets, and change without notice.
//!
//! Data flows one way:
//!
//! ```text
//! plugins on disk -> Requirement -> Plan -> hook run -> Attempt -> Binary record -> link -> report
//! ```
//!
//! Code that plans does not run anything, code that runs something does not print, and code that prints does not decide.
//! CONTRIBUTING.md shows the source layout, and `tests/source` enforces it.

pub mod engine;
pub mod settings;

#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod exhaustion;
#[doc(hidden)]
pub mod fs;
#[doc(hidden)]
pub mod hook;
#[doc(hidden)]
pub mod hook_test;
#[doc(hidden)]
pub mod install;
#[doc(hidden)]
pub mod jsonl;
#[doc(hidden)]
pub mod lockfile;
#[doc(hidden)]
pub mod machine;
#[doc(hidden)]
pub mod model;
#[doc(hidden)]
pub mod plugin;
#[doc(hidden)]
pub mod process;
#[doc(hidden)]
pub mod protocol;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod runs;
#[doc(hidden)]
pub mod shell;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod toolkit;
#[doc(hidden)]
pub mod trust;
