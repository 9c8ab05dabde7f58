//! Turns requirements into requests: one for each name, with its providers in order. Pure.

use std::collections::HashMap;
use std::fmt;

use serde_json::{Value, json};

use crate::lockfile::Pin;
use crate::model::misspelling::closest;
use crate::model::{BinaryName, BinarySpec, PluginName, Policy, ProviderName, VersionRange, name};
use crate::plugin::overrides::{Overrides, Rules};
use crate::plugin::requirement::{Providers, Requirement, SYSTEM};

/// The provider that finds installed programs and installs nothing.
pub(crate) const ENV: &str = "env";

/// The providers of this host, which take long to find, and which few plans need.
pub trait HostProviders: fmt::Debug {
    /// Returns the providers of a request that names none, in hook order. In an open registry, a mistyped name may be a
    /// package by an unknown author.
    fn curated(&self) -> Vec<ProviderName>;

    /// Returns the package managers of this system, for which the provider `system` stands, in order of preference.
    fn system(&self) -> Vec<ProviderName>;
}

/// The options of a plan, from the command line and the settings.
#[derive(Debug, Clone, Default)]
pub struct Selection<'a> {
    /// The binaries to plan; all requirements if empty.
    pub names: Vec<BinarySpec>,
    /// The only allowed providers, in order of preference.
    pub providers: Option<Providers>,
    /// The minimum version, in addition to those that the requirements state; empty for any.
    pub min_version: String,
    /// The maximum version, in addition to those that the requirements state; empty for any.
    pub max_version: String,
    /// The providers of this host; without it, there are none.
    pub host: Option<&'a dyn HostProviders>,
    /// The policy of the command line, which overrides requirements and settings.
    pub policy: Policy,
    /// The policy of the user's settings, which requirements can only make stricter.
    pub settings_policy: Policy,
}

impl Selection<'_> {
    fn curated(&self) -> Vec<ProviderName> {
        self.host.map(HostProviders::curated).unwrap_or_default()
    }

    fn system(&self) -> Vec<ProviderName> {
        self.host.map(HostProviders::system).unwrap_or_default()
    }
}

/// A binary to resolve.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The name of the binary.
    pub name: BinaryName,
    /// The allowed providers, as in the record.
    pub providers: Providers,
    /// The providers to try, in order. They need not exist.
    pub candidates: Vec<ProviderName>,
    /// The minimum version; empty for any.
    pub min_version: String,
    /// The maximum version; empty for any.
    pub max_version: String,
    /// The stated policy.
    pub policy: Policy,
    /// Packages and other options for each provider.
    pub overrides: Overrides,
    /// The plugins that require the binary; empty for a bare name.
    pub required_by: Vec<PluginName>,
    /// The places that choose the providers, for messages: each requirement, and each spec that names a provider.
    pub provider_sources: Vec<String>,
    /// The places that restrict the versions, for messages.
    pub version_sources: Vec<VersionSource>,
    /// The settings that receive the path of the binary.
    pub settings: Vec<String>,
    /// Whether the command line restricts the versions.
    pub is_restricted: bool,
    /// The provider that the command line names together with the binary.
    pub named_provider: Option<ProviderName>,
    /// For an optional dependency of a provider: the number of waiting requests from which it is worth installing.
    pub pays_from: Option<u32>,
    /// The pin that the binary must match, or `None` without `--locked`.
    pub pin: Option<Pin>,
    /// For an upgrade: the installed version, which no older one may replace; empty if any may.
    pub not_below: String,
    /// The version that a partial one stands for, as the provider that is tried lists it; empty if it lists none.
    pub listed_version: String,
}

/// A place that restricts the versions of a request: a requirement, a spec or the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSource {
    /// The place, for messages.
    pub place: String,
    /// Its minimum version; empty for any, or if it restricts only the versions of one provider.
    pub min: String,
    /// Its maximum version, in the same way.
    pub max: String,
}

impl VersionSource {
    fn new(place: &str, VersionRange { min, max }: VersionRange<'_>) -> Self {
        Self { place: place.to_owned(), min: min.to_owned(), max: max.to_owned() }
    }

    fn versions(&self) -> VersionRange<'_> {
        VersionRange { min: &self.min, max: &self.max }
    }
}

