//! What providers list of the versions of packages: which one a partial version stands for (`14` is the newest 14.x), how
//! the registry writes a version, and whether a request failed because the registry does not have what it needs.

use std::sync::Arc;

use crate::clock;
use crate::install::attempt::AttemptTarget;
use crate::install::event::InstallEvent;
use crate::install::listing::{self, Listing, Query, Unlisted};
use crate::install::plan::Request;
use crate::install::resolver::Resolver;
use crate::install::verdict::Verdict;
use crate::model::{Outcome, Release, ReleaseFilter, VersionRange, release};
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::discovery::Hook;

/// How the reasons of hooks begin that could not ask their registry, so that asking it again would only take time.
const UNREACHABLE: [&str; 3] = ["cannot reach ", "cannot download ", "the API of "];

impl Resolver<'_> {
    /// Returns the targets of a provider's hook with the versions that the provider lists for partial ones, and for those
    /// that its registry may write in another way. If it does not list versions or cannot tell, a version stays as it is.
    pub(super) fn with_listed_versions(&self, hook: &Hook, targets: &[AttemptTarget]) -> Vec<AttemptTarget> {
        let mut targets = targets.to_vec();
        let provider = &hook.provider();
        let default = ProviderConfig::default();
        let config = self.provider_configs.get(provider.as_str()).unwrap_or(&default);
        let is_unclear = |target: &&mut AttemptTarget| {
            let exact = target.request.versions_of(provider).exact();
            target.request.pin.is_none() && exact.is_some_and(|version| config.may_write_otherwise(version))
        };
        let unclear: Vec<&mut AttemptTarget> = targets.iter_mut().filter(is_unclear).collect();
        let listings = self.listings(hook, &unclear.iter().map(|target| &**target).collect::<Vec<_>>());
        for (target, listing) in unclear.into_iter().zip(listings) {
            let filter = self.filter(&target.request, provider);
            let is_written_so = |release: &Release| release.version == filter.versions.max.trim();
            if let Ok(listed) = listing
                && (filter.versions.partial().is_some() || !listed.releases.iter().any(is_written_so))
                && let Some(newest) = listed.newest(&filter)
            {
                let listed_version = newest.version.clone();
                target.request = Arc::new(Request { listed_version, ..(*target.request).clone() });
            }
        }
        targets
    }

    /// Makes a failure whose cause is that the registry has no such package, or no such version of it, a request that the
    /// provider declines. Package managers describe that in many ways, so the registry itself is asked, after the failure.
    pub(super) fn decline_missing(&self, hook: &Hook, targets: &[AttemptTarget], verdicts: &mut [Verdict]) {
        if self.runner.interrupt.signal().is_some() {
            return;
        }
        let failed = targets.iter().zip(verdicts).filter(|(_, verdict)| {
            matches!(verdict, Verdict::NotInstalled(Outcome::Failed, reason)
                if !UNREACHABLE.iter().any(|start| reason.contains(start)))
        });
        let (targets, verdicts): (Vec<&AttemptTarget>, Vec<&mut Verdict>) = failed.unzip();
        let listings = self.listings(hook, &targets);
        for ((target, verdict), listing) in targets.into_iter().zip(verdicts).zip(listings) {
            if let Some(reason) = self.missing(&target.request, &hook.provider(), &listing) {
                *verdict = Verdict::NotOffered(reason);
            }
        }
    }

    /// Returns what the registry lacks for a request, or `None` if it has a package and a version, or cannot tell.
    fn missing(&self, request: &Request, provider: &str, listing: &Listing) -> Option<String> {
        let packages = &request.overrides.of(provider).packages;
        let named = packages.iter().find(|package| !package.starts_with('-'));
        let package = named.map_or(request.name.link_name(), String::as_str);
        let releases = match listing {
            Ok(listed) => &listed.releases,
            Err(Unlisted::Unknown(_)) => return None,
            Err(Unlisted::NoPackage(_)) => {
                return Some(format!(
                    "{provider} has no package named {package}; check the name, or set overrides.{provider}.packages"
                ));
            }
        };
        let filter = self.filter(request, provider);
        if releases.iter().any(|release| release.is_in(filter.versions)) {
            return None;
        }
        let any = ReleaseFilter { versions: VersionRange::default(), ..filter };
        Some(release::no_version(provider, &filter.versions.in_words(), package, any.newest(releases)))
    }

    /// Returns what the provider of a hook lists for each target; nothing if it does not list versions.
    fn listings(&self, hook: &Hook, targets: &[&AttemptTarget]) -> Vec<Listing> {
        let Some(version_hook) = self.version_hooks.get(&hook.provider()) else { return Vec::new() };
        let queries = targets.iter().map(|target| Query {
            hook: version_hook,
            request: &target.request,
            binary_id: target.binary.id,
        });
        let queries: Vec<Query<'_>> = queries.collect();
        let on_warning = |warning: String| {
            for target in targets {
                (self.on_event)(&target.request, InstallEvent::Notice(warning.clone()));
            }
        };
        listing::list(&self.runner, &queries, self.timeout, None, &on_warning)
    }

    fn filter<'r>(&self, request: &'r Request, provider: &str) -> ReleaseFilter<'r> {
        let default = ProviderConfig::default();
        let config = self.provider_configs.get(provider).unwrap_or(&default);
        listing::filter(request, provider, config, clock::now())
    }
}
