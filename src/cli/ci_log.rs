//! The log of a CI job, which standard output and standard error are part of: the system that reads it finds only rigup's own
//! commands in there.

use std::sync::{PoisonError, RwLock};

use crate::report::ci::CiSystem;

/// The system that reads what this process prints.
static READER: RwLock<Option<CiSystem>> = RwLock::new(None);

/// Sets the system that reads what this process prints from now on.
pub(crate) fn set_reader(system: Option<CiSystem>) {
    *READER.write().unwrap_or_else(PoisonError::into_inner) = system;
}

/// Returns the system that reads what this process prints, or `None` if there is none.
pub(crate) fn reader() -> Option<CiSystem> {
    *READER.read().unwrap_or_else(PoisonError::into_inner)
}

/// Returns lines in which the reader finds no command and no heading.
pub(crate) fn inert(lines: String) -> String {
    match reader() {
        Some(system) => system.inert(&lines),
        None => lines,
    }
}

/// Returns the same JSON, in which the reader finds no command.
pub(crate) fn inert_json(json: Vec<u8>) -> Vec<u8> {
    match reader() {
        Some(_) => CiSystem::inert_json(&String::from_utf8_lossy(&json)).into_bytes(),
        None => json,
    }
}
