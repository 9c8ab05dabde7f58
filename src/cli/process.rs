//! `rigup process`: every process that was started.

use std::collections::HashSet;
use std::path::Path;

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::clock;
use crate::process::run_dir::RunDir;
use crate::process::tail;
use crate::record::process::{Process, ProcessType};
use crate::report::human::{self, Tone, Toned};
use crate::report::tree;
use crate::settings::Settings;
use crate::store::{Found, ProcessFilter, Store};

/// What to do with processes.
#[derive(Debug, Subcommand)]
pub(crate) enum ProcessCommand {
    /// The newest processes first
    List(ListArgs),
    /// One process: what was run, how it ended, what it used
    Show {
        /// Its id, or the beginning of it
        process: String,
    },
    /// Who asked for whom: the newest runs of rigup, or one process with all below it
    Tree(TreeArgs),
    /// What a process wrote
    Logs(LogsArgs),
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
    /// Only those about this binary
    #[arg(long, value_name = "NAME")]
    binary: Option<String>,
    /// Only hooks of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
}

/// Which processes to draw.
#[derive(Debug, clap::Args)]
pub(crate) struct TreeArgs {
    /// The root, by its id or the beginning of it; the newest runs where none is given
    process: Option<String>,
    /// So many of the newest runs
    #[arg(long, short = 'n', value_name = "N", default_value_t = 5)]
    limit: u32,
}

/// Which log to print.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// The process, by its id or the beginning of it
    process: String,
    /// Only the last N lines of each log
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<usize>,
    /// Only this log
    #[arg(long, value_name = "STREAM")]
    stream: Option<Stream>,
}

/// One of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// So many bytes of a log are looked at for its last lines.
const TAIL_BYTES: u64 = 64 << 20;

/// Runs it.
pub(crate) fn run(
    command: ProcessCommand,
    settings: &Settings,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        ProcessCommand::List(args) => list(args, settings, output),
        ProcessCommand::Show { process } => {
            let (_, process) = find(&process, settings)?;
            output.record(&process.to_record())?;
            Ok(Exit::Well)
        }
        ProcessCommand::Tree(args) => draw_tree(&args, settings, output),
        ProcessCommand::Logs(args) => logs(&args, settings, output),
    }
}

/// `rigup process list`
pub(crate) fn list(args: ListArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let filter = ProcessFilter {
        status: args.status,
        binary_name: args.binary,
        plugin: args.plugin,
        limit: Some(args.limit),
        ..ProcessFilter::default()
    };
    let store = Session::read(settings)?;
    let processes = store.map(|it| it.processes(&filter)).transpose()?.unwrap_or_default();
    if output.is_json() {
        output.records(processes.iter().map(Process::to_record))?;
    } else {
        output.table(&HEADER, processes.iter().map(|it| row(it, "")).collect())?;
    }
    Ok(Exit::Well)
}

fn draw_tree(args: &TreeArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let (store, roots) = if let Some(typed) = &args.process {
        let (store, root) = find(typed, settings)?;
        (store, vec![root])
    } else {
        let Some(store) = Session::read(settings)? else {
            return Ok(Exit::Well);
        };
        let filter = ProcessFilter {
            process_type: Some(ProcessType::Cli),
            limit: Some(args.limit),
            ..ProcessFilter::default()
        };
        let roots = store.processes(&filter)?;
        (store, roots)
    };
    let mut seen: HashSet<Uuid> = HashSet::new();
    let mut processes = Vec::new();
    let mut open = roots;
    while let Some(process) = open.pop() {
        if seen.insert(process.id) {
            open.extend(store.process_children(process.id)?);
            processes.push(process);
        }
    }
    let nodes = tree::arrange(&processes);
    if output.is_json() {
        output.records(nodes.iter().map(|node| {
            let mut record = node.process.to_record();
            record["depth"] = json!(node.depth);
            record
        }))?;
    } else {
        output.table(&HEADER, nodes.iter().map(|node| row(node.process, &node.branch)).collect())?;
    }
    Ok(Exit::Well)
}

/// `rigup process logs`
pub(crate) fn logs(args: &LogsArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let (_, process) = find(&args.process, settings)?;
    let Some(path) = &process.order.run_dir else {
        return Err(CliError::NotFound(format!(
            "process {} is a run of rigup itself, which has no logs; `rigup process tree {}` shows its hooks",
            process.id, process.id
        )));
    };
    let run_dir = RunDir::at(path);
    let logs = [(Stream::Stdout, run_dir.stdout()), (Stream::Stderr, run_dir.stderr())];
    for (stream, log) in logs {
        if args.stream.is_some_and(|wanted| wanted != stream) {
            continue;
        }
        if args.stream.is_none() {
            output.raw(format!("==> {} <==\n", log.display()).as_bytes())?;
        }
        write_log(&log, args.lines, output)?;
    }
    Ok(Exit::Well)
}

fn write_log(log: &Path, lines: Option<usize>, output: &mut Output) -> Result<(), CliError> {
    let gone = |error: std::io::Error| {
        CliError::NotFound(format!("the log {} cannot be read: {error}", log.display()))
    };
    match lines {
        Some(lines) => output.raw(tail::read(log, lines, TAIL_BYTES).map_err(gone)?.as_bytes()),
        None => output.raw(&fs_err::read(log).map_err(gone)?),
    }
}

/// The process that a person means.
fn find(typed: &str, settings: &Settings) -> Result<(Store, Process), CliError> {
    let not_found =
        |what: String| CliError::NotFound(format!("{what}; `rigup process list` shows those there are"));
    let Some(store) = Session::read(settings)? else {
        return Err(not_found(format!("there is no process {typed}")));
    };
    match store.process_by_prefix(typed)? {
        Found::One(process) => Ok((store, process)),
        Found::Nothing => Err(not_found(format!("there is no process {typed}"))),
        Found::Many(count) => Err(not_found(format!("{typed} is the beginning of {count} ids"))),
    }
}

const HEADER: [&str; 7] = ["PROCESS", "WHAT", "END", "TOOK", "CPU", "MEMORY", "STARTED"];

/// The longest command that a table shows, in characters.
const TITLE_CHARS: usize = 80;

fn row(process: &Process, branch: &str) -> Vec<Toned> {
    let usage = process.ending().and_then(|it| it.usage);
    let title: String = process.title().chars().take(TITLE_CHARS).collect();
    let cpu =
        usage.map(|it| human::duration(jiff::SignedDuration::from_millis(millis(it.user_ms + it.sys_ms))));
    let plain = |text: String| (text, Tone::Plain);
    vec![
        plain(process.id.to_string()),
        plain(format!("{branch}{title}")),
        human::standing(process),
        plain(human::took(process, clock::now())),
        plain(cpu.unwrap_or_default()),
        plain(usage.map(|it| human::bytes(it.max_rss)).unwrap_or_default()),
        plain(process.running().map(|it| clock::spell(it.started_at)).unwrap_or_default()),
    ]
}

fn millis(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
