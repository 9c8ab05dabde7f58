//! `rigup list`: the binaries of this machine.

use crate::cli::command::{CommandResult, Context};
use crate::cli::message::{print_diagnostics, print_event};
use crate::engine::catalog::Catalog;
use crate::engine::inventory::{self, ListedBinary};
use crate::report::table::{Cell, Column, Table};
use crate::report::units;

/// Runs `rigup list`.
pub(crate) fn list(context: &mut Context) -> CommandResult {
    let catalog = Catalog::read(&context.settings, &[], &print_event)?;
    let listed = match context.store()? {
        Some(store) => inventory::list(&context.settings, &store, &catalog)?,
        None => Vec::new(),
    };
    let columns = [
        Column::new("BINARY").cut_end(16),
        Column::new("STATUS"),
        Column::new("VERSION").cut_end(8),
        Column::new("PROVIDER").cut_end(8),
        Column::new("SIZE").optional(2),
        Column::new("REQUIRED BY").cut_end(11).optional(1),
        Column::new("LAST ERROR").cut_end(12),
    ];
    let records = listed.iter().map(ListedBinary::to_record);
    context.output.list(records, "no binaries", || Table::with_rows(columns, listed.iter().map(row)));
    Ok(print_diagnostics(&catalog))
}

fn row(listed: &ListedBinary) -> Vec<Cell> {
    let ListedBinary { binary, bytes, required_by, link_error, problem, .. } = listed;
    let (status, version, provider) = match binary.installed() {
        Some(installed) => {
            let status = match (link_error, problem) {
                (Some(_), _) => Cell::failure("not linked"),
                (None, Some(_)) => Cell::failure("changed"),
                (None, None) => Cell::success("installed"),
            };
            (status, installed.version.as_str(), installed.binprovider.as_str())
        }
        None => (Cell::failure("queued"), "", binary.binproviders.as_str()),
    };
    let last_error = match &*binary.backoff.last_error {
        "" => link_error.as_deref().or(problem.as_deref()).unwrap_or_default(),
        error => error,
    };
    vec![
        Cell::plain(&binary.name),
        status,
        Cell::plain(version),
        Cell::plain(provider),
        Cell::plain(bytes.map(units::bytes).unwrap_or_default()),
        Cell::plain(required_by.join(", ")),
        Cell::plain(last_error),
    ]
}