impl Request {
    fn new(name: BinaryName, providers: Providers) -> Self {
        // A path denotes one file, which no provider can install.
        let is_file = name.file().is_some();
        let providers =
            if is_file { Providers::Only(vec![ProviderName::from_static(ENV)]) } else { providers };
        Self {
            name,
            providers,
            candidates: Vec::new(),
            min_version: String::new(),
            max_version: String::new(),
            policy: Policy::default(),
            overrides: Overrides::default(),
            required_by: Vec::new(),
            provider_sources: Vec::new(),
            version_sources: Vec::new(),
            settings: Vec::new(),
            is_restricted: false,
            named_provider: None,
            pays_from: None,
            pin: None,
            not_below: String::new(),
            listed_version: String::new(),
        }
    }

    fn from_requirement(requirement: &Requirement, selection: &Selection<'_>) -> Self {
        let source = Some(&requirement.source).filter(|source| !source.is_empty());
        let versions = VersionRange { min: &requirement.min_version, max: &requirement.max_version };
        Self {
            min_version: requirement.min_version.clone(),
            max_version: requirement.max_version.clone(),
            policy: requirement.policy,
            overrides: requirement.overrides.clone(),
            required_by: requirement.plugin.iter().cloned().collect(),
            provider_sources: source.into_iter().cloned().collect(),
            version_sources: source
                .filter(|_| restricts_versions(requirement))
                .map(|source| VersionSource::new(source, versions))
                .into_iter()
                .collect(),
            settings: requirement.setting.iter().cloned().collect(),
            pays_from: requirement.pays_from,
            ..Self::new(requirement.name.clone(), requirement.providers.expand_system(|| selection.system()))
        }
    }

    /// Returns the versions that are accepted from any provider without overrides.
    pub fn versions(&self) -> VersionRange<'_> {
        VersionRange { min: &self.min_version, max: &self.max_version }
    }

    /// Returns the versions that are accepted from this provider.
    pub fn versions_of(&self, provider: &str) -> VersionRange<'_> {
        let overrides = self.overrides.of(provider);
        VersionRange {
            min: overrides.min_version.as_deref().unwrap_or(&self.min_version),
            max: overrides.max_version.as_deref().unwrap_or(&self.max_version),
        }
    }

    /// Returns the only version that is accepted from this provider, or `None` if there are several.
    pub fn exact_version_of(&self, provider: &str) -> Option<&str> {
        let pinned = self.pin.as_ref().map(Pin::requested_version).filter(|version| !version.is_empty());
        let listed = Some(self.listed_version.as_str()).filter(|version| !version.is_empty());
        pinned.or(listed).or_else(|| self.versions_of(provider).exact())
    }

    /// Returns the providers as a record states them: those that are tried if the request names none.
    pub fn binproviders(&self) -> String {
        match &self.providers {
            Providers::Default => self.candidates.join(","),
            named => named.to_string(),
        }
    }

    /// Returns the policy that is stated for this provider.
    pub fn policy_of(&self, provider: &str) -> Policy {
        self.overrides.of(provider).policy.or(self.policy)
    }

    /// Returns the JSONL record of a request that was not resolved.
    pub fn to_record(&self, status: &str) -> Value {
        let mut record = json!({
            "type": "BinaryRequest",
            "name": self.name.as_str(),
            "status": status,
            "binproviders": self.candidates.join(","),
            "min_version": self.min_version,
            "max_version": self.max_version,
            "overrides": self.overrides,
            "last_error": "",
        });
        self.policy.write_to(&mut record);
        record
    }
}

/// Returns whether a requirement restricts the versions, perhaps only those of one provider.
fn restricts_versions(requirement: &Requirement) -> bool {
    let Requirement { min_version, max_version, overrides, .. } = requirement;
    let of_provider = |provider: &ProviderName| {
        let overrides = overrides.of(provider);
        overrides.min_version.is_some() || overrides.max_version.is_some()
    };
    !min_version.is_empty() || !max_version.is_empty() || overrides.providers().any(of_provider)
}

/// The name with the accepted versions: `sh`, `sh (>= 9)`, or `sh 9.1` if it is only that one.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, pin, .. } = self;
        match pin {
            Some(pin) if !pin.version.is_empty() => {
                f.write_str(&name::label(name.as_str(), VersionRange::exactly(&pin.version)))
            }
            _ => f.write_str(&name::label(name.as_str(), self.versions())),
        }
    }
}

/// A binary for which no provider is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The name of the binary.
    pub name: BinaryName,
    /// The cause, and what to change.
    pub reason: String,
}

/// A step of the plan: a request, or why there is none.
pub(crate) type Step = Result<Request, Refusal>;

/// Returns the name of the binary that a step is about.
pub(crate) fn name_of(step: &Step) -> &BinaryName {
    match step {
        Ok(request) => &request.name,
        Err(refusal) => &refusal.name,
    }
}

