//! The versions that partial ones stand for: `14` is the newest 14.x that the provider lists.

use std::sync::Arc;

use crate::clock;
use crate::install::attempt::AttemptTarget;
use crate::install::event::InstallEvent;
use crate::install::listing::{self, Query};
use crate::install::plan::Request;
use crate::install::resolver::Resolver;
use crate::plugin::discovery::Hook;

impl Resolver<'_> {
    /// Returns the targets of a provider's hook with the versions that the provider lists for partial ones. If it does not
    /// list versions or cannot tell, a partial version stays as it is.
    pub(super) fn with_listed_versions(&self, hook: &Hook, targets: &[AttemptTarget]) -> Vec<AttemptTarget> {
        let mut targets = targets.to_vec();
        let provider = &hook.provider();
        let Some(version_hook) = self.version_hooks.get(provider) else { return targets };
        let is_partial = |target: &&mut AttemptTarget| {
            target.request.pin.is_none() && target.request.versions_of(provider).partial().is_some()
        };
        let partial: Vec<&mut AttemptTarget> = targets.iter_mut().filter(is_partial).collect();
        let requests: Vec<_> =
            partial.iter().map(|target| (Arc::clone(&target.request), target.binary.id)).collect();
        let queries = requests.iter().map(|(request, binary_id)| Query {
            hook: version_hook,
            request,
            binary_id: *binary_id,
        });
        let queries: Vec<Query<'_>> = queries.collect();
        let on_warning = |warning: String| {
            for (request, _) in &requests {
                (self.on_event)(request, InstallEvent::Notice(warning.clone()));
            }
        };
        let listings = listing::list(&self.runner, &queries, self.timeout, None, &on_warning);
        let config = self.provider_configs.get(provider).cloned().unwrap_or_default();
        for (target, listing) in partial.into_iter().zip(listings) {
            let filter = listing::filter(&target.request, provider, &config, clock::now());
            if let Ok(releases) = listing
                && let Some(newest) = filter.newest(&releases)
            {
                let listed_version = newest.version.clone();
                target.request = Arc::new(Request { listed_version, ..(*target.request).clone() });
            }
        }
        targets
    }
}
