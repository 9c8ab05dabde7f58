//! The reports of commands for CI systems.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use jiff::SignedDuration;

use crate::clock;
use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::hook_logs::{self, LogLimit, RanHook};
use crate::engine::install::InstallPlan;
use crate::engine::lockfile_update::LockReport;
use crate::engine::session::{self, Session};
use crate::engine::step_result::StepResult;
use crate::install::plan::{self, Refusal};
use crate::install::resolver::Resolved;
use crate::lockfile::Pin;
use crate::model::ProcessId;
use crate::plugin::discovery::Hook;
use crate::plugin::requirement::Diagnostic;
use crate::report::job_report::{ItemOutcome, JobItem, JobReport, Place};
use crate::report::tables;
use crate::settings::Settings;
use crate::store::Store;

/// How much of each log is in a report.
const LOG_LIMIT: LogLimit = LogLimit { lines: 200, bytes: 64 << 10 };

/// The headings of reports about binaries, and of those about hooks.
const BINARY_COLUMNS: [&str; 6] = ["binary", "status", "version", "provider", "reason", "time"];
const HOOK_COLUMNS: [&str; 4] = ["hook", "status", "reason", "time"];

/// Returns the report of an install or a lookup.
pub(crate) fn of_install(plan: &InstallPlan, results: &[StepResult], session: &Session<'_>) -> JobReport {
    let missing = plan.steps.iter().zip(results).filter(|(_, result)| !result.is_linked());
    let missing: Vec<String> = missing.map(|(step, _)| plan::name_of(step).to_string()).collect();
    let bin_dir = session.settings.lib_bin_dir.to_string_lossy().into_owned();
    JobReport {
        command: if plan.options.is_lookup { "rigup load" } else { "rigup install" }.to_owned(),
        columns: &BINARY_COLUMNS,
        items: binary_items(plan, results, &session.store, &session.settings.data_dir),
        problems: problems(&plan.catalog.discovery.diagnostics),
        outputs: vec![
            ("lib-bin-dir", bin_dir.clone()),
            ("installed", (results.len() - missing.len()).to_string()),
            ("missing", missing.join("\n")),
        ],
        bin_dir: Some(bin_dir),
        ..JobReport::default()
    }
}

/// Returns an item for each binary of an install or a lookup. The log of a hook that ran for several binaries is in the
/// first item that failed.
fn binary_items(plan: &InstallPlan, results: &[StepResult], store: &Store, data_dir: &Path) -> Vec<JobItem> {
    let hooks = hook_logs::of_results(results, store).into_iter().map(|hook| (hook.process.id, hook));
    let hooks: HashMap<ProcessId, RanHook> = hooks.collect();
    let mut reported: HashSet<ProcessId> = HashSet::new();
    let items = plan.steps.iter().zip(results).map(|(step, result)| {
        let name = plan::name_of(step);
        let ids = result.attempts().iter().filter_map(|attempt| attempt.process_id);
        let own: Vec<&RanHook> = ids.filter_map(|id| hooks.get(&id)).collect();
        let is_done = result.is_linked();
        let logs = own.iter().filter(|hook| !is_done && reported.insert(hook.process.id));
        let logs = logs.flat_map(|hook| hook_logs::read(data_dir, hook, LOG_LIMIT)).collect();
        let installed = result.installed();
        let value = |value: Option<&str>| value.unwrap_or_default().to_owned();
        JobItem {
            name: name.to_string(),
            outcome: match result {
                _ if is_done => ItemOutcome::Done,
                _ if result.is_interrupted() => ItemOutcome::Skipped,
                _ => ItemOutcome::Failed,
            },
            cells: vec![
                status(result, plan.options.is_lookup).to_owned(),
                value(installed.map(|installed| installed.version.as_str())),
                value(installed.map(|installed| installed.binprovider.as_str())),
            ],
            reason: reason(result, plan.options.is_lookup),
            elapsed: elapsed(&own),
            place: place_of_requirement(&plan.catalog, name.as_str()),
            logs,
            ..JobItem::default()
        }
    });
    items.collect()
}

/// Returns the line that requires a binary, or `None` if no file does.
fn place_of_requirement(catalog: &Catalog, name: &str) -> Option<Place> {
    let mut requirements = catalog.requirements.iter().chain(&catalog.provider_requirements);
    let requirement = requirements.find(|requirement| requirement.name.as_str() == name)?;
    Place::of_source(&requirement.source)
}

fn status(result: &StepResult, is_lookup: bool) -> &'static str {
    match result {
        result if result.is_linked() => "installed",
        result if result.is_installed() => "not linked",
        result if result.is_interrupted() => "interrupted",
        _ if is_lookup => "missing",
        _ => "failed",
    }
}

