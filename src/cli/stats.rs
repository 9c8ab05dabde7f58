//! `rigup stats`: the resources that daemons use.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use serde_json::Value;

use crate::cli::command::{CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::daemon::no_supervisor;
use crate::engine::completion;
use crate::engine::{ExitStatus, daemons};
use crate::report::table::{Cell, Column, Table};
use crate::report::units;
use crate::supervisor::control::ControlRequest;

/// Moves the cursor of a terminal to its start, and clears it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// The arguments of `rigup stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/stats.txt"))]
pub(crate) struct StatsArgs {
    /// Print only these daemons
    #[arg(value_name = "NAME", add = values(completion::daemons))]
    names: Vec<String>,
    /// Print once, and exit
    #[arg(long)]
    no_stream: bool,
}

/// Runs `rigup stats`: prints a sample of each daemon every second, until the supervisor ends.
pub(crate) fn stats(args: StatsArgs, context: &mut Context) -> CommandResult {
    let Context { output, settings, .. } = context;
    let request = ControlRequest::Stats { names: args.names };
    let stdout = io::stdout();
    let is_running = daemons::follow(settings, &request, stdout.as_fd(), |records| {
        if !output.is_json() && output.width().is_some() && !args.no_stream {
            output.raw(CLEAR.as_bytes());
        }
        output.list(&records, "", || table(&records));
        output.flush();
        if args.no_stream { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if is_running { Ok(ExitStatus::Success) } else { Err(no_supervisor()) }
}

fn table(records: &[Value]) -> Table {
    let columns = [
        Column::new("DAEMON").cut_end(20),
        Column::new("PID").optional(3),
        Column::new("CPU"),
        Column::new("CPU PEAK").optional(2),
        Column::new("MEMORY"),
        Column::new("MEMORY PEAK").optional(2),
        Column::new("READ").optional(1),
        Column::new("WRITTEN").optional(1),
    ];
    let row = |record: &Value| {
        let bytes = |key: &str| units::bytes(record[key].as_u64().unwrap_or_default());
        let percent = |key: &str| format!("{} %", record[key]);
        [
            Cell::plain(record["name"].as_str().unwrap_or_default()),
            Cell::plain(record["pid"].to_string()),
            Cell::plain(percent("cpu_percent")),
            Cell::plain(percent("cpu_percent_peak")),
            Cell::plain(bytes("rss")),
            Cell::plain(bytes("rss_peak")),
            Cell::plain(bytes("read_bytes")),
            Cell::plain(bytes("write_bytes")),
        ]
    };
    Table::with_rows(columns, records.iter().map(row))
}
