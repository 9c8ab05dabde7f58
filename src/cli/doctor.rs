//! `rigup doctor`: what keeps rigup, or the programs that it installed, from working.

use crate::cli::ci;
use crate::cli::command::{CommandResult, Context, interrupt};
use crate::engine::ExitStatus;
use crate::engine::doctor::{self, Finding, Level};
use crate::report::table::{Cell, Column, Table};
use crate::report::text::printable;

/// Runs `rigup doctor`.
pub(crate) fn doctor(context: &mut Context) -> CommandResult {
    let interrupt = interrupt()?;
    let variable_error = ci::variable_error(&context.settings.command_environment);
    let findings = doctor::examine(&context.settings, variable_error.as_deref(), &interrupt);
    if let Some(signal) = interrupt.signal() {
        return Ok(ExitStatus::Interrupted(signal));
    }
    let columns =
        [Column::new("LEVEL"), Column::new("CHECK"), Column::new("FINDING").wrap(24), Column::new("FIX")];
    let table = Table::with_rows(columns, findings.iter().map(row));
    let output = &mut context.output;
    if output.is_json() || table.fits(output.width()) {
        output.list(findings.iter().map(Finding::to_record), "no problems found", || table);
    } else {
        output.text(findings.iter().map(lines).collect());
    }
    let has_fault = findings.iter().any(|finding| finding.level == Level::Fault);
    Ok(if has_fault { ExitStatus::Incomplete } else { ExitStatus::Success })
}

/// Returns a finding and its fix, which has commands and addresses to copy, each on a line that is not broken.
fn lines(Finding { check, level, message, fix }: &Finding) -> String {
    format!("{level} ({check}): {}\n  {}\n", printable(message), printable(fix))
}

fn row(finding: &Finding) -> [Cell; 4] {
    let level = match finding.level {
        Level::Fault => Cell::failure(finding.level.as_str()),
        Level::Warning | Level::Note => Cell::plain(finding.level.as_str()),
    };
    [level, Cell::plain(finding.check), Cell::plain(&finding.message), Cell::plain(&finding.fix)]
}
