//! Requirements -> requests: one per name, with the providers to ask in their order. Pure.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::lockfile::Locked;
use crate::model::name::BinaryName;
use crate::model::plugin_name::{PluginName, ProviderName};
use crate::model::policy::Policy;
use crate::model::version;
use crate::plugin::overrides::Overrides;
use crate::plugin::requirement::{Providers, Requirement};

/// The provider that finds what is there and installs nothing.
pub const ENV: &str = "env";

/// What the command line asks for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Just these; all requirements where there are none.
    pub names: Vec<BinaryName>,
    /// Only these providers, in this order.
    pub providers: Option<Providers>,
    /// At least this version; empty for what the requirements say.
    pub min_version: String,
    /// The providers that a name which no plugin requires is requested from, in hook order: those whose `config.json` says
    /// `"curated": true`. In an open registry, a mistyped name may be a package of anyone.
    pub curated: Vec<ProviderName>,
    /// What may be brought in, whatever requirements and habits say.
    pub asked: Policy,
    /// What may be brought in at the most, from the user's settings.
    pub habit: Policy,
}

/// One binary to be provided.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What is needed.
    pub name: BinaryName,
    /// Who may provide it, as it is recorded.
    pub providers: Providers,
    /// The providers to ask, in this order; also those that are not installed.
    pub candidates: Vec<ProviderName>,
    /// The lowest version that will do; empty for any.
    pub min_version: String,
    /// What was asked for of what may be brought in.
    pub policy: Policy,
    /// Per provider: packages and the like.
    pub overrides: Overrides,
    /// The plugins that need it; none for a bare name.
    pub required_by: Vec<PluginName>,
    /// The settings that are told where it was found.
    pub settings: Vec<String>,
    /// For what a provider could do without: from how many requests at once it is worth the time to get it.
    pub pays_from: Option<u32>,
    /// What it has to be exactly, where `rigup.lock` counts.
    pub locked: Option<Locked>,
}

impl Request {
    /// The lowest version that will do from this provider.
    pub fn min_version_of(&self, provider: &str) -> &str {
        self.overrides.of(provider).min_version().unwrap_or(&self.min_version)
    }

    /// The request as JSONL shows it before anything is done about it.
    pub fn to_record(&self, status: &str) -> Value {
        let mut record = json!({
            "type": "BinaryRequest",
            "name": self.name.as_str(),
            "status": status,
            "binproviders": self.candidates.join(","),
            "min_version": self.min_version,
            "overrides": self.overrides,
            "last_error": "",
        });
        self.policy.write_to(&mut record);
        record
    }

    /// What was asked for of what this provider may bring in.
    pub fn policy_of(&self, provider: &str) -> Policy {
        self.overrides.of(provider).policy().or(self.policy)
    }
}

/// A binary that nobody may provide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is needed.
    pub name: BinaryName,
    /// Why nobody is asked, and what to change.
    pub reason: String,
}

/// One line of the plan.
pub type Step = Result<Request, Refusal>;

/// What a step is about.
pub fn name_of(step: &Step) -> &BinaryName {
    match step {
        Ok(request) => &request.name,
        Err(refusal) => &refusal.name,
    }
}

/// Makes the plan. `known` are the providers that are there, in hook order.
pub fn plan(requirements: &[Requirement], wish: &Selection, known: &[ProviderName]) -> Vec<Step> {
    let mut merged: Vec<Step> = Vec::new();
    let mut places: HashMap<&BinaryName, usize> = HashMap::new();
    for requirement in requirements {
        match places.get(&requirement.name) {
            None => {
                places.insert(&requirement.name, merged.len());
                merged.push(Ok(request_of(requirement)));
            }
            Some(&place) => {
                if let Ok(first) = &merged[place] {
                    merged[place] = merge(first, request_of(requirement));
                }
            }
        }
    }
    let chosen = if wish.names.is_empty() {
        merged
    } else {
        let mut chosen: Vec<Step> = Vec::new();
        for (index, name) in wish.names.iter().enumerate() {
            if wish.names[..index].contains(name) {
                continue;
            }
            chosen.push(match places.get(name) {
                Some(&place) => merged[place].clone(),
                None => Ok(bare(name, wish)),
            });
        }
        chosen
    };
    chosen.into_iter().map(|step| step.and_then(|request| narrow(request, wish, known))).collect()
}

