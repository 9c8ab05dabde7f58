//! `rigup process logs`: the logs of processes.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::count;
use crate::cli::message::{error, message};
use crate::cli::process::log_printer::{LogPrinter, LogSource};
use crate::cli::up;
use crate::engine::completion;
use crate::engine::daemon_logs::has_exited;
use crate::engine::logs::Logged;
use crate::engine::{EngineError, ExitStatus, logs, session};
use crate::model::{ExitReason, Process, ProcessType};
use crate::process::poll;
use crate::process::run_dir::{self, RunDir};
use crate::process::tail::{LogFollower, POLL_INTERVAL};
use crate::report::short_id::short_id;
use crate::shell;
use crate::store::Store;

/// The arguments of `rigup process logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/process_logs.txt"))]
pub(crate) struct ProcessLogsArgs {
    /// Pids, process ids, parts of ids, or names of binaries for their last attempts
    #[arg(value_name = "PROCESS", required_unless_present = "failed", conflicts_with = "failed", add = values(completion::logs))]
    pub(crate) processes: Vec<String>,
    /// Print the logs of what failed in the last command that ran hooks
    #[arg(long)]
    pub(crate) failed: bool,
    /// Print only the last N lines of each log
    #[arg(long, alias = "tail", short = 'n', value_name = "N", value_parser = count::parse::<usize>)]
    pub(crate) lines: Option<usize>,
    /// Print only this log
    #[arg(long, value_name = "STREAM", value_parser = ["stdout", "stderr"])]
    pub(crate) stream: Option<String>,
    /// Print the output as it is written, until the processes exit
    #[arg(long, short)]
    pub(crate) follow: bool,
}

/// The error if `--failed` has nothing to look into.
const NO_COMMAND: &str = "no command that ran hooks is recorded";

/// A log that is printed.
struct ShownLog<'p> {
    process: &'p Process,
    source: LogSource,
    follower: LogFollower,
}

/// Runs `rigup process logs`.
pub(crate) fn logs(args: &ProcessLogsArgs, context: &mut Context) -> CommandResult {
    let Some(store) = context.store()? else {
        return Err(match args.processes.first() {
            Some(typed) => explained(logs::not_found(typed), typed, context),
            None => CliError::not_found(NO_COMMAND),
        });
    };
    let (processes, mut status) = if args.failed {
        (failures(&store, context)?, ExitStatus::Success)
    } else {
        named(&store, &args.processes, context)?
    };
    let mut logs = Vec::new();
    for process in &processes {
        match open(&store, process, args) {
            Ok(opened) => logs.extend(opened),
            Err(error) => {
                error!("{error}");
                status = error.status;
            }
        }
    }
    if !args.follow {
        note_empty(&processes, &logs, args);
    }
    let names_processes = args.failed || args.processes.len() > 1;
    // One log alone needs no heading.
    let has_headings = names_processes || logs.iter().filter(|log| !log.follower.is_at_end()).count() > 1;
    let mut printer = LogPrinter::new(&mut context.output, context.verbosity, names_processes, has_headings);
    loop {
        // The exits are checked before the logs are read: a process that has exited has written everything.
        let mut is_last = true;
        if args.follow {
            for process in &processes {
                is_last &= has_exited(&store, process)?;
            }
        }
        for log in &mut logs {
            let read = log.follower.read(|bytes| printer.print(&log.source, bytes));
            if printer.has_failed() {
                // The rest of the logs could not be printed.
                return Ok(status);
            }
            read.map_err(|error| read_error(&error))?;
        }
        printer.flush();
        if is_last {
            printer.finish();
            return Ok(status);
        }
        poll::pause(Instant::now() + POLL_INTERVAL);
    }
}

