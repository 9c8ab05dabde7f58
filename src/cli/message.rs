//! Messages on standard error.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::ci_log;
use crate::cli::output_queue::STDERR;
use crate::clock;
use crate::engine::catalog::Catalog;
use crate::engine::{EngineEvent, ExitStatus};
use crate::report::text::printable;

/// Prints a formatted message.
macro_rules! message {
    ($($argument:tt)*) => { $crate::cli::message::print_message(&format!($($argument)*)) };
}

/// Prints a formatted warning.
macro_rules! warning {
    ($($argument:tt)*) => { $crate::cli::message::print_message(&format!("warning: {}", format_args!($($argument)*))) };
}

/// Prints a formatted error.
macro_rules! error {
    ($($argument:tt)*) => { $crate::cli::message::print_message(&format!("error: {}", format_args!($($argument)*))) };
}

pub(crate) use {error, message, warning};

/// Whether each line begins with the time.
static HAS_TIMES: AtomicBool = AtomicBool::new(false);

/// Begins each further line with the time, because standard error is a log.
pub(crate) fn print_times() {
    HAS_TIMES.store(true, Ordering::Relaxed);
}

/// Prints a message to standard error, as one line. Replaces control characters and line breaks, because the message may
/// contain arguments, paths and lines of files that others wrote, and makes it inert for the CI system that reads it. Writes
/// the message in one call, because other rigups may print at the same time. Ignores errors, because a closed standard error
/// does not make a command fail.
pub(crate) fn print_message(text: &str) {
    let has_times = HAS_TIMES.load(Ordering::Relaxed);
    let time = if has_times { clock::format(clock::now()) + " " } else { String::new() };
    let _ = STDERR.write(ci_log::inert(time + &printable(text) + "\n").as_bytes());
}

/// Prints an event of the engine, except for the progress of a request.
pub(crate) fn print_event(event: &EngineEvent<'_>) {
    match event {
        EngineEvent::Install(..) => {}
        EngineEvent::Diagnostic(diagnostic) => error!("{diagnostic}"),
        EngineEvent::Warning(text) => warning!("{text}"),
        EngineEvent::Error(text) => error!("{text}"),
        EngineEvent::Waiting(text) => message!("{text}"),
    }
}

/// Prints the problems that were found in plugin folders, and returns the resulting exit status.
pub(crate) fn print_diagnostics(catalog: &Catalog) -> ExitStatus {
    for warning in catalog.warnings() {
        warning!("{warning}");
    }
    for diagnostic in &catalog.discovery.diagnostics {
        error!("{diagnostic}");
    }
    diagnostics_status(catalog)
}

/// Returns the exit status that problems in plugin folders lead to.
pub(crate) fn diagnostics_status(catalog: &Catalog) -> ExitStatus {
    if catalog.discovery.diagnostics.is_empty() { ExitStatus::Success } else { ExitStatus::Incomplete }
}