/// Returns why a binary is not installed or not linked; empty if it is both.
fn reason(result: &StepResult, is_lookup: bool) -> String {
    if let Some(error) = result.link_error() {
        return error.to_owned();
    }
    match result {
        StepResult::Refused(Refusal { reason, .. }, _) => reason.clone(),
        StepResult::Unresolved(_, error) => error.to_string(),
        StepResult::Resolved(request, Resolved { has_succeeded: false, problem, .. }) if is_lookup => {
            problem.clone().unwrap_or_else(|| format!("{request} is not installed"))
        }
        StepResult::Resolved(_, Resolved { binary, has_succeeded: false, .. }) => {
            binary.backoff.last_error.clone()
        }
        StepResult::Deferred(_, binary, _) => binary.backoff.last_error.clone(),
        StepResult::AlreadyInstalled(_) | StepResult::Planned(_) | StepResult::Resolved(..) => String::new(),
    }
}

/// Returns how long hooks ran in total, or `None` if there were none.
fn elapsed(hooks: &[&RanHook]) -> Option<SignedDuration> {
    hooks
        .iter()
        .filter_map(|hook| tables::elapsed(&hook.process, clock::now()))
        .reduce(|one, other| one + other)
}

/// Returns the report of a lock file that was written or checked. A binary that could not be installed has the reason and
/// the log of the install.
pub(crate) fn of_lock(
    report: &LockReport,
    lockfile: &Path,
    is_check: bool,
    settings: &Settings,
) -> Result<JobReport, EngineError> {
    let store = session::open_to_read(settings, &|_event| {})?;
    let installed =
        report.installed.as_ref().zip(store).map(|(installed, store)| {
            binary_items(&report.plan, &installed.results, &store, &settings.data_dir)
        });
    let file_problem = report.file_problem(lockfile, is_check);
    // The rows of removed lines come after those of the steps.
    let mut installed = installed.into_iter().flatten();
    let items = report.rows.iter().map(|row| {
        let installed = installed.next().unwrap_or_default();
        let place = place_of_requirement(&report.plan.catalog, &row.name);
        let is_ok = row.change.is_ok(is_check);
        let value = |of: fn(&Pin) -> &str| row.line.as_ref().map_or("", of).to_owned();
        JobItem {
            name: row.name.clone(),
            outcome: if is_ok { ItemOutcome::Done } else { ItemOutcome::Failed },
            cells: vec![
                row.change.as_str().to_owned(),
                value(|line| &line.version),
                value(|line| line.binprovider.as_str()),
            ],
            reason: report
                .problem_of(row, lockfile, is_check)
                .or_else(|| file_problem.clone())
                .unwrap_or(installed.reason),
            elapsed: installed.elapsed,
            place: place.or_else(|| place_of_file(lockfile, None)),
            logs: installed.logs,
            ..JobItem::default()
        }
    });
    let items: Vec<JobItem> = items.collect();
    let done = items.iter().filter(|item| item.outcome == ItemOutcome::Done).count();
    Ok(JobReport {
        command: if is_check { "rigup lock --check" } else { "rigup lock" }.to_owned(),
        columns: &BINARY_COLUMNS,
        closing: format!("{done} of {} up to date", items.len()),
        items,
        problems: problems(&report.plan.catalog.discovery.diagnostics),
        ..JobReport::default()
    })
}

/// Returns the place of a file, or `None` if it does not exist.
pub(crate) fn place_of_file(path: &Path, line: Option<usize>) -> Option<Place> {
    let file = std::path::absolute(path).ok().filter(|file| file.exists())?;
    Some(Place { file: file.to_string_lossy().into_owned(), line: line.map(|line| line as u64) })
}

/// Returns the report of `rigup run` without its items.
pub(crate) fn of_run(diagnostics: &[Diagnostic]) -> JobReport {
    JobReport {
        command: "rigup run".to_owned(),
        columns: &HOOK_COLUMNS,
        problems: problems(diagnostics),
        ..JobReport::default()
    }
}

/// Returns the item of a hook of an event that has ended. `reason` says why it failed or was skipped.
pub(crate) fn of_hook(
    hook: &Hook,
    ran: &RanHook,
    outcome: ItemOutcome,
    reason: String,
    data_dir: &Path,
) -> JobItem {
    let is_failure = outcome == ItemOutcome::Failed;
    JobItem {
        group: hook.plugin.to_string(),
        name: ran.label.clone(),
        outcome,
        cells: vec![tables::process_state(&ran.process).text],
        reason,
        elapsed: tables::elapsed(&ran.process, clock::now()),
        place: is_failure.then(|| Place { file: hook.path.to_string_lossy().into_owned(), line: None }),
        logs: if is_failure { hook_logs::read(data_dir, ran, LOG_LIMIT) } else { Vec::new() },
    }
}

fn problems(diagnostics: &[Diagnostic]) -> Vec<JobItem> {
    let item = |diagnostic: &Diagnostic| JobItem {
        name: diagnostic.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        outcome: ItemOutcome::Failed,
        reason: diagnostic.message.clone(),
        place: Some(Place { file: diagnostic.path.to_string_lossy().into_owned(), line: diagnostic.line }),
        ..JobItem::default()
    };
    diagnostics.iter().map(item).collect()
}
