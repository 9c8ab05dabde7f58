//! `rigup process`: the records of processes, and the live processes.

use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Subcommand;
use rustix::process::Signal;
use serde_json::json;

use crate::cli::command::{CommandResult, Context};
use crate::cli::message::{error, message, print_event};
use crate::cli::output::Output;
use crate::clock;
use crate::engine::{Engine, ExitStatus, processes};
use crate::model::{Process, ProcessId, ProcessState};
use crate::process::kill::{self, KillOutcome};
use crate::process::run_dir;
use crate::process::system::ProcessEntry;
use crate::process::usage::{self, LiveUsage};
use crate::process::{handle, tail, terminate, tree};
use crate::report::process_tree;
use crate::report::short_id::short_id;
use crate::report::table::{Cell, Column, Table};
use crate::report::tables::{self, ProcessRow};
use crate::report::text::printable;
use crate::report::units;
use crate::runs::gc::{GcAction, GcItem, GcReport, Pruned};
use crate::runs::messages;
use crate::store::{ProcessFilter, Store};

pub(crate) mod logs;

/// The subcommands of `rigup process`.
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
    Tree(TreeArgs),
    /// Print the output of a process
    Logs(logs::LogsArgs),
    /// Wait for processes, and exit with the first exit code that is not 0
    Wait(WaitArgs),
    /// Terminate processes and everything that they started
    Kill(KillArgs),
    /// Terminate overdue runs, complete unfinished records, and prune expired records and logs
    Gc(GcArgs),
}

/// The arguments of `rigup process list`.
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

/// The arguments of `rigup process tree`.
#[derive(Debug, clap::Args)]
pub(crate) struct TreeArgs {
    /// Process to show with its ancestors and descendants [default: the newest trees]
    process: Option<String>,
    /// Show the N newest trees
    #[arg(long, short = 'n', value_name = "N", default_value_t = 5)]
    limit: u32,
}

/// The arguments of `rigup process wait`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/process_wait.txt"))]
pub(crate) struct WaitArgs {
    /// Process ids, or a unique prefix or suffix of each
    #[arg(required = true, value_name = "PROCESS")]
    processes: Vec<String>,
    /// Give up after S seconds
    #[arg(long, value_name = "S")]
    timeout: Option<u64>,
}

/// The exit status after a timeout: that of the command `timeout`.
const TIMED_OUT: ExitStatus = ExitStatus::Code(124);

/// The arguments of `rigup process gc`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/process_gc.txt"))]
pub(crate) struct GcArgs {
    /// Keep run dirs for S seconds after a run exits, regardless of its own --ttl
    #[arg(long, value_name = "S")]
    ttl: Option<u64>,
    /// Show what would be done, without doing it
    #[arg(long)]
    dry_run: bool,
}

/// The arguments of `rigup process kill`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/process_kill.txt"))]
pub(crate) struct KillArgs {
    /// Process ids, or a unique prefix or suffix of each
    #[arg(required = true, value_name = "PROCESS")]
    processes: Vec<String>,
    /// Send this signal
    #[arg(long, short, value_name = "SIGNAL", default_value = "TERM", value_parser = parse_signal)]
    signal: Signal,
    /// Kill whatever is still alive after S seconds [default: 5]
    #[arg(long, value_name = "S")]
    grace: Option<u64>,
    /// Terminate recorded descendants, too
    #[arg(long)]
    tree: bool,
}

/// Runs `rigup process`.
pub(crate) fn run(command: ProcessCommand, context: &mut Context) -> CommandResult {
    match command {
        ProcessCommand::List(args) => list(args, context),
        ProcessCommand::Show { process } => show(&process, context),
        ProcessCommand::Tree(args) => tree(&args, context),
        ProcessCommand::Logs(args) => logs::logs(&args, context),
        ProcessCommand::Wait(args) => wait(&args, context),
        ProcessCommand::Kill(args) => kill(&args, context),
        ProcessCommand::Gc(args) => gc(&args, context),
    }
}

