//! The dependencies of providers, and the providers that may install them. Pure.

use std::collections::HashMap;

use crate::install::plan::{self, Request, Selection};
use crate::model::ProviderName;
use crate::plugin::requirement::Requirement;

/// Returns the requests for each provider's dependencies. `selection` has the curated providers, and `providers` are all
/// providers, in hook order.
///
/// A dependency is installed only by providers that have no dependencies, or whose own dependencies can be installed
/// this way: uv by pip, which is installed by apt. So no provider depends on itself, not even indirectly. Any provider
/// may install an optional dependency, including the one that has it.
pub(crate) fn plan(
    requirements: &[Requirement],
    selection: &Selection<'_>,
    providers: &[ProviderName],
) -> HashMap<ProviderName, Vec<Request>> {
    let (optional, required): (Vec<&Requirement>, Vec<&Requirement>) =
        requirements.iter().partition(|requirement| requirement.pays_from.is_some());
    let has_dependencies = |provider: &ProviderName| {
        required.iter().any(|requirement| requirement.provider().as_ref() == Some(provider))
    };
    let (mut unresolved, mut resolved): (Vec<ProviderName>, Vec<ProviderName>) =
        providers.iter().cloned().partition(has_dependencies);
    let mut requests: HashMap<ProviderName, Vec<Request>> = HashMap::new();
    add_requests(&mut requests, &required, selection, &resolved);
    loop {
        let is_blocked = |provider: &ProviderName| {
            let mut candidates = requests[provider].iter().flat_map(|request| &request.candidates);
            candidates.any(|candidate| unresolved.contains(candidate))
        };
        let (blocked, ready): (Vec<ProviderName>, Vec<ProviderName>) =
            unresolved.iter().cloned().partition(is_blocked);
        let is_done = ready.is_empty();
        for provider in if is_done { &blocked } else { &ready } {
            for request in requests.get_mut(provider).into_iter().flatten() {
                request.candidates.retain(|candidate| resolved.contains(candidate));
            }
        }
        if is_done {
            break;
        }
        resolved.extend(ready);
        unresolved = blocked;
    }
    add_requests(&mut requests, &optional, selection, providers);
    requests
}

fn add_requests(
    requests: &mut HashMap<ProviderName, Vec<Request>>,
    requirements: &[&Requirement],
    selection: &Selection<'_>,
    providers: &[ProviderName],
) {
    for requirement in requirements {
        let Some(provider) = requirement.provider() else { continue };
        let steps = plan::plan(std::slice::from_ref(*requirement), selection, providers);
        requests.entry(provider).or_default().extend(steps.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PluginName;
    use crate::plugin::requirement;

    /// Returns the candidates for the dependency of each provider, as `provider: candidates`.
    fn candidates(lines: &[(&str, &str)]) -> Vec<String> {
        let dependency = |(provider, from): &(&str, &str)| {
            let line = format!(r#"{{"type":"Binary","name":"{provider}-tool","binproviders":"{from}"}}"#);
            requirement::parse_line(Some(&PluginName::parse(provider).unwrap()), line.as_bytes(), None)
                .unwrap()
        };
        let providers = ["env", "npm", "pip", "apt", "uv", "ring"].map(ProviderName::from_static);
        let mut candidates: Vec<String> =
            plan(&lines.iter().map(dependency).collect::<Vec<_>>(), &Selection::default(), &providers)
                .into_iter()
                .map(|(provider, requests)| format!("{provider}: {}", requests[0].candidates.join(",")))
                .collect();
        candidates.sort();
        candidates
    }

    #[test]
    fn a_dependency_is_installed_by_providers_that_are_ready_before() {
        assert_eq!(candidates(&[("uv", "env,pip"), ("pip", "env,apt")]), ["pip: env,apt", "uv: env,pip"]);
        assert_eq!(candidates(&[("pip", "*")]), ["pip: env,npm,apt,uv,ring"], "never by itself");
        assert_eq!(candidates(&[("pip", "env,no-such,pip")]), ["pip: env"]);
    }

    #[test]
    fn an_optional_dependency_may_be_installed_by_its_own_provider() {
        let line = br#"{"type":"Binary","name":"uv","binproviders":"env,pip","pays_from":3}"#;
        let optional = requirement::parse_line(Some(&PluginName::from_static("pip")), line, None).unwrap();
        let requests =
            plan(&[optional], &Selection::default(), &["env", "pip"].map(ProviderName::from_static));
        assert_eq!(
            (requests["pip"][0].candidates.join(","), requests["pip"][0].pays_from),
            ("env,pip".to_owned(), Some(3))
        );
    }

    #[test]
    fn providers_that_depend_on_each_other_do_not_install_each_other() {
        let circle = [("uv", "env,pip"), ("pip", "ring,env"), ("ring", "uv,apt")];
        assert_eq!(candidates(&circle), ["pip: env", "ring: apt", "uv: env"]);
    }
}
