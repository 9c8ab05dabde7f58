//! `rigup process`: recorded processes and the live processes behind them.

use clap::Subcommand;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::clock;
use crate::engine::{ExitStatus, processes};
use crate::model::{Process, ProcessState};
use crate::process::run_dir::RunDir;
use crate::process::{handle, tail, usage};
use crate::report::table::Table;
use crate::report::tables::{self, ProcessRow};
use crate::report::text::printable;
use crate::runs::messages;
use crate::store::{ProcessFilter, Store};

mod gc;
mod kill;
pub(crate) mod logs;
mod tree;
mod wait;

/// What to do with processes.
#[derive(Debug, Subcommand)]
pub(crate) enum ProcessCommand {
    /// List processes, newest first
    List(ProcessListArgs),
    /// Show one process: command, environment, state, resource usage, messages and result
    Show {
        /// Process id, or a unique prefix or suffix of it
        process: String,
    },
    /// Show processes as a tree
    Tree(tree::TreeArgs),
    /// Print the output of a process
    Logs(logs::LogsArgs),
    /// Wait for processes, and exit with the first exit code that is not 0
    Wait(wait::WaitArgs),
    /// Terminate processes and everything that they started
    Kill(kill::KillArgs),
    /// Terminate overdue runs, complete unfinished records, and prune expired records and logs
    Gc(gc::GcArgs),
}

/// Which processes to list.
#[derive(Debug, clap::Args)]
pub(crate) struct ProcessListArgs {
    /// List at most N processes
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    limit: u32,
    /// List only processes with this status
    #[arg(long, value_parser = ["queued", "running", "exited"])]
    status: Option<String>,
    /// List only runs with this slug
    #[arg(long, value_name = "NAME")]
    slug: Option<String>,
    /// List only processes that belong to this binary
    #[arg(long, value_name = "NAME")]
    binary: Option<String>,
    /// List only the hooks of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
}

/// Runs `rigup process`.
pub(crate) fn run(command: ProcessCommand, context: &mut Context) -> Result<ExitStatus, CliError> {
    match command {
        ProcessCommand::List(args) => list(args, context),
        ProcessCommand::Show { process } => show(&process, context),
        ProcessCommand::Tree(args) => tree::tree(&args, context),
        ProcessCommand::Logs(args) => logs::logs(&args, context),
        ProcessCommand::Wait(args) => wait::wait(&args, context),
        ProcessCommand::Kill(args) => kill::kill(&args, context),
        ProcessCommand::Gc(args) => gc::gc(&args, context),
    }
}

/// `rigup process list`
pub(crate) fn list(args: ProcessListArgs, context: &mut Context) -> Result<ExitStatus, CliError> {
    let filter = ProcessFilter {
        status: args.status,
        slug: args.slug,
        binary_name: args.binary,
        plugin: args.plugin,
        limit: Some(args.limit),
        ..ProcessFilter::default()
    };
    let processes = context.store()?.map(|store| store.processes(&filter)).transpose()?.unwrap_or_default();
    write(&processes, &mut context.output)?;
    Ok(ExitStatus::Success)
}

/// Prints processes as a table or as records.
pub(crate) fn write(processes: &[Process], output: &mut Output) -> Result<(), CliError> {
    let table = || table(processes.iter().map(|process| (process, "")));
    output.list(processes.iter().map(Process::to_record), table)
}

fn show(id: &str, context: &mut Context) -> Result<ExitStatus, CliError> {
    let (_, process) = find(id, context)?;
    let output = &mut context.output;
    let mut record = process.to_record();
    let end = process.exit().map_or_else(clock::now, |exit| exit.ended_at);
    let elapsed = process.running().map(|running| end.duration_since(running.started_at).as_secs());
    record["elapsed_seconds"] = json!(elapsed);
    if let ProcessState::Running(running) = &process.state
        && let Some(root) = handle::find(&running.identity)
    {
        record["live"] = json!(usage::usage(root.pid));
        let tree = crate::process::tree::find(process.id, root);
        let pids: Vec<u32> = tree.in_group.iter().chain(&tree.strays).map(|entry| entry.pid).collect();
        record["live"]["pids"] = json!(pids);
    }
    let run_dir = process.spec.run_dir.as_deref().map(RunDir::at);
    if let (Some(run_dir), None) = (&run_dir, process.exit()) {
        for (key, log) in [("stdout_tail", run_dir.stdout()), ("stderr_tail", run_dir.stderr())] {
            record[key] = tail::read(&log, tail::RECORD_LINES, tail::RECORD_BYTES).unwrap_or_default().into();
        }
    }
    let mut messages = Vec::new();
    if let (Some(run_dir), Some(_)) = (&run_dir, &process.spec.run) {
        messages = messages::messages(run_dir.path());
        record["result"] = messages::result(run_dir.path()).map(|mut result| result["result"].take()).into();
    }
    if output.is_json() && process.spec.run.is_some() {
        record["messages"] = messages.clone().into();
    }
    output.record(&record)?;
    if !output.is_json() {
        for message in &messages {
            let text = |key: &str| message[key].as_str().map(printable).unwrap_or_default();
            output.raw(format!("{}  {}\n", text("time"), text("text")).as_bytes())?;
        }
    }
    Ok(ExitStatus::Success)
}

/// Returns the process with this id, and the open store.
fn find(id: &str, context: &Context) -> Result<(Store, Process), CliError> {
    let store = context.store()?.ok_or_else(|| processes::not_found(id))?;
    let process = processes::find(&store, id)?;
    Ok((store, process))
}

/// Returns the table of processes, each with the branch of the tree in front of it.
fn table<'a>(processes: impl IntoIterator<Item = (&'a Process, &'a str)>) -> Table {
    let row = |(process, branch): (&'a Process, &'a str)| {
        let usage = live_usage(process);
        ProcessRow { process, branch, live: usage.map(|usage| (usage.cpu_ms, usage.rss)) }
    };
    tables::processes(&processes.into_iter().map(row).collect::<Vec<_>>(), clock::now())
}

/// Returns what a process uses now, or `None` if it is not running.
fn live_usage(process: &Process) -> Option<usage::LiveUsage> {
    match &process.state {
        ProcessState::Running(running) => usage::usage(handle::find(&running.identity)?.pid),
        ProcessState::Queued | ProcessState::Exited(..) => None,
    }
}
