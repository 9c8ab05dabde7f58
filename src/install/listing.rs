//! The versions that providers list: runs the hooks of `BinaryVersions`, each once for all of its requests if it is a batch
//! hook.

use std::collections::HashMap;
use std::io::{self, BufReader};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rayon::ThreadPool;
use rayon::prelude::*;
use serde_json::Value;

use crate::fs::dir::make_private_dir;
use crate::hook::run::{HookJob, RunError, Runner};
use crate::install::attempt::arguments;
use crate::install::plan::Request;
use crate::install::verdict::{NO_EXIT, error_line, outcome_of_exit};
use crate::model::{BinaryId, Outcome, Release, ReleaseFilter, Version, VersionRange, Warnings};
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::discovery::Hook;
use crate::process::supervise::FinishedProcess;
use crate::protocol;
use crate::sorting::sort_by_key;
use crate::store::StoreError;

/// The maximum number of releases that are kept of a hook's output for each of its requests: ten times as many as the
/// largest package of npm has.
const MAX_RELEASES: usize = 200_000;

/// A request about which a hook is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    /// The hook of the provider.
    pub hook: &'a Hook,
    /// The request.
    pub request: &'a Request,
    /// The id of the binary's record.
    pub binary_id: BinaryId,
}

/// The releases that a provider lists for a request, or why it lists none.
pub(crate) type Listing = Result<Listed, Unlisted>;

/// The releases of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// All of them.
    pub releases: Vec<Release>,
    /// The only version that the overrides of the request accept, or the beginning of it; empty if they accept any.
    pub only: String,
}

impl Listed {
    /// Returns the newest release that a filter and the overrides of the request accept, or `None` if there is none.
    pub(crate) fn newest(&self, filter: &ReleaseFilter<'_>) -> Option<&Release> {
        let only = VersionRange::exactly(&self.only);
        filter.newest(self.releases.iter().filter(|release| release.is_in(only)))
    }
}

/// Why a provider lists no releases for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unlisted {
    /// Its registry does not have the package.
    #[error("{0}")]
    NoPackage(String),
    /// It cannot tell.
    #[error("{0}")]
    Unknown(String),
}

/// An error that keeps a hook from being run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListingError {
    /// The hook's folder cannot be created.
    #[error("cannot create the folder of the hook: {0}")]
    Folder(io::Error),
    /// The hook cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The process cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns the listing of each query, in their order. Runs one hook on each thread of the pool or, without one, one hook
