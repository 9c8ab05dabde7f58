//! `rigup process kill`: terminates processes, or sends them a signal.

use std::io::{self, BufReader, IsTerminal};

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use rustix::process::Signal;
use serde_json::Value;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::message::{error, message};
use crate::cli::process::list::type_parser;
use crate::cli::process::table::write;
use crate::cli::standard_stream::StandardStream;
use crate::duration::{self, Limit};
use crate::engine::completion;
use crate::engine::processes::{self, FoundProcesses};
use crate::engine::session::Session;
use crate::engine::{EngineError, ExitStatus, Slug};
use crate::jsonl::{self, Line};
use crate::model::{Process, ProcessId, ProcessType};
use crate::process::kill::{self, KillError, KillOutcome};
use crate::process::{terminate, tree};
use crate::store::Store;

/// The arguments of `rigup process kill`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/process_kill.txt"))]
pub(crate) struct KillArgs {
    /// Pids or process ids, or a unique prefix or suffix of each [default: those piped in]
    #[arg(value_name = "PROCESS", conflicts_with_all = ["slug", "process_type"], add = values(completion::live_processes))]
    processes: Vec<String>,
    /// Select the live runs with this slug
    #[arg(long, value_name = "NAME", add = values(completion::slugs))]
    slug: Option<Slug>,
    /// Select the live processes of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = type_parser())]
    process_type: Option<ProcessType>,
    /// Send this signal
    #[arg(long, short, value_name = "SIGNAL", default_value = "TERM", value_parser = kill::parse_signal, add = ArgValueCandidates::new(signals))]
    signal: Signal,
    /// Kill whatever is still alive after TIME, or nothing (`none`) [default: 5]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_limit)]
    grace: Option<Limit>,
    /// Terminate recorded descendants, too
    #[arg(long)]
    tree: bool,
}

fn signals() -> Vec<CompletionCandidate> {
    kill::signal_names().map(CompletionCandidate::new).collect()
}

/// Runs `rigup process kill`.
pub(crate) fn kill(args: KillArgs, context: &mut Context) -> CommandResult {
    let session = context.session_with_records(false)?;
    let is_named = !args.processes.is_empty();
    let FoundProcesses { mut processes, errors } = if args.slug.is_some() || args.process_type.is_some() {
        let processes = processes::find_live(&session, args.slug, args.process_type)?;
        FoundProcesses { processes, errors: Vec::new() }
    } else if is_named {
        processes::find_all(&session, &args.processes)?
    } else {
        piped(&session)?
    };
    let mut status = ExitStatus::Success;
    for error in errors {
        error!("{error}");
        status = ExitStatus::Incomplete;
    }
    if !is_named && processes.is_empty() && status == ExitStatus::Success {
        context.verbosity.note("no live processes");
    }
    let named: Vec<ProcessId> = processes.iter().filter(|_| is_named).map(|process| process.id).collect();
    if args.tree {
        processes = processes::with_descendants(&session.store, processes)?;
    }
    let signal = args.signal;
    let is_final = matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT | Signal::KILL);
    if !is_final && args.grace.is_none() {
        let are_all_sent = send(&session.store, &processes, &named, signal);
        return Ok(if are_all_sent { status } else { status.or_incomplete() });
    }
    let grace = args.grace.map_or(terminate::GRACE, Limit::or_max);
    let (independent, dependent) = processes::split_dependent(&session.store, processes)?;
    let mut exited = Vec::new();
    for processes in [independent, dependent] {
        let outcomes = kill::kill_all(&session.store, &processes, signal, grace);
        for (process, outcome) in processes.iter().zip(outcomes) {
            let id = process.id;
            match outcome? {
                KillOutcome::Exited(process) => exited.push(*process),
                KillOutcome::AlreadyExited if args.tree || !is_named => {}
                KillOutcome::AlreadyExited => message!("process {id} has already exited"),
                // It will not start if its parent is killed as well.
                KillOutcome::Failed(KillError::NotStarted(_)) if !named.contains(&id) => {
                    context.verbosity.note(&format!("process {id} has not started yet"));
                }
                KillOutcome::Survived(survivors) => {
                    for survivor in survivors {
                        error!("cannot kill process {id}: {} survived", tree::command_line(survivor.pid));
                    }
                    status = ExitStatus::Incomplete;
                }
                KillOutcome::Failed(failure) => {
                    error!("{failure}");
                    status = ExitStatus::Incomplete;
                }
            }
        }
    }
    if !exited.is_empty() {
        write(&exited, &mut context.output);
    }
    Ok(status)
}

/// Returns the processes whose records or ids are on standard input, one on each line. Other records are left out.
fn piped(session: &Session<'_>) -> Result<FoundProcesses, CliError> {
    if io::stdin().is_terminal() {
        return Err(CliError::usage(
            "no processes: name some, select them with --slug or --type, or pipe in records as `rigup process list` prints them",
        ));
    }
    let mut ids = Vec::new();
    let mut errors = Vec::new();
    let read = jsonl::for_each_line(BufReader::new(StandardStream(io::stdin())), |number, line| {
        match parse_line(line) {
            Ok(id) => ids.extend(id),
            Err(reason) => {
                errors.push(EngineError::NotFound(format!("standard input: line {number} {reason}")));
            }
        }
    });
    read.map_err(|error| CliError::setup(format!("cannot read standard input: {error}")))?;
    let mut found = processes::find_all(session, &ids)?;
    found.errors.splice(..0, errors);
    Ok(found)
}

/// Returns the id on a line, or `None` if the line is a record of another type.
fn parse_line(line: Line<'_>) -> Result<Option<String>, String> {
    let text = match line {
        Line::Text(text) if text[0] == b'{' => text,
        Line::Text(id) => return Ok(Some(String::from_utf8_lossy(id).into_owned())),
        Line::TooLong(_) => return Err("is too long".to_owned()),
    };
    let record: Value = serde_json::from_slice(text)
        .map_err(|error| format!("is not JSON: {}", jsonl::parse_error(&error)))?;
    match (&record["type"], &record["id"]) {
        (Value::String(kind), Value::String(id)) if kind == "Process" => Ok(Some(id.clone())),
        (Value::String(kind), _) if kind != "Process" => Ok(None),
        _ => Err("is not a record of a process with an id".to_owned()),
    }
}

/// Sends a signal to processes, and returns whether all that are named are running.
fn send(store: &Store, processes: &[Process], named: &[ProcessId], signal: Signal) -> bool {
    let mut are_all_sent = true;
    for process in processes {
        if kill::signal(store, process, signal) || !named.contains(&process.id) {
            continue;
        }
        error!("cannot signal process {}: it is not running", process.id);
        are_all_sent = false;
    }
    are_all_sent
}
