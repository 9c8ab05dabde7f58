//! The requests in the records of binaries, for what no plugin requires.

use std::collections::HashMap;

use crate::clock;
use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::event::OnEvent;
use crate::engine::session;
use crate::install::plan::{HostProviders, Selection};
use crate::model::{Binary, Policy, ProviderName, VersionRange};
use crate::plugin::builtin;
use crate::plugin::overrides::Rules;
use crate::plugin::requirement::{self, Providers, Requirement};
use crate::settings::Settings;
use crate::sorting::sort_by;
use crate::store::StoreError;

/// A function that returns the binaries of this machine that have a record.
pub(crate) type FindBinaries<'a> = &'a mut dyn FnMut() -> Result<HashMap<String, Binary>, EngineError>;

/// Reads the binaries of this machine from the store, which is opened for this alone.
pub(crate) fn read_binaries(
    settings: &Settings,
    on_event: OnEvent<'_>,
) -> Result<HashMap<String, Binary>, EngineError> {
    match session::open_to_read_with_machine(settings, on_event)? {
        Some((store, machine)) => Ok(store.binaries_of(machine.id)?),
        None => Ok(HashMap::new()),
    }
}

/// Returns the stored requests of binaries, sorted by name.
pub(crate) fn all(binaries: &HashMap<String, Binary>, settings: &Settings) -> Vec<Requirement> {
    let mut binaries: Vec<&Binary> = binaries.values().collect();
    sort_by(&mut binaries, |one, other| one.name.cmp(&other.name));
    let parse = |binary: &Binary| {
        let record = binary.to_record(&[]);
        let requirement = requirement::parse_record(record.as_object()?, settings.home.as_deref()).ok()?;
        Some(Requirement { source: "the stored request".to_owned(), ..requirement })
    };
    binaries.into_iter().filter_map(parse).collect()
}

/// Returns the stored requests of those of these binaries that an install of what is due tries now.
pub(crate) fn due(mut binaries: HashMap<String, Binary>, settings: &Settings) -> Vec<Requirement> {
    binaries.retain(|_, binary| {
        binary.installed().is_none() && binary.backoff.pending_retry(clock::now()).is_none()
    });
    all(&binaries, settings)
}

/// Returns what the stored requests of the selected binaries that nothing else requires say about where they come from: the
/// providers, unless the command line names one, and the overrides. Versions and policy are those of the command line.
pub(crate) fn of_names(
    required: &[Requirement],
    selection: &Selection<'_>,
    catalog: &Catalog,
    find_binaries: FindBinaries<'_>,
    settings: &Settings,
) -> Result<Vec<Requirement>, EngineError> {
    let is_required = |name: &str| required.iter().any(|requirement| requirement.name.as_str() == name);
    if selection.names.iter().all(|spec| is_required(spec.name.as_str())) {
        return Ok(Vec::new());
    }
    let mut binaries = match find_binaries() {
        // The command that carries out the plan reports a damaged or older store, if it cannot repair it.
        Err(EngineError::Store(StoreError::Corrupt(..) | StoreError::Older { .. })) => return Ok(Vec::new()),
        found => found?,
    };
    // What only failed may have been a mistake, but other packages than the one of the name are what the binary is.
    binaries.retain(|name, binary| {
        (binary.installed().is_some() || !binary.overrides.is_empty())
            && selection.names.iter().any(|spec| spec.name.as_str() == name)
            && !is_required(name)
    });
    let mut requirements = all(&binaries, settings);
    for requirement in &mut requirements {
        allow_any_version(requirement);
        requirement.policy = Policy::default();
        let is_selected = selection.providers.is_some()
            || selection.names.iter().any(|spec| spec.name == requirement.name && spec.provider.is_some());
        requirement.providers = if is_selected {
            Providers::Any
        } else {
            providers(std::mem::replace(&mut requirement.providers, Providers::Default), catalog, settings)
        };
    }
    Ok(requirements)
}

/// Returns the providers of a stored request. The record of one that named none has those that were tried, which may not
/// be all of today's.
fn providers(stored: Providers, catalog: &Catalog, settings: &Settings) -> Providers {
    let Providers::Only(names) = &stored else { return stored };
    let existing = catalog.providers();
    let hooks = catalog.provider_hooks();
    let is_builtin = |provider: &ProviderName| {
        hooks
            .iter()
            .any(|hook| hook.provider() == *provider && builtin::is_builtin(&hook.path, &settings.data_dir))
    };
    let curated = catalog.curated();
    let has_named_none = curated.iter().all(|provider| names.contains(provider) || !is_builtin(provider));
    if has_named_none || !names.iter().any(|name| existing.contains(name)) {
        Providers::Default
    } else {
        stored
    }
}

/// Removes the versions of a stored request, which the user replaces with another one.
pub(crate) fn allow_any_version(requirement: &mut Requirement) {
    let Requirement { min_version, max_version, overrides, .. } = requirement;
    (*min_version, *max_version) = (String::new(), String::new());
    let stated = overrides.clone();
    let versions = VersionRange::default();
    overrides.replace_rules(|provider| Rules { versions, policy: stated.of(provider).policy });
}
