//! `rigup process`: every process that was started.

use clap::Subcommand;
use serde_json::json;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::clock;
use crate::model::process::{Process, ProcessState};
use crate::process::run_dir::RunDir;
use crate::process::{handle, tail, usage};
use crate::report::table::Table;
use crate::report::tables::{self, ProcessRow};
use crate::report::text::printable;
use crate::runs::messages;
use crate::settings::Settings;
use crate::store::{Lookup, ProcessFilter, Store};

mod gc;
mod kill;
pub(crate) mod logs;
mod tree;
mod wait;

/// What to do with processes.
#[derive(Debug, Subcommand)]
pub(crate) enum ProcessCommand {
    /// The newest processes first
    List(ListArgs),
    /// One process: what was run, how it stands or ended, what it used, and what a run said
    Show {
        /// The process, by its id or the beginning or end of it
        process: String,
    },
    /// Who asked for whom: the newest roots, or all above and below one process
    Tree(tree::TreeArgs),
    /// What a process wrote
    Logs(logs::LogsArgs),
    /// Wait until processes are over, and exit with their code
    Wait(wait::WaitArgs),
    /// End processes, with all that they started
    Kill(kill::KillArgs),
    /// End what runs too long, finish what died unseen, remove what is past its time or too much
    Gc(gc::GcArgs),
}

/// Which processes to list.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Only these
    #[arg(long, value_parser = ["queued", "running", "exited"])]
    status: Option<String>,
    /// Only runs of this kind
    #[arg(long, value_name = "NAME")]
    slug: Option<String>,
    /// Only those about this binary
    #[arg(long, value_name = "NAME")]
    binary: Option<String>,
    /// Only hooks of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
}

/// Runs it.
pub(crate) fn run(
    command: ProcessCommand,
    settings: &Settings,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        ProcessCommand::List(args) => list(args, settings, output),
        ProcessCommand::Show { process } => show(&process, settings, output),
        ProcessCommand::Tree(args) => tree::tree(&args, settings, output),
        ProcessCommand::Logs(args) => logs::logs(&args, settings, output),
        ProcessCommand::Wait(args) => wait::wait(&args, settings, output),
        ProcessCommand::Kill(args) => kill::kill(&args, settings, output),
        ProcessCommand::Gc(args) => gc::gc(&args, settings, output),
    }
}

/// `rigup process list`
pub(crate) fn list(args: ListArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let filter = ProcessFilter {
        status: args.status,
        slug: args.slug,
        binary_name: args.binary,
        plugin: args.plugin,
        limit: Some(args.limit),
        ..ProcessFilter::default()
    };
    let store = Session::read(settings)?;
    write(&store.map(|it| it.processes(&filter)).transpose()?.unwrap_or_default(), output)?;
    Ok(Exit::Well)
}

/// Writes processes: a table for people, else a record each.
pub(crate) fn write(processes: &[Process], output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        output.records(processes.iter().map(Process::to_record))
    } else {
        output.table(&table(processes.iter().map(|process| (process, ""))))
    }
}

fn show(typed: &str, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let (_, process) = find(typed, settings)?;
    let mut record = process.to_record();
    let end = process.exit().map_or_else(clock::now, |it| it.ended_at);
    let elapsed = process.running().map(|it| end.duration_since(it.started_at).as_secs());
    record["elapsed_seconds"] = json!(elapsed);
    if let ProcessState::Running(running) = &process.state
        && let Some(root) = handle::find(&running.identity)
    {
        record["live"] = json!(usage::usage(root.pid));
        let below = crate::process::tree::tree(process.id, root);
        let pids: Vec<u32> = below.in_group.iter().chain(&below.strays).map(|it| it.pid).collect();
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
        record["result"] = messages::result(run_dir.path()).map(|mut it| it["result"].take()).into();
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
    Ok(Exit::Well)
}

/// The process that a person means.
fn find(typed: &str, settings: &Settings) -> Result<(Store, Process), CliError> {
    let Some(store) = Session::read(settings)? else {
        return Err(not_found(typed));
    };
    let process = find_in(&store, typed)?;
    Ok((store, process))
}

fn find_in(store: &Store, typed: &str) -> Result<Process, CliError> {
    match store.find_process(typed)? {
        Lookup::Found(process) => Ok(process),
        Lookup::NotFound => Err(not_found(typed)),
        Lookup::Ambiguous(count) => {
            Err(CliError::NotFound(format!("{typed} matches {count} ids; type more characters")))
        }
    }
}

/// Every process that is meant, each once. Of what runs on another machine nobody here can know anything.
fn find_all(session: &Session, typed: &[String]) -> Result<Vec<Process>, CliError> {
    let mut all: Vec<Process> = Vec::new();
    for typed in typed {
        let process = find_in(&session.store, typed)?;
        if process.machine_id != session.machine.id && process.exit().is_none() {
            return Err(CliError::NotFound(format!("process {} runs on another machine", process.id)));
        }
        if !all.iter().any(|it| it.id == process.id) {
            all.push(process);
        }
    }
    Ok(all)
}

fn not_found(typed: &str) -> CliError {
    CliError::NotFound(format!("no process has the id {typed}; `rigup process list` shows the ids"))
}

/// Returns the table of processes, each after the lines of the tree that lead to it.
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