/// Plans the requests. `providers` are all existing providers, in hook order.
pub fn plan(
    requirements: &[Requirement],
    selection: &Selection<'_>,
    providers: &[ProviderName],
) -> Vec<Step> {
    let mut merged: Vec<Step> = Vec::new();
    let mut indexes: HashMap<&BinaryName, usize> = HashMap::new();
    for requirement in requirements {
        let request = Request::from_requirement(requirement, selection);
        match indexes.get(&requirement.name) {
            None => {
                indexes.insert(&requirement.name, merged.len());
                merged.push(Ok(request));
            }
            Some(&index) => {
                if let Ok(first) = &merged[index] {
                    merged[index] = merge(first, request, selection);
                }
            }
        }
    }
    let selected = if selection.names.is_empty() {
        merged
    } else {
        let mut steps: Vec<Step> = Vec::new();
        let mut positions: HashMap<&BinaryName, usize> = HashMap::new();
        for spec in &selection.names {
            let position = *positions.entry(&spec.name).or_insert_with_key(|name| {
                let required = indexes.get(name).map(|&index| merged[index].clone());
                let bare = || Ok(Request::new((*name).clone(), Providers::Default));
                steps.push(required.unwrap_or_else(bare));
                steps.len() - 1
            });
            if let Ok(request) = &steps[position] {
                steps[position] = specify(request.clone(), spec, selection, providers);
            }
        }
        steps
    };
    selected.into_iter().map(|step| step.and_then(|request| narrow(request, selection, providers))).collect()
}

/// Restricts a request to the provider and the version of a spec.
fn specify(
    mut request: Request,
    spec: &BinarySpec,
    selection: &Selection<'_>,
    providers: &[ProviderName],
) -> Step {
    let refusal = |reason| Err(Refusal { name: spec.name.clone(), reason });
    let versions = match spec.versions() {
        Ok(versions) => versions,
        Err(error) => return refusal(error.to_string()),
    };
    let source = spec.to_string();
    if let Some(provider) = &spec.provider {
        if provider != SYSTEM
            && let Some(reason) = unknown_provider(spec, &request.providers, providers)
        {
            return refusal(reason);
        }
        if spec.name.file().is_some() && provider != ENV {
            return refusal(format!("only env finds the file of a path; leave out `{provider}:`"));
        }
        let chosen = Providers::Only(vec![provider.clone()]).expand_system(|| selection.system());
        request = choose_providers(request, &chosen, &source)?;
        request.named_provider = Some(provider.clone());
        request.provider_sources.push(source.clone());
    }
    restrict(request, versions, &source)
}

/// Returns why the provider of a spec cannot be used if it does not exist, and `None` if it does.
pub(crate) fn unknown_provider(
    spec: &BinarySpec,
    allowed: &Providers,
    providers: &[ProviderName],
) -> Option<String> {
    let unknown = spec.provider.as_ref().filter(|provider| !providers.contains(provider))?;
    let is_possible =
        |name: &&ProviderName| allowed.allows(name) && (spec.name.file().is_none() || **name == ENV);
    let possible = providers.iter().filter(is_possible);
    let next = match closest(unknown, possible.map(ProviderName::as_str)) {
        Some(similar) => {
            let spec = spec.to_string();
            format!("write {similar}{}", spec.strip_prefix(unknown.as_str()).unwrap_or(&spec))
        }
        None => "`rigup hook list BinaryRequest` shows all providers".to_owned(),
    };
    Some(format!("there is no provider {unknown}; {next}"))
}

/// Restricts a request to the providers that `source` chooses.
fn choose_providers(mut request: Request, chosen: &Providers, source: &str) -> Step {
    let Some(both) = chosen.both(&request.providers) else {
        let before = (&*request.providers.to_string(), &*request.provider_sources);
        return Err(conflict(&request.name, NO_PROVIDER, before, (&chosen.to_string(), source)));
    };
    request.providers = both;
    Ok(request)
}

/// Restricts a request to versions that `source` requires.
fn restrict(mut request: Request, versions: VersionRange<'_>, source: &str) -> Step {
    if versions == VersionRange::default() {
        return Ok(request);
    }
    if request.versions().and(versions).is_empty() {
        return Err(version_conflict(&request, versions, source));
    }
    let VersionRange { min, max } = request.versions().and(versions);
    (request.min_version, request.max_version) = (min.to_owned(), max.to_owned());
    request.overrides.tighten(versions, Policy::default(), Policy::default());
    request.is_restricted = true;
    request.version_sources = union(&request.version_sources, vec![VersionSource::new(source, versions)]);
    Ok(request)
}