fn request_of(requirement: &Requirement) -> Request {
    Request {
        name: requirement.name.clone(),
        providers: requirement.providers.clone(),
        candidates: Vec::new(),
        min_version: requirement.min_version.clone(),
        policy: requirement.policy,
        overrides: requirement.overrides.clone(),
        required_by: requirement.plugin.iter().cloned().collect(),
        settings: requirement.setting.iter().cloned().collect(),
        pays_from: requirement.pays_from,
        locked: None,
    }
}

fn bare(name: &BinaryName, wish: &Selection) -> Request {
    let curated = || Providers::Only(wish.curated.clone());
    Request {
        name: name.clone(),
        providers: wish.providers.clone().unwrap_or_else(curated),
        candidates: Vec::new(),
        min_version: String::new(),
        policy: Policy::default(),
        overrides: Overrides::default(),
        required_by: Vec::new(),
        settings: Vec::new(),
        pays_from: None,
        locked: None,
    }
}

/// Two plugins require one name.
fn merge(first: &Request, second: Request) -> Step {
    let Some(providers) = first.providers.both(&second.providers) else {
        return Err(Refusal {
            name: second.name,
            reason: format!(
                "the plugin {} allows only {} and the plugin {} allows only {}: give them a provider in common",
                first.required_by.join(", "),
                first.providers,
                second.required_by.join(", "),
                second.providers
            ),
        });
    };
    let mut overrides = first.overrides.merge(&second.overrides);
    // What one plugin states for a single provider must not weaken what the other states for all.
    overrides.restate(|provider, _| {
        let min_version = version::stricter(first.min_version_of(provider), second.min_version_of(provider));
        (min_version.to_owned(), first.policy_of(provider).and(second.policy_of(provider)))
    });
    Ok(Request {
        providers,
        candidates: Vec::new(),
        min_version: version::stricter(&first.min_version, &second.min_version).to_owned(),
        policy: first.policy.and(second.policy),
        overrides,
        required_by: all_of(&first.required_by, second.required_by),
        settings: all_of(&first.settings, second.settings),
        pays_from: first.pays_from.zip(second.pays_from).map(|(one, other)| one.min(other)),
        name: second.name,
        locked: None,
    })
}

fn all_of<T: Clone + PartialEq>(first: &[T], second: Vec<T>) -> Vec<T> {
    let new = second.into_iter().filter(|it| !first.contains(it));
    first.iter().cloned().chain(new).collect()
}

/// What the command line leaves of a request, with the providers to ask.
fn narrow(mut request: Request, wish: &Selection, known: &[ProviderName]) -> Step {
    if let Some(wanted) = &wish.providers {
        let Some(both) = wanted.both(&request.providers) else {
            return Err(Refusal {
                reason: format!(
                    "the plugin {} allows only {}, and --binproviders only {wanted}",
                    request.required_by.join(", "),
                    request.providers
                ),
                name: request.name,
            });
        };
        request.providers = both;
    }
    request.min_version = version::stricter(&request.min_version, &wish.min_version).to_owned();
    request.policy = wish.asked.or(request.policy.and(wish.habit));
    request.overrides.tighten(&wish.min_version, wish.habit, wish.asked);
    request.candidates = match &request.providers {
        // Exactly one file is meant: nobody has to be asked where it could come from.
        _ if request.name.file().is_some() => vec![ProviderName::from_static(ENV)],
        Providers::Any => known.to_vec(),
        Providers::Only(names) => names.clone(),
    };
    Ok(request)
}

#[cfg(test)]
mod tests;
