//! What registries have for installed binaries: the newest release that a request accepts, and the newest of all.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::clock;
use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::event::EngineEvent;
use crate::engine::session::Session;
use crate::engine::status_check::InstallOptions;
use crate::install::listing::{self, Listing, Query, Unlisted};
use crate::install::plan::Request;
use crate::model::{Binary, Installed, Process, ProviderName, Release, ReleaseFilter, Version};
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::BINARY_VERSIONS;
use crate::process::signals::Interrupt;

/// What a registry has for an installed binary.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VersionStatus {
    /// The newest release that the request accepts; `None` if it accepts none.
    pub(crate) wanted: Option<Release>,
    /// The newest release of all.
    pub(crate) latest: Option<Release>,
    /// The only version that the overrides of the request accept, or the beginning of it; empty if they accept any.
    pub(crate) only: String,
    /// Whether the request accepts no release only because all that it accepts otherwise are too young.
    pub(crate) is_too_young: bool,
    /// Whether the newest accepted release is newer than the installed version, or the request excludes that one.
    pub(crate) is_outdated: bool,
    /// The age, in days, below which releases were left out; 0 if none were.
    pub(crate) release_age: f64,
}

/// An installed binary, and its request, whose only candidate is the provider that installed it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VersionTarget<'a> {
    /// The request.
    pub(crate) request: &'a Request,
    /// The record of the binary.
    pub(crate) binary: &'a Binary,
    /// The installed file.
    pub(crate) installed: &'a Installed,
}

/// Returns the hook with which each provider lists versions, for those that have one.
pub(crate) fn hooks(catalog: &Catalog) -> HashMap<ProviderName, &Hook> {
    let providers = catalog.providers();
    let mut hooks = catalog.discovery.hooks_of(BINARY_VERSIONS);
    hooks.retain(|hook| hook.name.background.is_none() && providers.contains(&hook.provider()));
    // The first of several counts.
    hooks.into_iter().rev().map(|hook| (hook.provider(), hook)).collect()
}

/// Returns whether a provider of a target lists versions, so that a hook has to run.
pub(crate) fn has_lister(targets: &[VersionTarget<'_>], catalog: &Catalog) -> bool {
    let hooks = hooks(catalog);
    targets.iter().any(|target| hooks.contains_key(&target.installed.binprovider))
}

/// Asks the providers, each with one hook and all of them at the same time. Returns what the registry has for each target,
/// or why its provider cannot tell. The hooks are part of the command `within`.
pub(crate) fn ask(
    session: &Session<'_>,
    catalog: &Catalog,
    options: InstallOptions,
    targets: &[VersionTarget<'_>],
    within: &Process,
    interrupt: &Interrupt,
) -> Result<Vec<Result<VersionStatus, String>>, EngineError> {
    let (hooks, configs, now) = (hooks(catalog), catalog.provider_configs(), clock::now());
    let hook_of = |target: &VersionTarget<'_>| hooks.get(&target.installed.binprovider).copied();
    let queries = targets.iter().filter_map(|target| {
        Some(Query { hook: hook_of(target)?, request: target.request, binary_id: target.binary.id })
    });
    let queries: Vec<Query<'_>> = queries.collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.jobs.unwrap_or(hooks.len()).max(1));
    let runner = session.runner(within, catalog.variables(), interrupt);
    let on_warning = |warning| session.report(EngineEvent::Warning(warning));
    let mut listings =
        listing::list(&runner, &queries, options.timeout, Some(&pool.build()?), &on_warning).into_iter();
    let default = ProviderConfig::default();
    let status = |target: &VersionTarget<'_>| {
        let provider = &target.installed.binprovider;
        let listing = hook_of(target).and_then(|_| listings.next());
        let listing =
            listing.unwrap_or_else(|| Err(Unlisted::Unknown(format!("{provider} does not list versions"))));
        status(target, listing, configs.get(provider).unwrap_or(&default), now)
    };
    Ok(targets.iter().map(status).collect())
}

/// Returns what a listing means for a binary, or why that is unknown. The age of releases counts if the provider enforces it.
fn status(
    target: &VersionTarget<'_>,
    listing: Listing,
    config: &ProviderConfig,
    now: Timestamp,
) -> Result<VersionStatus, String> {
    let listed = listing.map_err(|error| error.to_string())?;
    let provider = &target.installed.binprovider;
    let installed = target.installed.listed_version();
    if installed.is_empty() {
        return Err("the installed version is unknown".to_owned());
    }
    let filter = listing::filter(target.request, provider, config, now);
    let has_times = listed.releases.iter().any(|release| release.released_at.is_some());
    if filter.released_before.is_some() && filter.needs_time && !has_times {
        return Err("the registry has no release dates".to_owned());
    }
    let wanted = listed.newest(&filter).cloned();
    let of_any_age = ReleaseFilter { released_before: None, ..filter };
    let Installed { version, package_version, .. } = target.installed;
    // An upgrade goes back only to a version that the request accepts, if it does not accept the installed one.
    let is_accepted = target.request.versions_of(provider).contains_program(version, package_version);
    Ok(VersionStatus {
        is_too_young: wanted.is_none() && listed.newest(&of_any_age).is_some(),
        is_outdated: wanted.as_ref().is_some_and(|wanted| {
            !is_accepted || Version::parse(&wanted.version) > Version::parse(installed)
        }),
        wanted,
        latest: ReleaseFilter::default().newest(&listed.releases).cloned(),
        only: listed.only,
        release_age: if filter.released_before.is_some() && has_times {
            target.request.policy_of(provider).age()
        } else {
            0.0
        },
    })
}