/// The source of the options of a command.
const COMMAND_LINE: &str = "the command line";

const NO_PROVIDER: &str = "no provider is in";
const NO_VERSION: &str = "no version satisfies";

/// Returns the refusal of a request that the last source contradicts. Both sides have what they require and its sources.
fn conflict(
    name: &BinaryName,
    problem: &str,
    (before, sources): (&str, &[String]),
    (last, source): (&str, &str),
) -> Refusal {
    let sources = sources.join(", ");
    let reason = format!("{problem} both {before} ({sources}) and {last} ({source}); change one of them");
    Refusal { name: name.clone(), reason }
}

/// Returns the refusal of a request that excludes the versions of the last source. Of the earlier sources, it names those
/// that do: if ranges have no version in common, two of them have none.
fn version_conflict(request: &Request, last: VersionRange<'_>, source: &str) -> Refusal {
    let excludes = |source: &&VersionSource| source.versions().and(last).is_empty();
    let first = request.version_sources.iter().find(excludes);
    let before = first.map_or(request.versions(), VersionSource::versions);
    let same = request.version_sources.iter().filter(|source| source.versions() == before);
    let places: Vec<String> = same.map(|source| source.place.clone()).collect();
    conflict(&request.name, NO_VERSION, (&before.to_string(), &places), (&last.to_string(), source))
}

/// Merges the requests of two requirements of one name. One that names no provider allows the curated ones.
fn merge(first: &Request, second: Request, selection: &Selection<'_>) -> Step {
    let is_default = first.providers == Providers::Default && second.providers == Providers::Default;
    let named = |providers: &Providers| match providers {
        Providers::Default if !is_default => Providers::Only(selection.curated()),
        named => named.clone(),
    };
    let (ours, theirs) = (named(&first.providers), named(&second.providers));
    let Some(providers) = ours.both(&theirs) else {
        let before = (&*ours.to_string(), &*first.provider_sources);
        let last = (&*theirs.to_string(), &*second.provider_sources.join(", "));
        return Err(conflict(&first.name, NO_PROVIDER, before, last));
    };
    let versions = first.versions().and(second.versions());
    if versions.is_empty() {
        let places: Vec<&str> = second.version_sources.iter().map(|source| source.place.as_str()).collect();
        return Err(version_conflict(first, second.versions(), &places.join(", ")));
    }
    let mut overrides = first.overrides.merge(&second.overrides);
    // A rule for one provider replaces the rule for all providers, but must not undo the rule of the other requirement.
    overrides.replace_rules(|provider| {
        let versions = first.versions_of(provider).and(second.versions_of(provider));
        let policy = first.policy_of(provider).and(second.policy_of(provider));
        Rules { versions, policy }
    });
    Ok(Request {
        min_version: versions.min.to_owned(),
        max_version: versions.max.to_owned(),
        policy: first.policy.and(second.policy),
        overrides,
        required_by: union(&first.required_by, second.required_by),
        provider_sources: union(&first.provider_sources, second.provider_sources),
        version_sources: union(&first.version_sources, second.version_sources),
        settings: union(&first.settings, second.settings),
        pays_from: first.pays_from.zip(second.pays_from).map(|(one, other)| one.min(other)),
        ..Request::new(second.name, providers)
    })
}

fn union<T: Clone + PartialEq>(first: &[T], second: Vec<T>) -> Vec<T> {
    let new = second.into_iter().filter(|value| !first.contains(value));
    first.iter().cloned().chain(new).collect()
}

/// Applies the command line to a request, and sets the providers to try.
fn narrow(mut request: Request, selection: &Selection<'_>, providers: &[ProviderName]) -> Step {
    if let Some(selected) = &selection.providers
        && request.name.file().is_none()
    {
        let selected = selected.expand_system(|| selection.system());
        request = choose_providers(request, &selected, "--binproviders")?;
    }
    let versions = VersionRange { min: &selection.min_version, max: &selection.max_version };
    let mut request = restrict(request, versions, COMMAND_LINE)?;
    request.policy = selection.policy.or(request.policy.and(selection.settings_policy));
    request.overrides.tighten(VersionRange::default(), selection.settings_policy, selection.policy);
    request.candidates = match &request.providers {
        Providers::Default => selection.curated(),
        Providers::Any => providers.to_vec(),
        Providers::Only(names) => names.clone(),
    };
    if request.candidates == [SYSTEM] && selection.system().is_empty() {
        let reason =
            "no package manager of this system is on PATH, so `system` stands for no provider; name others";
        return Err(Refusal { name: request.name, reason: reason.to_owned() });
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
