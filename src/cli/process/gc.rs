//! `rigup process gc`: cleans up.

use crate::cli::command::{CommandResult, Context};
use crate::cli::message::print_event;
use crate::duration::{self, Limit};
use crate::engine::{Engine, ExitStatus};
use crate::model::Process;
use crate::report::short_id::short_id;
use crate::report::table::{Cell, Column, Table};
use crate::report::units;
use crate::runs::gc::{GcAction, GcItem, GcReport, Pruned};

/// The arguments of `rigup process gc`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/process_gc.txt"))]
pub(crate) struct GcArgs {
    /// Replace the --ttl of each run by TIME, or keep all run dirs (`none`)
    #[arg(long, value_name = "TIME", value_parser = duration::parse_limit)]
    ttl: Option<Limit>,
    /// Show what would be done, without doing it
    #[arg(long)]
    dry_run: bool,
}

/// Runs `rigup process gc`.
pub(crate) fn gc(args: &GcArgs, context: &mut Context) -> CommandResult {
    let engine = if args.dry_run {
        Engine::open_for_dry_run(context.settings.clone(), &print_event)?
    } else {
        Engine::open_checked(context.settings.clone(), &print_event)?
    };
    let GcReport { items, pruned, .. } = engine.gc(args.ttl.map(Limit::or_max), args.dry_run)?;
    let columns = [
        Column::new("ACTION"),
        Column::new("PROCESS"),
        Column::new("COMMAND").cut_end(16),
        Column::new("REASON").wrap(20),
        Column::new("FOLDER").cut_start(16).optional(1),
    ];
    let records = items.iter().map(GcItem::to_record).chain(pruned.iter().map(Pruned::to_record));
    let rows = items.iter().map(gc_row).chain(pruned.iter().map(pruned_row));
    context.output.list(records, "nothing to clean up", || Table::with_rows(columns, rows));
    let has_failed = items.iter().any(|item| item.action == GcAction::Failed);
    Ok(if has_failed { ExitStatus::Incomplete } else { ExitStatus::Success })
}

fn pruned_row(pruned: &Pruned) -> Vec<Cell> {
    let count = match pruned.processes {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    };
    let logs = format!("{} of logs", units::bytes(pruned.log_bytes));
    [pruned.action().to_owned(), count, logs, pruned.reason.clone()].map(Cell::plain).into()
}

fn gc_row(item: &GcItem) -> Vec<Cell> {
    let action = item.action.as_str();
    let process = item.process.as_ref();
    vec![
        if item.action == GcAction::Failed { Cell::failure(action) } else { Cell::plain(action) },
        Cell::plain(process.map(|process| short_id(process.id)).unwrap_or_default()),
        Cell::plain(process.map(Process::title).unwrap_or_default()),
        Cell::plain(&item.reason),
        Cell::plain(item.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
    ]
}