/// Runs `rigup process list`.
pub(crate) fn list(args: ProcessListArgs, context: &mut Context) -> CommandResult {
    let filter = ProcessFilter {
        status: args.status,
        slug: args.slug,
        binary_name: args.binary,
        plugin: args.plugin,
        limit: Some(args.limit),
        ..ProcessFilter::default()
    };
    let processes = context.store()?.map(|store| store.processes(&filter)).transpose()?.unwrap_or_default();
    write(&processes, &mut context.output);
    Ok(ExitStatus::Success)
}

/// Prints processes as a table or as records.
pub(crate) fn write(processes: &[Process], output: &mut Output) {
    let table = || table(processes.iter().map(|process| (process, "")));
    output.list(processes.iter().map(Process::to_record), "no processes", table);
}

fn show(id: &str, context: &mut Context) -> CommandResult {
    let (store, process) = context.process(id)?;
    let output = &mut context.output;
    let mut record = process.to_record();
    let elapsed = tables::elapsed(&process, clock::now());
    record["elapsed_seconds"] = json!(elapsed.map(|elapsed| elapsed.as_secs()));
    if let Some(root) = live_entry(&process) {
        record["live"] = json!(usage::usage(root.pid));
        let tree = tree::find(process.id, root).all();
        let pids: Vec<u32> = tree.iter().map(|entry| entry.pid).collect();
        record["live"]["pids"] = json!(pids);
    }
    let run_dir = run_dir::of(store.data_dir(), &process);
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
    output.record(&record);
    if !output.is_json() {
        for message in &messages {
            let text = |key: &str| message[key].as_str().map(printable).unwrap_or_default();
            output.line(format_args!("{}  {}", text("time"), text("text")));
        }
    }
    Ok(ExitStatus::Success)
}

/// Runs `rigup process tree`.
fn tree(args: &TreeArgs, context: &mut Context) -> CommandResult {
    let (store, mut processes, roots) = if let Some(id) = &args.process {
        let (store, process) = context.process(id)?;
        let ancestors = store.process_with_ancestors(process.id)?.into_iter().skip(1).collect();
        (store, ancestors, vec![process])
    } else {
        let Some(store) = context.store()? else { return Ok(ExitStatus::Success) };
        let filter = ProcessFilter { is_root: true, limit: Some(args.limit), ..ProcessFilter::default() };
        let roots = store.processes(&filter)?;
        (store, Vec::new(), roots)
    };
    processes.extend(processes::with_descendants(&store, roots)?);
    let nodes = process_tree::arrange(&processes);
    let records = nodes.iter().map(|node| {
        let mut record = node.process.to_record();
        record["depth"] = json!(node.depth);
        record["live"] = json!(live_usage(node.process));
        record
    });
    let table = || table(nodes.iter().map(|node| (node.process, node.branch.as_str())));
    context.output.list(records, "no processes", table);
    Ok(ExitStatus::Success)
}

/// Runs `rigup process wait`.
fn wait(args: &WaitArgs, context: &mut Context) -> CommandResult {
    let session = context.session()?;
    let deadline = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut exited = Vec::new();
    for process in processes::find_all(&session, &args.processes)? {
        let process = processes::wait(&session.store, process, deadline)?;
        if process.exit().is_none() {
            message!("process {} is still {}", process.id, process.status());
            write(&exited, &mut context.output);
            return Ok(TIMED_OUT);
        }
        exited.push(process);
    }
    write(&exited, &mut context.output);
    let mut statuses = exited.iter().map(exit_status);
    Ok(statuses.find(|status| *status != ExitStatus::Success).unwrap_or(ExitStatus::Success))
}

fn exit_status(process: &Process) -> ExitStatus {
    ExitStatus::of_exit_code(process.exit().and_then(|exit| exit.exit_code))
}

