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
//! | 8 | `main.rs`: arguments in, exit code out |
//! | 7 | [`cli`]: one file per command; calls the library, hands values to `report` |
//! | 6 | [`toolkit`]: what `rigup hook ...` offers to hook scripts; [`conformance`]: whether a hook keeps the contract |
//! | 5 | [`provision`]: plan, resolve, judge, verify, probe, link, lock; [`detached`]: runs that outlive their caller |
//! | 4 | [`hook`]: argv and environment of a hook; one run of it; all hooks of an event |
//! | 3 | [`process`]: identity, spawn, waiter, watch, stop, kill, the process table, run dirs, signals |
//! | 2 | [`protocol`]: a hook's output -> records; [`lockfile`]: what `rigup.lock` says; [`plugin`]: folders, hook names, requirements, settings; [`store`]: SQLite; [`host`]: facts of the machine; [`report`]: tables, trees, and the page of timings |
//! | 1 | [`record`]: the nouns and their transitions; [`settings`] |
//! | 0 | [`clock`]: time and ids; [`digest`]: how digests are spelled; [`scarcity`]: what the system may be out of, and what to do then; [`jsonl`]: bytes -> lines; [`trust`]: who may have written a file |

pub mod cli;
pub mod clock;
pub mod conformance;
pub mod detached;
pub mod digest;
pub mod hook;
pub mod host;
pub mod jsonl;
pub mod lockfile;
pub mod plugin;
pub mod process;
pub mod protocol;
pub mod provision;
pub mod record;
pub mod report;
pub mod scarcity;
pub mod settings;
pub mod store;
pub mod toolkit;
pub mod trust;
