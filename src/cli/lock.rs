//! `rigup lock`: writes the installed versions to a lock file.

use std::path::{Path, PathBuf};

use crate::cli::ci::CiArgs;
use crate::cli::command::{CommandResult, Context};
use crate::cli::completions::list_of;
use crate::cli::failure;
use crate::cli::install::{self, JobArgs, NOTHING_REQUIRED, PolicyArgs, SelectionArgs};
use crate::cli::message::{error, message, print_diagnostics};
use crate::cli::output::Output;
use crate::cli::progress::ProgressDisplay;
use crate::engine::completion;
use crate::engine::job;
use crate::engine::lockfile_update::{self, LockChange, LockReport, LockRequest, LockRow};
use crate::engine::{EngineError, ExitStatus};
use crate::lockfile::{self, Pin};
use crate::report::table::{Cell, Column, Table};

/// The arguments of `rigup lock`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/lock.txt"))]
pub(crate) struct LockArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Try only these providers, in this order
    #[arg(long, value_name = "X,Y", add = list_of(completion::provider_list))]
    binproviders: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    jobs: JobArgs,
    /// Write the lock file to FILE
    #[arg(long, value_name = "FILE", default_value = lockfile::FILE_NAME)]
    lockfile: PathBuf,
    /// Exit with 1 if the lock file is not up to date
    #[arg(long)]
    check: bool,
    /// Remove this platform's lines for binaries no longer required
    #[arg(long, conflicts_with_all = ["names", "plugins"])]
    prune: bool,
    #[command(flatten)]
    pub(crate) ci: CiArgs,
}

/// Runs `rigup lock`.
pub(crate) fn lock(args: LockArgs, context: &mut Context) -> CommandResult {
    context.report.ci = args.ci.begin(&context.settings.command_environment)?;
    let request = LockRequest {
        install: install::request(args.selection, args.binproviders, args.policy, args.jobs),
        lockfile: args.lockfile,
        is_check: args.check,
        is_prune: args.prune,
    };
    let progress = ProgressDisplay::new(context);
    let report = lockfile_update::lock(&request, &context.settings, &|event| progress.show(event));
    progress.clear();
    if let Err(EngineError::Interrupted(signal)) = report {
        message!("interrupted: {} is unchanged", request.lockfile.display());
        return Ok(ExitStatus::Interrupted(signal));
    }
    let report = report?;
    print_rows(&report.rows, request.is_check, &mut context.output);
    print_diagnostics(&report.plan.catalog);
    let has_diagnostics = !report.plan.catalog.discovery.diagnostics.is_empty();
    if report.rows.is_empty() && !report.has_file {
        if has_diagnostics {
            return Ok(report.status.or_incomplete());
        }
        let text = format!("{NOTHING_REQUIRED}; {} does not exist", request.lockfile.display());
        if request.is_check {
            error!("{text}");
            return Ok(report.status.or_incomplete());
        }
        context.verbosity.note(&text);
        return Ok(report.status);
    }
    if report.rows.is_empty() && !request.is_prune && !has_diagnostics {
        context.verbosity.note(NOTHING_REQUIRED);
    }
    let results = report.installed.iter().flat_map(|installed| &installed.results);
    for (step, result) in report.plan.steps.iter().zip(results) {
        failure::print(result, false);
        failure::print_open_registries(step, result, &report.plan);
    }
    print_changes(&report, &request.lockfile, request.is_check, context);
    if context.report.is_wanted() {
        let job = job::of_lock(&report, &request.lockfile, request.is_check, &context.settings)?;
        context.report.job = Some(job);
    }
    let is_ok = report.rows.iter().all(|row| row.change.is_ok(request.is_check))
        && (report.is_up_to_date || !request.is_check);
    Ok(if is_ok { report.status } else { report.status.or_incomplete() })
}

fn print_rows(rows: &[LockRow], is_check: bool, output: &mut Output) {
    let columns = [
        Column::new("BINARY").cut_end(20),
        Column::new("STATUS"),
        Column::new("VERSION").cut_end(12),
        Column::new("PROVIDER"),
    ];
    let cells = rows.iter().map(|row| cells(row, is_check));
    output.list(rows.iter().map(|row| &row.record), "", || Table::with_rows(columns, cells));
    output.flush();
}

fn cells(row: &LockRow, is_check: bool) -> [Cell; 4] {
    let word = row.change.as_str();
    let status = match row.change {
        LockChange::Unchanged => Cell::plain(word),
        _ if row.change.is_ok(is_check) => Cell::success(word),
        _ => Cell::failure(word),
    };
    let value = |of: fn(&Pin) -> &str| Cell::plain(row.line.as_ref().map_or("", of));
    [Cell::plain(&row.name), status, value(|line| &line.version), value(|line| line.binprovider.as_str())]
}

/// Prints how each line differs, and how many lines were written.
fn print_changes(report: &LockReport, path: &Path, is_check: bool, context: &Context) {
    if let Some(problem) = report.file_problem(path, is_check) {
        error!("{problem}");
    }
    for row in &report.rows {
        match (report.problem_of(row, path, is_check), &row.change) {
            (Some(problem), _) => error!("{problem}"),
            (None, LockChange::Changed(values)) => {
                context.verbosity.note(&format!("{}: {values}", row.name));
            }
            (None, _) => {}
        }
    }
    let (file, path) = (path, path.display());
    let count = |word: &str| report.rows.iter().filter(|row| row.change.as_str() == word).count();
    if is_check && !report.is_up_to_date && count("unchanged") == report.rows.len() {
        let command = lockfile::command(file, &[]);
        error!("{path}: the lines are not sorted and formatted as `{command}` writes them; run it");
    } else if report.is_up_to_date && report.rows.iter().all(|row| row.change.is_ok(is_check)) {
        context.verbosity.note(&format!("{path} is up to date"));
    } else if !is_check && !report.is_up_to_date {
        let counts = ["added", "changed", "removed", "unchanged"].map(|word| (count(word), word));
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        context.verbosity.note(&format!("{path}: {}", counts.join(", ")));
    }
}
