//! What the engine reports while it works. The caller decides what to print.

use crate::install::event::InstallEvent;
use crate::install::plan::Request;
use crate::plugin::requirement::Diagnostic;

/// Something that happens while the engine works.
#[derive(Debug)]
pub enum EngineEvent<'a> {
    /// The state of a request changed.
    Install(&'a Request, InstallEvent),
    /// A file or a folder of a plugin cannot be used.
    Diagnostic(&'a Diagnostic),
    /// Something that the user should know and that changes nothing.
    Warning(String),
    /// Something could not be recorded; the work itself goes on.
    Error(String),
    /// rigup waits for another rigup.
    Waiting(String),
}

/// The callback of an engine. Several threads may call it at the same time.
pub type OnEvent<'e> = &'e (dyn Fn(&EngineEvent<'_>) + Sync + 'e);
