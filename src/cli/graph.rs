//! `rigup graph`: what the declared daemons wait for.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::command::{CommandResult, Context};
use crate::cli::up;
use crate::engine::ExitStatus;
use crate::engine::daemons::stored;
use crate::model::{Daemon, DaemonSpec, Process, Wanted};
use crate::report::daemon_graph;
use crate::report::table::{Cell, Column, Table};

/// The arguments of `rigup graph`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/graph.txt"))]
pub(crate) struct GraphArgs {
    /// Read daemons from FILE; repeatable
    #[arg(long, short, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Print the graph for Graphviz
    #[arg(long)]
    dot: bool,
}

/// Runs `rigup graph`.
pub(crate) fn graph(args: &GraphArgs, context: &mut Context) -> CommandResult {
    let specs = up::in_order(up::read(&args.file, context)?);
    if args.dot {
        context.output.raw(daemon_graph::dot(&specs).as_bytes());
        return Ok(ExitStatus::Success);
    }
    let known = match context.store()? {
        Some(store) => stored(&store)?,
        None => Vec::new(),
    };
    let current = |spec: &DaemonSpec| -> (Daemon, Option<Process>) {
        let found = known.iter().find(|(daemon, _)| daemon.name == *spec.name);
        found.cloned().unwrap_or_else(|| (Daemon::new(spec.clone(), Wanted::Started), None))
    };
    let records = specs.iter().map(|spec| -> Value {
        let (daemon, process) = current(spec);
        let mut record = daemon.to_record(process.as_ref());
        record["depends_on"] = json!(daemon_graph::dependency_records(spec));
        record
    });
    context.output.list(records, "", || {
        let columns =
            [Column::new("DAEMON").cut_end(16), Column::new("STATUS"), Column::new("WAITS FOR").wrap(24)];
        let rows = daemon_graph::arrange(&specs).into_iter().map(|line| {
            [
                Cell::plain(format!("{}{}", line.branch, line.item.name)),
                Cell::plain(current(line.item).0.status.as_str()),
                Cell::plain(daemon_graph::conditions(line.item)),
            ]
        });
        Table::with_rows(columns, rows)
    });
    Ok(ExitStatus::Success)
}
