//! `rigup process logs`: the logs of a process.

use std::io;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::output::Output;
use crate::engine::ExitStatus;
use crate::model::{Process, ProcessType};
use crate::process::handle;
use crate::process::poll;
use crate::process::run_dir::{self, RunDir};
use crate::process::tail::LogFollower;
use crate::store::Store;

/// The arguments of `rigup process logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/process_logs.txt"))]
pub(crate) struct LogsArgs {
    /// Process id, or a unique prefix or suffix of it
    process: String,
    /// Print only the last N lines of each log
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<usize>,
    /// Print only this log
    #[arg(long, value_name = "STREAM")]
    stream: Option<Stream>,
    /// Print the output as it is written, until the process exits
    #[arg(long, short)]
    follow: bool,
}

/// One of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The time between two reads of a log that is followed.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Runs `rigup process logs`.
pub(crate) fn logs(args: &LogsArgs, context: &mut Context) -> CommandResult {
    let (store, process) = context.process(&args.process)?;
    let run_dir = run_dir(&store, &process)?;
    let all = [(Stream::Stdout, run_dir.stdout()), (Stream::Stderr, run_dir.stderr())];
    let wanted = all.into_iter().filter(|(stream, _)| args.stream.is_none_or(|wanted| wanted == *stream));
    let mut logs = Vec::new();
    for (_, path) in wanted {
        let log = LogFollower::open(&path, args.lines).map_err(|error| read_error(&error))?;
        logs.push((path, log));
    }
    let output = &mut context.output;
    let mut last = None;
    loop {
        // The exit is checked before the logs are read: a process that has exited has written everything.
        let is_last = !args.follow || has_exited(&store, &process)?;
        for (path, log) in &mut logs {
            let mut print_heading = |output: &mut Output| {
                if args.stream.is_none() && last.as_ref() != Some(path) {
                    output.line(format_args!("==> {} <==", path.display()));
                    last = Some(path.clone());
                }
            };
            if !args.follow {
                print_heading(output);
            }
            let take = |bytes: &[u8]| {
                print_heading(output);
                output.raw(bytes);
                if output.has_failed() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
            };
            match log.read(take) {
                // The rest of the logs could not be printed.
                Err(_) if output.has_failed() => break,
                read => read.map_err(|error| read_error(&error))?,
            }
        }
        output.flush();
        if is_last || output.has_failed() {
            return Ok(ExitStatus::Success);
        }
        poll::pause(Instant::now() + POLL_INTERVAL);
    }
}

/// Whether a process has exited: its exit is recorded, or it no longer exists and its record is not yet completed.
fn has_exited(store: &Store, process: &Process) -> Result<bool, CliError> {
    let Some(current) = store.process(process.id)? else { return Ok(true) };
    let has_vanished = || current.running().is_some_and(|running| handle::find(&running.identity).is_none());
    Ok(current.exit().is_some() || has_vanished())
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
