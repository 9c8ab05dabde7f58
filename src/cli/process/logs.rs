//! `rigup process logs`: what a process wrote, and what it writes.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::process::find;
use crate::model::process::{Process, ProcessType};
use crate::process::handle;
use crate::process::poll;
use crate::process::run_dir::RunDir;
use crate::process::tail::Follow;
use crate::settings::Settings;
use crate::store::Store;

const EXAMPLES: &str = "\
Examples:
  rigup process logs 01a1fbc3
  rigup process logs -n 20 --stream stderr 01a1fbc3
  rigup process logs -f 01a1fbc3        as it is written, until the process is over";

/// Which log to print.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsArgs {
    /// The process, by its id or the beginning or end of it
    process: String,
    /// Only the last N lines of each log
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<usize>,
    /// Only this log
    #[arg(long, value_name = "STREAM")]
    stream: Option<Stream>,
    /// Go on with what is written, until the process is over
    #[arg(long, short)]
    follow: bool,
}

/// One of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How often a log is looked at that is followed.
const LOOK: Duration = Duration::from_millis(50);

/// Runs it.
pub(crate) fn logs(args: &LogsArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let (store, process) = find(&args.process, settings)?;
    let run_dir = run_dir(&process)?;
    let all = [(Stream::Stdout, run_dir.stdout()), (Stream::Stderr, run_dir.stderr())];
    let wanted = all.into_iter().filter(|(stream, _)| args.stream.is_none_or(|it| it == *stream));
    let mut logs = Vec::new();
    for (_, path) in wanted {
        let follow = Follow::open(&path, args.lines).map_err(|error| gone(&error))?;
        logs.push((path, follow));
    }
    let mut printer = Printer { output, last: None, is_single: args.stream.is_some() };
    if !args.follow {
        for (path, log) in &mut logs {
            printer.head(path)?;
            log.read(|bytes| printer.output.raw(bytes))?;
        }
        return Ok(Exit::Well);
    }
    loop {
        // Asked before the logs are read: what is over by then has written all that there is to read.
        let is_over = is_over(&store, &process)?;
        for (path, log) in &mut logs {
            log.read(|bytes| printer.print(path, bytes))?;
        }
        printer.output.flush()?;
        if is_over {
            return Ok(Exit::Well);
        }
        poll::pause(Instant::now() + LOOK);
    }
}

/// Tells which log is which, unless there is only one.
struct Printer<'a> {
    output: &'a mut Output,
    last: Option<PathBuf>,
    is_single: bool,
}

impl Printer<'_> {
    fn print(&mut self, path: &Path, bytes: &[u8]) -> Result<(), CliError> {
        if self.last.as_deref() != Some(path) {
            self.head(path)?;
        }
        self.output.raw(bytes)
    }

    fn head(&mut self, path: &Path) -> Result<(), CliError> {
        self.last = Some(path.to_owned());
        if self.is_single {
            return Ok(());
        }
        self.output.raw(format!("==> {} <==\n", path.display()).as_bytes())
    }
}

/// Whether a process writes no more: it is recorded as over, or gone and not recorded yet.
fn is_over(store: &Store, process: &Process) -> Result<bool, CliError> {
    let Some(now) = store.process(process.id)? else { return Ok(true) };
    let is_gone = || now.running().is_some_and(|it| handle::find(&it.identity).is_none());
    Ok(now.exit().is_some() || is_gone())
}

fn run_dir(process: &Process) -> Result<RunDir, CliError> {
    if let Some(path) = &process.spec.run_dir {
        return Ok(RunDir::at(path));
    }
    let id = process.id;
    Err(CliError::NotFound(match (&process.spec.run, process.spec.process_type) {
        (Some(_), _) | (_, ProcessType::Hook) => format!(
            "the logs of {id} were removed when their time had come; `rigup process show {id}` has their ends"
        ),
        (None, ProcessType::Cli) => format!(
            "process {id} is a run of rigup itself, which has no logs; `rigup process tree {id}` shows its hooks"
        ),
        (None, _) => format!("process {id} wrote to the terminal or wherever its caller had it write"),
    }))
}

fn gone(error: &io::Error) -> CliError {
    CliError::NotFound(format!("the log cannot be read: {error}"))
}
