//! Messages on standard error.

use std::io::{self, Write};

use crate::engine::EngineEvent;
use crate::report::text::printable;

/// Prints a message to standard error. Escape sequences in it are neutralized, because paths and files that others wrote
/// may be part of it. It is written in one call, because other rigups may print at the same time. A closed standard error
/// is no reason to fail.
pub(crate) fn print_message(text: &str) {
    let lines: String = text.split('\n').map(|line| printable(line) + "\n").collect();
    let _ = io::stderr().write_all(lines.as_bytes());
}

/// Prints a warning.
pub(crate) fn warn(text: &str) {
    print_message(&format!("warning: {text}"));
}

/// Prints an error.
pub(crate) fn error(text: &str) {
    print_message(&format!("error: {text}"));
}

/// Prints an event of the engine that is not progress of a request.
pub(crate) fn print_event(event: &EngineEvent<'_>) {
    match event {
        EngineEvent::Install(..) => {}
        EngineEvent::Diagnostic(diagnostic) => error(&diagnostic.to_string()),
        EngineEvent::Warning(text) => warn(text),
        EngineEvent::Error(text) => error(text),
        EngineEvent::Waiting(text) => print_message(text),
    }
}
