//! `rigup logs`: the logs of daemons, or of the processes that `rigup process logs` shows.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::count;
use crate::cli::line_printer::LinePrinter;
use crate::cli::message::{message, warning};
use crate::cli::process::logs::{self as process_logs, ProcessLogsArgs};
use crate::engine::ExitStatus;
use crate::engine::completion;
use crate::engine::daemon_logs::DaemonLogReader;
use crate::model::{Daemon, ExitReason};
use crate::process::log::is_about_truncation;
use crate::process::poll;
use crate::process::tail::POLL_INTERVAL;
use crate::report::text::printable;
use crate::sorting::collect_sorted;
use crate::store::{ProcessFilter, Store};
use crate::supervisor::execution;

/// The arguments of `rigup logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/logs.txt"))]
pub(crate) struct LogsArgs {
    /// Names of daemons [default: all], or what `process logs` takes
    #[arg(value_name = "NAME", conflicts_with = "failed", add = values(completion::logs))]
    names: Vec<String>,
    /// Print the logs of what failed in the last command that ran hooks
    #[arg(long)]
    failed: bool,
    /// Print only the last N lines of each log
    #[arg(long, alias = "tail", short = 'n', value_name = "N", value_parser = count::parse::<usize>)]
    lines: Option<usize>,
    /// Print only this log
    #[arg(long, value_name = "STREAM", value_parser = ["stdout", "stderr"])]
    stream: Option<String>,
    /// Print the output as it is written, until the daemons and their supervisor have ended
    #[arg(long, short)]
    follow: bool,
}

/// Runs `rigup logs`.
pub(crate) fn logs(args: LogsArgs, context: &mut Context) -> CommandResult {
    let store = context.store()?;
    let mut daemons = store.as_deref().map_or(Ok(Vec::new()), Store::daemons)?;
    let is_daemon = |name: &String| daemons.iter().any(|daemon| daemon.spec.is_named(name));
    let LogsArgs { names, failed, lines, stream, follow } = args;
    if failed || !names.iter().all(is_daemon) {
        let args = ProcessLogsArgs { processes: names, failed, lines, stream, follow };
        return process_logs::logs(&args, context);
    }
    daemons.retain(|daemon| names.is_empty() || names.iter().any(|name| daemon.spec.is_named(name)));
    let Some(store) = store.filter(|_| !daemons.is_empty()) else {
        message!("no daemon was started; `rigup up` starts those that ./rigup.toml declares");
        return Ok(ExitStatus::Success);
    };
    let mut printer = if names.len() == 1 && daemons.len() == 1 {
        LinePrinter::plain(&mut context.output)
    } else {
        let names = daemons.iter().map(|daemon| daemon.name.clone()).collect();
        LinePrinter::with_names(&mut context.output, names)
    };
    let result = print(DaemonLogReader::new(&store, names, stream), lines, follow, &mut printer);
    if printer.has_failed() {
        // The rest of the logs could not be printed.
        return Ok(ExitStatus::Success);
    }
    result?;
    let is_empty = printer.count == 0 && !follow && lines != Some(0);
    for daemon in &daemons {
        let is_truncated = warn_about_truncation(&store, daemon)?;
        if is_empty && !is_truncated {
            note_empty(&store, daemon)?;
        }
    }
    Ok(ExitStatus::Success)
}

/// Warns that a daemon has truncated its logs, and returns whether it has.
fn warn_about_truncation(store: &Store, daemon: &Daemon) -> Result<bool, CliError> {
    let slug = Some(execution::slug(&daemon.name));
    let executions = store.processes(&ProcessFilter { slug, ..ProcessFilter::default() })?;
    let warnings = executions.iter().flat_map(|process| process.warnings.texts());
    let warnings: BTreeSet<&String> = collect_sorted(warnings.filter(|warning| is_about_truncation(warning)));
    for warning in &warnings {
        warning!("{}: {warning}", printable(&daemon.name));
    }
    Ok(!warnings.is_empty())
}

/// Prints the kept logs, and what follows until the daemons and their supervisor have ended.
fn print(
    mut logs: DaemonLogReader<'_>,
    lines: Option<usize>,
    follows: bool,
    printer: &mut LinePrinter<'_>,
) -> Result<(), CliError> {
    logs.read_kept(lines, &mut |name, line| printer.print(name, line))?;
    while follows && logs.read(&mut |name, line| printer.print(name, line))? {
        printer.flush();
        poll::pause(Instant::now() + POLL_INTERVAL);
    }
    printer.flush();
    Ok(())
}

/// Prints why a daemon has no logs.
fn note_empty(store: &Store, daemon: &Daemon) -> Result<(), CliError> {
    let name = printable(&daemon.name);
    if daemon.process_id.is_none() {
        match &*daemon.last_error {
            "" => message!("{name} has not been started"),
            error => message!("{name} was not started: {error}"),
        }
        return Ok(());
    }
    let process = daemon.process_id.map(|id| store.process(id)).transpose()?.flatten();
    let exit = process.as_ref().and_then(|process| process.exit());
    match exit.filter(|exit| exit.reason == ExitReason::SpawnFailed) {
        Some(exit) => message!("{name} was not started: {}", exit.stderr_tail.trim_end()),
        None if process.as_ref().is_some_and(|process| process.spec.run_dir.is_none()) => {
            message!("the logs of {name} have expired");
        }
        None => message!("{name} wrote nothing"),
    }
    Ok(())
}