/// after another. Passes warnings, each about one hook, to `on_warning`.
pub(crate) fn list(
    runner: &Runner<'_>,
    queries: &[Query<'_>],
    timeout: Duration,
    pool: Option<&ThreadPool>,
    on_warning: &(dyn Fn(String) + Sync),
) -> Vec<Listing> {
    let mut runs: Vec<Vec<usize>> = Vec::new();
    for (index, query) in queries.iter().enumerate() {
        let is_same = |run: &&mut Vec<usize>| std::ptr::eq(queries[run[0]].hook, query.hook);
        match runs.iter_mut().find(is_same).filter(|_| query.hook.name.is_batch) {
            Some(run) => run.push(index),
            None => runs.push(vec![index]),
        }
    }
    let list_run = |run: &Vec<usize>| {
        let of_run: Vec<Query<'_>> = run.iter().map(|&index| queries[index]).collect();
        let listed = run_hook(runner, &of_run, timeout, on_warning);
        let listed =
            listed.unwrap_or_else(|error| vec![Err(Unlisted::Unknown(error.to_string())); of_run.len()]);
        run.iter().copied().zip(listed).collect::<Vec<_>>()
    };
    let listed: Vec<Vec<(usize, Listing)>> = match pool {
        Some(pool) => pool.install(|| runs.par_iter().with_max_len(1).map(list_run).collect()),
        None => runs.iter().map(list_run).collect(),
    };
    let mut listed: Vec<(usize, Listing)> = listed.into_iter().flatten().collect();
    sort_by_key(&mut listed, |(index, _)| *index);
    listed.into_iter().map(|(_, listing)| listing).collect()
}

/// Runs a hook for its queries, and returns a listing for each.
fn run_hook(
    runner: &Runner<'_>,
    queries: &[Query<'_>],
    timeout: Duration,
    on_warning: &(dyn Fn(String) + Sync),
) -> Result<Vec<Listing>, ListingError> {
    let [Query { hook, request, binary_id }, ..] = *queries else { return Ok(Vec::new()) };
    let (provider, machine_id) = (&hook.plugin, runner.command.machine_id);
    let (arguments, input) = if hook.name.is_batch {
        let line = |query: &Query<'_>| {
            arguments::input_line(query.request, provider, query.binary_id, machine_id) + "\n"
        };
        (Vec::new(), Some(queries.iter().map(line).collect::<String>().into_bytes()))
    } else {
        (arguments::arguments(request, provider, binary_id, machine_id), None)
    };
    let folder = runner.settings.data_dir.join("machines").join(machine_id.to_string()).join("versions");
    let cwd = folder.join(provider.as_str());
    make_private_dir(&cwd).map_err(ListingError::Folder)?;
    let binary_id = if let [only] = queries { Some(only.binary_id) } else { None };
    let job = HookJob { hook, arguments, cwd, output_dir: None, binary_id, input, timeout };
    let ready = runner.prepare(job, || ())?;
    runner.store.save_process(&ready.process)?;
    let mut finished = runner.run(ready, &mut |_logs| ())?;
    finished.write_exit();
    let listings = listings(&mut finished, queries, timeout, on_warning);
    runner.store.save_process(&finished.process)?;
    Ok(listings)
}

/// Returns the listing of each query in the output of its hook.
fn listings(
    finished: &mut FinishedProcess,
    queries: &[Query<'_>],
    timeout: Duration,
    on_warning: &(dyn Fn(String) + Sync),
) -> Vec<Listing> {
    let for_all = |reason: &str| vec![Err(Unlisted::Unknown(reason.to_owned())); queries.len()];
    let Some(exit) = finished.process.exit().cloned() else { return for_all(NO_EXIT) };
    if let Some((_, reason)) = outcome_of_exit(&exit, timeout) {
        return for_all(&reason);
    }
    let provider = &queries[0].hook.plugin;
    let mut found: HashMap<String, Result<Vec<Release>, Unlisted>> = HashMap::new();
    let mut only: HashMap<String, String> = HashMap::new();
    let mut warnings = Warnings::default();
    let stdout = BufReader::new(finished.logs.stdout.read_from(0, exit.stdout_bytes));
    let unparsed = protocol::read(stdout, |record| {
        let text = |key: &str| record.fields.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = text("name").trim();
        let is_of_query = || queries.iter().any(|query| query.request.name.as_str() == name);
        match record.kind.as_str() {
            "Warning" => warnings.push(text("message")),
            "BinaryFailure" if is_of_query() => {
                let is_missing = text("outcome") == Outcome::Declined.as_str();
                let kind = if is_missing { Unlisted::NoPackage } else { Unlisted::Unknown };
                found.entry(name.to_owned()).or_insert_with(|| Err(kind(text("reason").to_owned())));
            }
            // A long list may be in several records.
            "BinaryVersions" if is_of_query() => {
                let entries = record.fields.get("versions").and_then(Value::as_array);
                if Version::looks_like_version(text("only")) {
                    only.insert(name.to_owned(), text("only").trim().to_owned());
                    if entries.is_none() {
                        return;
                    }
                }
                let listing = found.entry(name.to_owned()).or_insert_with(|| Ok(Vec::new()));
                if let Ok(releases) = listing {
                    let rest = MAX_RELEASES.saturating_sub(releases.len());
                    releases.extend(entries.into_iter().flatten().filter_map(Release::from_entry).take(rest));
                }
            }
            _ => {}
        }
    });
    match unparsed {
        Ok(unparsed) => unparsed.into_warnings().for_each(|warning| warnings.push(&warning)),
        Err(error) => return for_all(&format!("cannot read its output: {error}")),
    }
    for warning in warnings.texts() {
        on_warning(format!("{provider}: {warning}"));
    }
    finished.process.warnings.extend(warnings.texts());
    // Without a record, the hook says on standard error why it lists nothing.
    let nothing = || error_line(&exit).unwrap_or_else(|| "printed no BinaryVersions record".to_owned());
    let listing = |query: &Query<'_>| match found.remove(query.request.name.as_str()) {
        Some(Ok(releases)) if releases.is_empty() => Err(Unlisted::Unknown("it lists no version".to_owned())),
        Some(Ok(releases)) => {
            let only = only.remove(query.request.name.as_str()).unwrap_or_default();
            Ok(Listed { releases, only })
        }
        Some(Err(error)) => Err(error),
        None => Err(Unlisted::Unknown(nothing())),
    };
    queries.iter().map(listing).collect()
}

/// Returns what a request accepts of the releases that a provider lists. The age of releases counts if the provider enforces
/// it.
pub(crate) fn filter<'r>(
    request: &'r Request,
    provider: &str,
    config: &ProviderConfig,
    now: Timestamp,
) -> ReleaseFilter<'r> {
    let policy = request.policy_of(provider);
    let is_enforced = config.enforces.min_release_age == Some(true) && policy.age() > 0.0;
    ReleaseFilter {
        versions: request.versions_of(provider),
        released_before: is_enforced.then(|| days_before(now, policy.age())),
        needs_time: policy.min_release_age.is_some(),
    }
}

/// Returns the time this number of days before another one.
fn days_before(now: Timestamp, days: f64) -> Timestamp {
    SignedDuration::try_from_secs_f64(days * 86_400.0)
        .ok()
        .and_then(|age| now.checked_sub(age).ok())
        .unwrap_or(Timestamp::MIN)
}
