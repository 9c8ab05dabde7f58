//! rigup gets the binaries that plugins need, runs the plugins' hooks, and keeps a record of every process it starts.
//!
//! The line that all data takes, in one direction:
//!
//! ```text
//! plugins on disk -> Requirement -> Plan -> hook run -> Attempt -> Binary record -> link -> report
//! ```
//!
//! What plans does not run; what runs does not print; what prints does not decide. A module imports only from lower
//! floors:
//!
//! | floor | modules |
//! | --- | --- |
//! | 9 | `main.rs`: arguments in, exit code out |
//! | 8 | [`cli`]: one file per command; calls the library and prints |
//! | 7 | [`hook_test`]: whether a hook keeps the contract; [`toolkit`]: the `rigup hook ...` commands for hook scripts |
//! | 6 | [`install`]: plan, schedule, resolve, verify, probe, link, pin; [`runs`]: detached runs |
//! | 5 | [`hook`]: argv and environment of a hook; one run of it; all hooks of an event |
//! | 4 | [`process`]: handle, spawn, supervise, waiter, terminate, recover, tree, run dir, lock |
//! | 3 | [`plugin`]: discovery, requirements, settings; [`store`]: SQLite; [`machine`]: facts of the host; [`report`]: tables, trees, the timings page; [`lockfile`]: the contents of `rigup.lock` |
//! | 2 | [`protocol`]: a hook's output -> records; [`settings`] |
//! | 1 | [`model`]: the nouns and their transitions |
//! | 0 | [`fs`], [`trust`], [`exhaustion`], [`clock`], [`jsonl`] |

pub mod cli;
pub mod clock;
pub mod engine;
pub mod exhaustion;
pub mod fs;
pub mod hook;
pub mod hook_test;
pub mod install;
pub mod jsonl;
pub mod lockfile;
pub mod machine;
pub mod model;
pub mod plugin;
pub mod process;
pub mod protocol;
pub mod report;
pub mod runs;
pub mod settings;
pub mod shell;
pub mod store;
pub mod toolkit;
pub mod trust;
