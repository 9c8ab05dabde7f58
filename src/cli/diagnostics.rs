//! The problems that were found in plugin folders.

use crate::cli::message::{error, warning};
use crate::engine::ExitStatus;
use crate::engine::catalog::Catalog;

/// Prints the problems of a catalog, and returns the exit status that they lead to.
pub(crate) fn print(catalog: &Catalog) -> ExitStatus {
    for warning in &catalog.discovery.warnings {
        warning!("{warning}");
    }
    for diagnostic in &catalog.discovery.diagnostics {
        error!("{diagnostic}");
    }
    if catalog.discovery.diagnostics.is_empty() { ExitStatus::Success } else { ExitStatus::Incomplete }
}
