//! `rigup upgrade`: newer versions of installed binaries.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::specs;
use crate::cli::failure;
use crate::cli::install::{self, JobArgs, PolicyArgs};
use crate::cli::message::{error, message, print_diagnostics, print_event};
use crate::cli::progress::ProgressDisplay;
use crate::clock;
use crate::engine::completion;
use crate::engine::lockfile_update::{self, LockChange};
use crate::engine::session;
use crate::engine::upgrade::{self, Asked, Upgrade, UpgradePlan};
use crate::engine::upgrade_outcome::UpgradeOutcome;
use crate::engine::{EngineEvent, ExitStatus, InstallReport};
use crate::lockfile;
use crate::report::table::{Cell, Column, Table};
use crate::report::{closing, text};
use crate::sorting::collect_sorted;

/// The arguments of `rigup upgrade`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/upgrade.txt"))]
pub(crate) struct UpgradeArgs {
    /// Binaries, each as [PROVIDER:]NAME[@VERSION] [default: everything that is installed]
    #[arg(value_name = "NAME", add = specs(completion::installed_specs))]
    names: Vec<String>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    jobs: JobArgs,
    /// Show which binaries have a newer version, without installing it
    #[arg(long)]
    dry_run: bool,
    /// Also update their lines in the lock file
    #[arg(long, conflicts_with = "dry_run")]
    lock: bool,
    /// Read and write the lock file FILE
    #[arg(long, value_name = "FILE", default_value = lockfile::FILE_NAME)]
    lockfile: PathBuf,
}

/// Runs `rigup upgrade`.
pub(crate) fn upgrade(args: UpgradeArgs, context: &mut Context) -> CommandResult {
    if args.lock {
        lockfile_update::check_writable(&args.lockfile, &context.settings, &print_event)?;
    }
    let request = install::request_for(args.names, args.policy, args.jobs);
    if !args.dry_run {
        session::make_store_readable(&context.settings, &print_event)?;
    }
    let mut plan = UpgradePlan::new(&request, &context.settings, &print_event)?;
    if args.dry_run {
        if plan.asks(Asked::Upgradable) {
            if let Some(signal) = plan.ask_alone(Asked::Upgradable, &context.settings, &print_event)? {
                return Ok(ExitStatus::Interrupted(signal));
            }
            plan.leave_out_newest(&context.settings);
        }
        let results = plan.install.dry_run(&context.settings, &print_event)?;
        return Ok(print(&plan, &plan.finish(results), context));
    }
    let started = clock::now();
    let mut report = None;
    if !plan.install.steps.is_empty() || plan.asks(Asked::Upgradable) {
        let progress = ProgressDisplay::new(context);
        let on_event = |event: &EngineEvent<'_>| progress.show(event);
        let engine = context.engine(&on_event)?;
        report = engine.upgrade(&mut plan, |_results| progress.clear())?;
    }
    let has_run = report.is_some();
    let interrupted = report.as_ref().map_or(ExitStatus::Success, InstallReport::exit_status);
    let upgrades = plan.finish(report.map(|report| report.results).unwrap_or_default());
    let status = print(&plan, &upgrades, context);
    if let ExitStatus::Interrupted(_) | ExitStatus::Setup = interrupted {
        return Ok(interrupted);
    }
    if has_run {
        let count = |outcome| upgrades.iter().filter(|upgrade| upgrade.outcome == outcome).count();
        let done = count(UpgradeOutcome::Upgraded);
        let others =
            [(count(UpgradeOutcome::Downgraded), "downgraded"), (count(UpgradeOutcome::Failed), "failed")];
        let elapsed = clock::now().duration_since(started);
        let closing = closing::line(done, upgrades.len(), "upgraded", &others, elapsed);
        context.verbosity.close(&closing, &context.settings);
    }
    if args.lock {
        print_locked(&plan, &args.lockfile, &upgrades, context)?;
    } else {
        let outdated = upgrade::outdated_lines(&args.lockfile, &upgrades, &context.settings);
        if !outdated.is_empty() {
            let names: Vec<&str> = outdated.iter().map(String::as_str).collect();
            let command = lockfile::upgrade_command(&args.lockfile, &names);
            let path = args.lockfile.display();
            message!("{path} still pins the earlier versions; to update it, run `{command}`");
        }
    }
    Ok(status)
}

/// Updates the lock file, and prints how each line differs.
fn print_locked(
    plan: &UpgradePlan,
    path: &Path,
    upgrades: &[Upgrade],
    context: &Context,
) -> Result<(), CliError> {
    let rows = plan.update_lockfile(path, upgrades, &context.settings, &print_event)?;
    for row in &rows {
        if let LockChange::Changed(values) = &row.change {
            context.verbosity.note(&format!("{}: {}: {values}", path.display(), row.name));
        }
    }
    Ok(())
}

