//! `rigup doctor`: what keeps rigup, or the programs that it installed, from working.

use crate::cli::command::{CommandResult, Context, interrupt};
use crate::engine::ExitStatus;
use crate::engine::doctor::{self, Finding, Level};
use crate::report::table::{Cell, Column, Table};

/// Runs `rigup doctor`.
pub(crate) fn doctor(context: &mut Context) -> CommandResult {
    let interrupt = interrupt()?;
    let findings = doctor::examine(&context.settings, &interrupt);
    if let Some(signal) = interrupt.signal() {
        return Ok(ExitStatus::Interrupted(signal));
    }
    let columns = [
        Column::new("LEVEL"),
        Column::new("CHECK"),
        Column::new("FINDING").wrap(24),
        Column::new("FIX").wrap(24),
    ];
    let rows = findings.iter().map(row);
    let records = findings.iter().map(Finding::to_record);
    context.output.list(records, "no problems found", || Table::with_rows(columns, rows));
    let has_fault = findings.iter().any(|finding| finding.level == Level::Fault);
    Ok(if has_fault { ExitStatus::Incomplete } else { ExitStatus::Success })
}

fn row(finding: &Finding) -> [Cell; 4] {
    let level = match finding.level {
        Level::Fault => Cell::failure(finding.level.as_str()),
        Level::Warning | Level::Note => Cell::plain(finding.level.as_str()),
    };
    [level, Cell::plain(finding.check), Cell::plain(&finding.message), Cell::plain(&finding.fix)]
}
