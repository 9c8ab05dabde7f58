//! What providers need themselves, and who may provide that. Pure.

use std::collections::HashMap;

use crate::install::plan::{Request, Selection, plan};
use crate::model::plugin_name::ProviderName;
use crate::plugin::requirement::Requirement;

/// The requests that meet each provider's needs. A need is asked of providers that need nothing, and of those whose own
/// needs can be met in this way: uv comes from pip, which comes from apt. No provider is asked for what it needs itself,
/// however far around, so that none waits for another in a circle. What it could do without is another matter: that may
/// come from itself. `providers` are all there are, in hook order.
pub fn needs_of(needs: &[Requirement], providers: &[ProviderName]) -> HashMap<ProviderName, Vec<Request>> {
    let (extras, needs): (Vec<&Requirement>, Vec<&Requirement>) =
        needs.iter().partition(|it| it.pays_from.is_some());
    let has_needs =
        |provider: &ProviderName| needs.iter().any(|need| need.provider().as_ref() == Some(provider));
    let (mut waiting, mut settled): (Vec<ProviderName>, Vec<ProviderName>) =
        providers.iter().cloned().partition(has_needs);
    let independent = settled.clone();
    let mut requests: HashMap<ProviderName, Vec<Request>> = HashMap::new();
    for need in &needs {
        let Some(provider) = need.provider() else { continue };
        let steps = plan(std::slice::from_ref(*need), &Selection::default(), &independent);
        requests.entry(provider).or_default().extend(steps.into_iter().flatten());
    }
    loop {
        let waits = |request: &Request| request.candidates.iter().any(|it| waiting.contains(it));
        let (circular, ready): (Vec<ProviderName>, Vec<ProviderName>) =
            waiting.iter().cloned().partition(|provider| requests[provider].iter().any(waits));
        let is_done = ready.is_empty();
        for provider in if is_done { &circular } else { &ready } {
            for request in requests.get_mut(provider).into_iter().flatten() {
                request.candidates.retain(|it| settled.contains(it));
            }
        }
        if is_done {
            break;
        }
        settled.extend(ready);
        waiting = circular;
    }
    for extra in extras {
        let Some(provider) = extra.provider() else { continue };
        let steps = plan(std::slice::from_ref(extra), &Selection::default(), providers);
        requests.entry(provider).or_default().extend(steps.into_iter().flatten());
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plugin_name::PluginName;
    use crate::plugin::requirement;

    /// Who is asked for the need of each provider, as `provider: candidates`.
    fn asked(lines: &[(&str, &str)]) -> Vec<String> {
        let need = |(provider, from): &(&str, &str)| {
            let line = format!(r#"{{"type":"Binary","name":"{provider}-tool","binproviders":"{from}"}}"#);
            requirement::parse_line(Some(&PluginName::parse(provider).unwrap()), line.as_bytes(), None)
                .unwrap()
        };
        let providers =
            ["env", "npm", "pip", "apt", "uv", "ring"].map(|name| ProviderName::parse(name).unwrap());
        let found = needs_of(&lines.iter().map(need).collect::<Vec<_>>(), &providers);
        let mut shown: Vec<String> = found
            .into_iter()
            .map(|(provider, requests)| format!("{provider}: {}", requests[0].candidates.join(",")))
            .collect();
        shown.sort();
        shown
    }

    #[test]
    fn a_need_is_asked_of_providers_whose_own_needs_are_met_before() {
        assert_eq!(asked(&[("uv", "env,pip"), ("pip", "env,apt")]), ["pip: env,apt", "uv: env,pip"]);
        assert_eq!(asked(&[("pip", "*")]), ["pip: env,npm,apt,uv,ring"], "never of itself");
        assert_eq!(asked(&[("pip", "env,no-such,pip")]), ["pip: env"]);
    }

    #[test]
    fn what_a_provider_could_do_without_may_come_from_itself() {
        let line = br#"{"type":"Binary","name":"uv","binproviders":"env,pip","pays_from":3}"#;
        let extra = requirement::parse_line(Some(&PluginName::parse("pip").unwrap()), line, None).unwrap();
        let found = needs_of(&[extra], &["env", "pip"].map(|name| ProviderName::parse(name).unwrap()));
        assert_eq!(
            (found["pip"][0].candidates.join(","), found["pip"][0].pays_from),
            ("env,pip".to_owned(), Some(3))
        );
    }

    #[test]
    fn providers_that_need_each_other_are_not_asked_for_it() {
        let circle = [("uv", "env,pip"), ("pip", "ring,env"), ("ring", "uv,apt")];
        assert_eq!(asked(&circle), ["pip: env", "ring: apt", "uv: env"]);
    }
}