/// Prints what became of each binary, and returns the exit status.
fn print(plan: &UpgradePlan, upgrades: &[Upgrade], context: &mut Context) -> ExitStatus {
    let columns = [
        Column::new("BINARY").cut_end(20),
        Column::new("STATUS"),
        Column::new("PREVIOUS").cut_end(12),
        Column::new("VERSION").cut_end(12),
        Column::new("PROVIDER").cut_end(12),
    ];
    let records = upgrades.iter().map(Upgrade::to_record);
    context
        .output
        .list(records, "no binary is installed", || Table::with_rows(columns, upgrades.iter().map(cells)));
    context.output.flush();
    let mut status = print_diagnostics(&plan.install.catalog);
    for upgrade in upgrades {
        print_outcome(plan, upgrade, context);
        let has_link = upgrade.result.as_ref().is_none_or(|result| result.link_error().is_none());
        if plan.is_failure(upgrade.outcome) || !has_link {
            status = status.or_incomplete();
        }
    }
    let is_limited = |upgrade: &&Upgrade| {
        use UpgradeOutcome::{HeldBack, Unchanged, UpToDate, Upgraded};
        matches!(upgrade.outcome, Upgraded | UpToDate | Unchanged | HeldBack) && upgrade.release_age > 0.0
    };
    let ages = upgrades.iter().filter(is_limited).map(|upgrade| upgrade.release_age.to_string());
    let ages: BTreeSet<String> = collect_sorted(ages);
    let ages: Vec<String> = ages.into_iter().collect();
    if !ages.is_empty() {
        let days = text::list(&ages, ages.len());
        context.verbosity.note(&format!(
            "releases of the last {days} days were left out; `--min-release-age 0` allows them"
        ));
    }
    status
}

fn print_outcome(plan: &UpgradePlan, upgrade: &Upgrade, context: &Context) {
    let Upgrade { name, earlier, outcome, reason, result, .. } = upgrade;
    let version = upgrade.installed().map_or("", |installed| &*installed.version);
    let previous = earlier.as_ref().map_or("", |earlier| &*earlier.version);
    let or_unknown = |version: &str| if version.is_empty() { "unknown" } else { version }.to_owned();
    let limit = if reason.is_empty() { String::new() } else { format!("; {reason}") };
    match (outcome, result) {
        (UpgradeOutcome::Upgraded | UpgradeOutcome::Downgraded, _) => {
            let (previous, version) = (or_unknown(previous), or_unknown(version));
            let older = if *outcome == UpgradeOutcome::Downgraded { " (older)" } else { "" };
            context.verbosity.note(&format!("{name}: {previous} -> {version}{older}{limit}"));
        }
        (UpgradeOutcome::UpToDate, _) => {
            context.verbosity.note(&format!("{name} is up to date ({}){limit}", or_unknown(version)));
        }
        (UpgradeOutcome::Unchanged, _) => {
            context.verbosity.note(&format!("{name} is unchanged ({}): {reason}", or_unknown(version)));
        }
        (UpgradeOutcome::HeldBack, _) => {
            context.verbosity.note(&format!("{name} is held back ({previous}): {reason}"));
        }
        (UpgradeOutcome::Planned, _) => {
            if let Some(wanted) = &upgrade.wanted {
                context.verbosity.note(&format!("{name}: {} -> {wanted}", or_unknown(previous)));
            }
        }
        (UpgradeOutcome::Foreign, _) if !plan.is_failure(*outcome) => {
            context.verbosity.note(&format!("{name} is not upgraded: {reason}"));
        }
        (UpgradeOutcome::Failed, Some(result)) => failure::print(result, false),
        (UpgradeOutcome::Foreign | UpgradeOutcome::Failed, _) => error!("cannot upgrade {name}: {reason}"),
    }
    if let Some(result) = result
        && (outcome.has_other_version()
            || matches!(outcome, UpgradeOutcome::UpToDate | UpgradeOutcome::Unchanged))
    {
        failure::print(result, false);
    }
}

fn cells(upgrade: &Upgrade) -> [Cell; 5] {
    let word = upgrade.outcome.as_str();
    let status = match upgrade.outcome {
        UpgradeOutcome::Upgraded => Cell::success(word),
        UpgradeOutcome::Failed => Cell::failure(word),
        UpgradeOutcome::Downgraded
        | UpgradeOutcome::UpToDate
        | UpgradeOutcome::Unchanged
        | UpgradeOutcome::HeldBack
        | UpgradeOutcome::Foreign
        | UpgradeOutcome::Planned => Cell::plain(word),
    };
    let (earlier, now) = (upgrade.earlier.as_ref(), upgrade.installed());
    let version = now.map_or("", |installed| &*installed.version);
    let planned = upgrade.wanted.as_deref().filter(|_| upgrade.outcome == UpgradeOutcome::Planned);
    [
        Cell::plain(&upgrade.name),
        status,
        Cell::plain(earlier.map_or("", |installed| &*installed.version)),
        Cell::plain(planned.unwrap_or(version)),
        Cell::plain(now.map_or("", |installed| installed.binprovider.as_str())),
    ]
}