/// Returns the processes with these names, each once, and reports the others.
fn named(
    store: &Store,
    names: &[String],
    context: &mut Context,
) -> Result<(Vec<Process>, ExitStatus), CliError> {
    let machine_id = session::machine_id(&context.settings, store)?;
    let mut processes: Vec<Process> = Vec::new();
    let mut status = ExitStatus::Success;
    for name in names {
        match logs::find(store, machine_id, name) {
            // A name comes before a part of an id here, too.
            Ok(Logged { process, .. }) if is_part_of_id(name, &process) && up::is_declared(name, context) => {
                error!("{}", not_started(name));
                status = ExitStatus::Incomplete;
            }
            Ok(Logged { process, .. }) if processes.iter().any(|known| known.id == process.id) => {}
            Ok(Logged { process, note }) => {
                if let Some(note) = note {
                    context.verbosity.note(&note);
                }
                processes.push(process);
            }
            Err(error @ EngineError::NotFound(_)) => {
                error!("{}", explained(error, name, context));
                status = ExitStatus::Incomplete;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((processes, status))
}

fn is_part_of_id(typed: &str, process: &Process) -> bool {
    let id = process.id.to_string();
    typed.len() < id.len() && (id.starts_with(typed) || id.ends_with(typed))
}

/// Returns the error for a name that means no process, which may be that of a daemon.
fn explained(error: EngineError, name: &str, context: &Context) -> CliError {
    if up::is_declared(name, context) { not_started(name) } else { error.into() }
}

/// Returns the error for a declared daemon that has not been started.
fn not_started(name: &str) -> CliError {
    let started = shell::quote_text(name);
    CliError::not_found(format!("{name} has not been started; start it with `rigup up {started}`"))
}

fn failures(store: &Store, context: &mut Context) -> Result<Vec<Process>, CliError> {
    let found = logs::failures_of_last_command(store)?;
    let (command, failures) = found.ok_or_else(|| CliError::not_found(NO_COMMAND))?;
    if failures.is_empty() {
        let command = command.title();
        let next = "`rigup logs NAME` shows the last attempt to install a binary";
        let subject = if store.has_unreadable() { "no process that can be read" } else { "no process" };
        context.verbosity.note(&format!("{subject} failed in `{command}`; {next}"));
    }
    Ok(failures)
}

/// Opens the logs of a process that are printed.
fn open<'p>(
    store: &Store,
    process: &'p Process,
    args: &ProcessLogsArgs,
) -> Result<Vec<ShownLog<'p>>, CliError> {
    let run_dir = run_dir(store, process)?;
    let all = [("stdout", run_dir.stdout()), ("stderr", run_dir.stderr())];
    let wanted = all.into_iter().filter(|(stream, _)| args.stream.as_ref().is_none_or(|name| name == stream));
    let open = |(stream, path): (&'static str, PathBuf)| {
        let follower = LogFollower::open(&path, args.lines).map_err(|error| read_error(&error))?;
        Ok(ShownLog { process, source: LogSource::new(process, stream), follower })
    };
    wanted.map(open).collect()
}

/// Prints a message for each process that wrote nothing.
fn note_empty(processes: &[Process], logs: &[ShownLog<'_>], args: &ProcessLogsArgs) {
    for process in processes.iter().filter(|_| args.lines != Some(0)) {
        let mut own = logs.iter().filter(|log| log.process.id == process.id).peekable();
        if own.peek().is_none() || own.any(|log| !log.follower.is_at_end()) {
            continue;
        }
        let id = short_id(process.id);
        match process.exit().filter(|exit| exit.reason == ExitReason::SpawnFailed) {
            Some(exit) => message!("process {id} was not started: {}", exit.stderr_tail.trim_end()),
            None => message!("process {id} wrote nothing"),
        }
    }
}

fn run_dir(store: &Store, process: &Process) -> Result<RunDir, CliError> {
    let (id, process_type) = (process.id, process.spec.process_type);
    let is_exec = process_type == ProcessType::Binary && process.spec.run.is_none();
    if let Some(run_dir) = run_dir::of(store.data_dir(), process).filter(|_| !is_exec) {
        return Ok(run_dir);
    }
    Err(CliError::not_found(match (&process.spec.run, process_type) {
        (Some(_), _) | (_, ProcessType::Hook) => {
            format!("the logs of process {id} have expired; `rigup process show {id}` shows the last lines")
        }
        (None, ProcessType::Cli) => format!(
            "process {id} is a command of rigup, which has no logs; `rigup process tree {id}` shows its hooks"
        ),
        (None, _) => {
            format!("process {id} has no logs: it wrote to the terminal or to the output of its caller")
        }
    }))
}

fn read_error(error: &io::Error) -> CliError {
    CliError::not_found(format!("cannot read the log: {error}"))
}
