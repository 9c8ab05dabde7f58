//! rigup installs the binaries that plugins require, runs the plugins' hooks, and records every process that it starts.
//!
//! [`engine::Engine`] is the library's public API: it opens a data dir, installs, runs events, starts runs and cleans
//! up. [`settings::Settings`] has the folders that it uses.
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

mod boolean;
mod both;
mod byte_size;
mod cli;
mod clock;
mod duration;
mod exhaustion;
mod fs;
mod hook;
mod hook_test;
mod install;
mod jsonl;
mod lockfile;
mod machine;
mod model;
mod plugin;
mod process;
mod protocol;
mod report;
mod runs;
mod shebang;
mod shell;
mod sorting;
mod store;
mod supervisor;
mod toolkit;
mod trust;

/// The items that the executable, the tests, the benches and the fuzz targets use. They change without notice.
#[doc(hidden)]
pub mod internal {
    pub use crate::cli::main;
    pub use crate::fs::digest::sha256;
    pub use crate::fs::link::target as link_target;
    pub use crate::install::attempt::arguments;
    pub use crate::install::link::link;
    pub use crate::jsonl::MAX_LINE;
    pub use crate::lockfile::{Lockfile, PinError};
    pub use crate::model::name::{MAX_CHARS, link_name};
    pub use crate::model::{
        Binary, BinaryId, BinaryName, ExitReason, Guid, Identity, Machine, MachineFacts, MachineId, Outcome,
        Process, ProcessExit, ProcessId, ProcessSpec, ProcessType, ProviderName, Version, VersionRange,
        Warnings,
    };
    pub use crate::plugin::config::provider::ProviderConfig;
    pub use crate::plugin::config::value::{Origin, SettingResolver, Sources};
    pub use crate::plugin::hook_name::{Background, HookName, canonical_event};
    pub use crate::process::signals::Interrupt;
    pub use crate::process::terminate::GRACE;
    pub use crate::process::wrapper::LinkKind;
    pub use crate::store::{FILE_NAME, ProcessFilter, Store};
    pub use crate::toolkit::request::HookRequest;

    pub mod archive {
        pub use crate::toolkit::unpack::unpack;
    }
    pub mod asset {
        pub use crate::toolkit::asset::platform::Platform;
        pub use crate::toolkit::asset::rank;
    }
    pub mod checksum {
        pub use crate::toolkit::checksum::{Checksum, find};
    }
    pub mod github {
        pub use crate::report::ci::github::{command, error};
    }
    pub mod plan {
        pub use crate::install::plan::{HostProviders, Request, Selection, plan};
    }
    pub mod protocol {
        pub use crate::protocol::{MAX_DIAGNOSTICS, Record, RecordReader, Unparsed, read};
    }
    pub mod requirement {
        pub use crate::plugin::requirement::{
            Providers, Requirement, Substitution, parse_entry, parse_line, read_from,
        };
    }
    pub mod schema {
        pub use crate::plugin::config::schema::{Property, parse};
    }
    pub mod timings {
        pub use crate::report::timings::{AttemptTiming, HookTiming, TimedCommand, Timings, page};
    }
}
