//! `rigup apply`: records in, records out.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cli::command::{CliError, CommandResult, Context, interrupt};
use crate::cli::failure;
use crate::cli::install::{JobArgs, PolicyArgs};
use crate::cli::message::{error, warning};
use crate::cli::output::Output;
use crate::cli::progress::ProgressDisplay;
use crate::cli::standard_stream::StandardStream;
use crate::engine::apply::{Applier, BatchOutput};
use crate::engine::catalog::Catalog;
use crate::engine::install::TIMEOUT;
use crate::engine::status_check::InstallOptions;
use crate::engine::{Engine, EngineEvent};
use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::protocol::{Record, RecordReader, Source};

/// The arguments of `rigup apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/apply.txt"))]
pub(crate) struct ApplyArgs {
    /// Files to read records from [default: standard input]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    jobs: JobArgs,
    /// Show what would be done with each record, without doing it
    #[arg(long)]
    dry_run: bool,
}

/// The number of bytes that are read at a time. The records in one chunk are resolved together.
const CHUNK: usize = 64 << 10;

/// Runs `rigup apply`.
pub(crate) fn apply(args: &ApplyArgs, context: &mut Context) -> CommandResult {
    if args.files.is_empty() && io::stdin().is_terminal() {
        return Err(CliError::usage("no records: name a file, or pipe JSONL into `rigup apply`"));
    }
    let progress = ProgressDisplay::new(context);
    let on_event = |event: &EngineEvent<'_>| progress.show(event);
    let catalog = Catalog::read(&context.settings, &[], &on_event)?;
    let engine = if args.dry_run {
        Engine::open_for_dry_run(context.settings.clone(), &on_event)?
    } else {
        context.engine(&on_event)?
    };
    let interrupt = interrupt()?;
    let options = InstallOptions {
        waits_for_retry: true,
        jobs: args.jobs.jobs,
        timeout: args.jobs.timeout.unwrap_or(TIMEOUT),
        ..InstallOptions::default()
    };
    let policy = args.policy.into();
    let mut streams = StreamApplier {
        applier: Applier::new(&catalog, engine.session(), &interrupt, policy, options, args.dry_run, None),
        interrupt: &interrupt,
        output: &mut context.output,
        is_dry_run: args.dry_run,
    };
    let applied = streams.apply_files(&args.files);
    streams.output.drain();
    let status = streams.applier.finish()?;
    applied.map(|()| status)
}

/// The applier of a command, and the output that receives the resulting records.
struct StreamApplier<'a> {
    applier: Applier<'a>,
    interrupt: &'a Interrupt,
    output: &'a mut Output,
    is_dry_run: bool,
}

impl StreamApplier<'_> {
    fn apply_files(&mut self, files: &[PathBuf]) -> Result<(), CliError> {
        if files.is_empty() {
            return self.apply_stream("standard input", StandardStream(io::stdin()));
        }
        for path in files {
            let name = path.display().to_string();
            match File::open(path) {
                Ok(file) => self.apply_stream(&name, file)?,
                Err(error) => self.print_error(&format!("{name}: cannot read the file: {error}")),
            }
        }
        Ok(())
    }

    /// Reads a stream to its end, and applies each record as soon as it is read.
    fn apply_stream(&mut self, name: &str, mut input: impl Read + AsFd) -> Result<(), CliError> {
        let mut records = RecordReader::new(Source::File);
        let mut chunk = vec![0; CHUNK];
        let mut batch = Vec::new();
        // After a failed write, no more results can be printed.
        while self.interrupt.signal().is_none() && !self.output.has_failed() {
            let fds = [input.as_fd(), self.interrupt.fd()];
            let [can_read, _] = poll::readable(fds, Instant::now() + Duration::from_hours(1));
            if !can_read {
                continue;
            }
            let count = match input.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.print_error(&format!("cannot read {name}: {error}"));
                    0
                }
                Ok(count) => count,
            };
            records.push(&chunk[..count], |record| batch.push(record));
            if count > 0 {
                self.apply_batch(name, std::mem::take(&mut batch))?;
                continue;
            }
            let leftover = records.finish(|record| batch.push(record));
            self.apply_batch(name, batch)?;
            let ignored = leftover.ignored.saturating_sub(leftover.diagnostics.len() as u64);
            for diagnostic in leftover.diagnostics {
                self.print_error(&format!("{name}: {diagnostic}"));
            }
            if ignored > 0 {
                let lines =
                    if ignored == 1 { "line that is not a record" } else { "lines that are not records" };
                let numbers: Vec<String> = leftover.lines.iter().map(u64::to_string).collect();
                let more = if ignored > leftover.lines.len() as u64 { ", ..." } else { "" };
                warning!("{name}: ignored {ignored} {lines} (line {}{more})", numbers.join(", "));
            }
            return Ok(());
        }
        Ok(())
    }

    fn apply_batch(&mut self, name: &str, batch: Vec<Record>) -> Result<(), CliError> {
        let BatchOutput { records, results, errors, warnings } = self.applier.apply(batch)?;
        for (line, warning) in warnings {
            warning!("{name}:{line}: {warning}");
        }
        for (line, error) in errors {
            error!("{name}:{line}: {error}");
        }
        if !self.is_dry_run {
            for result in &results {
                failure::print(result, false);
            }
        }
        self.output.records(records);
        self.output.flush();
        Ok(())
    }

    fn print_error(&mut self, text: &str) {
        self.applier.add_failure();
        error!("{text}");
    }
}