/// Runs `rigup process gc`.
fn gc(args: &GcArgs, context: &mut Context) -> CommandResult {
    let engine = if args.dry_run {
        Engine::open_for_dry_run(context.settings.clone(), &print_event)?
    } else {
        Engine::open_checked(context.settings.clone(), &print_event)?
    };
    let GcReport { items, pruned, .. } = engine.gc(args.ttl.map(Duration::from_secs), args.dry_run)?;
    let columns = [
        Column::new("ACTION"),
        Column::new("PROCESS"),
        Column::new("COMMAND").cut_end(16),
        Column::new("REASON").wrap(20),
        Column::new("RUN DIR").cut_start(16).optional(1),
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

/// Runs `rigup process kill`.
fn kill(args: &KillArgs, context: &mut Context) -> CommandResult {
    let session = context.session()?;
    let mut processes = processes::find_all(&session, &args.processes)?;
    if args.tree {
        processes = processes::with_descendants(&session.store, processes)?;
        // Parents first: they may terminate their children themselves.
        processes.sort_by_key(|process| process.id);
    }
    let signal = args.signal;
    let is_final = matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT | Signal::KILL);
    if !is_final && args.grace.is_none() {
        return Ok(send(&session.store, &processes, signal));
    }
    let grace = args.grace.map_or(terminate::GRACE, Duration::from_secs);
    let mut exited = Vec::new();
    let mut status = ExitStatus::Success;
    for process in processes {
        let id = process.id;
        match kill::kill(&session.store, &process, signal, grace)? {
            KillOutcome::Exited(process) => exited.push(*process),
            KillOutcome::AlreadyExited if args.tree => {}
            KillOutcome::AlreadyExited => message!("process {id} has already exited"),
            KillOutcome::NotStarted => {
                error!("cannot kill process {id}: it has not started yet; kill its parent");
                status = ExitStatus::Incomplete;
            }
            KillOutcome::Survived(survivors) => {
                print_survivors(id, &survivors);
                status = ExitStatus::Incomplete;
            }
        }
    }
    write(&exited, &mut context.output);
    Ok(status)
}

fn print_survivors(id: ProcessId, survivors: &[ProcessEntry]) {
    if survivors.is_empty() {
        error!(
            "cannot kill process {id}: it is not visible from here; kill it in the container that it runs in"
        );
    }
    for survivor in survivors {
        let command = tree::command_line(survivor.pid);
        error!("cannot kill process {id}: {command} survived");
    }
}

fn send(store: &Store, processes: &[Process], signal: Signal) -> ExitStatus {
    let mut status = ExitStatus::Success;
    for process in processes.iter().filter(|process| !kill::signal(store, process, signal)) {
        error!("cannot signal process {}: it is not running", process.id);
        status = ExitStatus::Incomplete;
    }
    status
}

/// Parses a signal, written as `TERM`, `sigterm` or `15`.
fn parse_signal(text: &str) -> Result<Signal, String> {
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    let number = text.parse().ok().or_else(|| Some(nix::sys::signal::Signal::from_str(&name).ok()? as i32));
    let signal = number.and_then(Signal::from_named_raw);
    signal.ok_or_else(|| "not a signal; use a name such as TERM, or a number".to_owned())
}

/// Returns the table of processes, each with its branch of the tree in front.
fn table<'a>(processes: impl IntoIterator<Item = (&'a Process, &'a str)>) -> Table {
    let row = |(process, branch): (&'a Process, &'a str)| {
        let live = live_usage(process).map(|usage| (usage.cpu_ms, usage.rss));
        ProcessRow { process, branch, live }
    };
    tables::processes(&processes.into_iter().map(row).collect::<Vec<_>>(), clock::now())
}

/// Returns the current resource usage of a process, or `None` if it is not running.
fn live_usage(process: &Process) -> Option<LiveUsage> {
    usage::usage(live_entry(process)?.pid)
}

/// Returns the entry of a process in the process table, or `None` if it is not running.
fn live_entry(process: &Process) -> Option<ProcessEntry> {
    match &process.state {
        ProcessState::Running(running) => handle::find(&running.identity),
        ProcessState::Queued | ProcessState::Exited(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_signal_by_its_name_and_by_its_number() {
        for text in ["TERM", "sigterm", "15", "SIGTERM"] {
            assert_eq!(parse_signal(text).unwrap(), Signal::TERM, "{text}");
        }
        for text in ["", "TERMINATE", "0", "-9", "999"] {
            assert!(parse_signal(text).is_err(), "{text}");
        }
    }
}
