//! `rigup outdated`: which installed binaries have a newer version.

use crate::cli::command::{CommandResult, Context};
use crate::cli::completions::specs;
use crate::cli::install::{self, JobArgs, PolicyArgs};
use crate::cli::message::{message, print_diagnostics, print_event};
use crate::engine::ExitStatus;
use crate::engine::completion;
use crate::engine::outdated::{self, OutdatedRow};
use crate::model::Release;
use crate::report::table::{Cell, Column, Table};

/// The arguments of `rigup outdated`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/outdated.txt"))]
pub(crate) struct OutdatedArgs {
    /// Binaries, each as [PROVIDER:]NAME[@VERSION] [default: everything that is installed]
    #[arg(value_name = "NAME", add = specs(completion::installed_specs))]
    names: Vec<String>,
    /// Exit with 1 if a binary is outdated
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    jobs: JobArgs,
}

/// Runs `rigup outdated`.
pub(crate) fn outdated(args: OutdatedArgs, context: &mut Context) -> CommandResult {
    let request = install::request_for(args.names, args.policy, args.jobs);
    let report = outdated::outdated(&request, &context.settings, &print_event)?;
    if let Some(signal) = report.interrupted {
        return Ok(ExitStatus::Interrupted(signal));
    }
    let columns = [
        Column::new("BINARY").cut_end(20),
        Column::new("STATUS"),
        Column::new("VERSION").cut_end(12),
        Column::new("WANTED").cut_end(12),
        Column::new("LATEST").cut_end(12),
        Column::new("PROVIDER").cut_end(12),
    ];
    let records = report.rows.iter().map(OutdatedRow::to_record);
    context
        .output
        .list(records, "no binary is installed", || Table::with_rows(columns, report.rows.iter().map(cells)));
    context.output.flush();
    let mut status = print_diagnostics(&report.catalog);
    for row in &report.rows {
        if let Err(reason) = &row.status {
            message!("cannot tell whether {} is outdated: {reason}", row.name);
        }
        if let Some(reason) = &row.held_back {
            message!("{} is held back ({}): {reason}", row.name, row.version);
        }
        if !row.is_known || args.check && row.is_outdated() {
            status = status.or_incomplete();
        }
    }
    Ok(status)
}

fn cells(row: &OutdatedRow) -> [Cell; 6] {
    let status = row.status.as_ref().ok();
    let version =
        |release: Option<&Release>| Cell::plain(release.map_or("", |release| release.version.as_str()));
    [
        Cell::plain(&row.name),
        Cell::plain(row.word()),
        Cell::plain(&row.version),
        version(status.and_then(|status| status.wanted.as_ref())),
        version(status.and_then(|status| status.latest.as_ref())),
        Cell::plain(&row.binprovider),
    ]
}
