//! The events that the engine reports while it works. The caller decides what to print.

use crate::install::event::InstallEvent;
use crate::model::BinaryName;
use crate::plugin::requirement::Diagnostic;

/// An event of the engine.
#[derive(Debug)]
pub enum EngineEvent<'a> {
    /// The state of the request for this binary changed.
    Install(&'a BinaryName, InstallEvent),
    /// A file or a folder of a plugin cannot be used.
    Diagnostic(&'a Diagnostic),
    /// A warning for the user, which does not change the result.
    Warning(String),
    /// A result could not be recorded; the engine continues its work.
    Error(String),
    /// rigup waits for another rigup.
    Waiting(String),
}

/// The callback of an engine. Several threads may call it at the same time.
pub type OnEvent<'e> = &'e (dyn Fn(&EngineEvent<'_>) + Sync + 'e);
