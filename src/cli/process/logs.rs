//! `rigup process logs`

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::process::find;
use crate::engine::ExitStatus;
use crate::model::{Process, ProcessType};
use crate::process::handle;
use crate::process::poll;
use crate::process::run_dir::RunDir;
use crate::process::tail::LogFollower;
use crate::store::Store;

const EXAMPLES: &str = "\
Examples:
  rigup process logs 4d5b21c7
  rigup process logs -n 20 --stream stderr 4d5b21c7
  rigup process logs -f 4d5b21c7        Print the output as it is written, until the process exits";

/// Which logs to print.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
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

/// How often a log that is followed is read.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// `rigup process logs`
pub(crate) fn logs(args: &LogsArgs, context: &mut Context) -> Result<ExitStatus, CliError> {
    let (store, process) = find(&args.process, context)?;
    let run_dir = run_dir(&process)?;
    let all = [(Stream::Stdout, run_dir.stdout()), (Stream::Stderr, run_dir.stderr())];
    let wanted = all.into_iter().filter(|(stream, _)| args.stream.is_none_or(|wanted| wanted == *stream));
    let mut logs = Vec::new();
    for (_, path) in wanted {
        let follow = LogFollower::open(&path, args.lines).map_err(|error| unreadable(&error))?;
        logs.push((path, follow));
    }
    let mut printer =
        LogPrinter { output: &mut context.output, last: None, is_single: args.stream.is_some() };
    if !args.follow {
        for (path, log) in &mut logs {
            printer.print_heading(path)?;
            log.read(|bytes| printer.output.raw(bytes))?;
        }
        return Ok(ExitStatus::Success);
    }
    loop {
        // Checked before the logs are read: a process that has exited by then has written everything.
        let has_exited = has_exited(&store, &process)?;
        for (path, log) in &mut logs {
            log.read(|bytes| printer.print(path, bytes))?;
        }
        printer.output.flush()?;
        if has_exited {
            return Ok(ExitStatus::Success);
        }
        poll::pause(Instant::now() + POLL_INTERVAL);
    }
}

/// Prints logs, with a heading for each unless there is only one.
struct LogPrinter<'a> {
    output: &'a mut Output,
    last: Option<PathBuf>,
    is_single: bool,
}

impl LogPrinter<'_> {
    fn print(&mut self, path: &Path, bytes: &[u8]) -> Result<(), CliError> {
        if self.last.as_deref() != Some(path) {
            self.print_heading(path)?;
        }
        self.output.raw(bytes)
    }

    fn print_heading(&mut self, path: &Path) -> Result<(), CliError> {
        self.last = Some(path.to_owned());
        if self.is_single {
            return Ok(());
        }
        self.output.raw(format!("==> {} <==\n", path.display()).as_bytes())
    }
}

/// Whether a process writes nothing more: its exit is recorded, or it is gone and its record not completed yet.
fn has_exited(store: &Store, process: &Process) -> Result<bool, CliError> {
    let Some(now) = store.process(process.id)? else { return Ok(true) };
    let is_gone = || now.running().is_some_and(|running| handle::find(&running.identity).is_none());
    Ok(now.exit().is_some() || is_gone())
}

fn run_dir(process: &Process) -> Result<RunDir, CliError> {
    if let Some(path) = &process.spec.run_dir {
        return Ok(RunDir::at(path));
    }
    let id = process.id;
    Err(CliError::NotFound(match (&process.spec.run, process.spec.process_type) {
        (Some(_), _) | (_, ProcessType::Hook) => {
            format!("the logs of process {id} have expired; `rigup process show {id}` has the last lines")
        }
        (None, ProcessType::Cli) => format!(
            "process {id} is a command of rigup, which has no logs; `rigup process tree {id}` shows its hooks"
        ),
        (None, _) => {
            format!("process {id} has no logs: it wrote to the terminal or to the output of its caller")
        }
    }))
}

fn unreadable(error: &io::Error) -> CliError {
    CliError::NotFound(format!("cannot read the log: {error}"))
}
