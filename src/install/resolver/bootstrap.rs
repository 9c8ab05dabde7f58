//! Installs the dependencies of providers: after a provider declines without them, or in advance if that saves time.

use crate::install::event::InstallEvent;
use crate::install::resolver::state::ResolverState;
use crate::install::scheduler::{RequestIndex, ScheduledHook};

impl ResolverState<'_, '_> {
    /// Starts the optional dependencies that save time for all requests that now wait for a provider. Returns whether
    /// there are any; otherwise, the hook can start.
    pub(super) fn start_optional_dependencies(&mut self, scheduled: &ScheduledHook) -> bool {
        let provider = self.resolver.hooks[scheduled.hook].provider();
        if !self.checked_providers.insert(provider.clone()) {
            return false;
        }
        let count = scheduled.requests.len() + self.schedule.queue_length(scheduled.hook);
        let worthwhile = self.resolver.worthwhile_dependencies(&provider, count);
        let Some(first) = worthwhile.first() else { return false };
        let notice =
            format!("{provider}: resolving {} first, which saves time for {count} requests", first.name);
        self.emit(scheduled.requests[0], InstallEvent::Notice(notice));
        let mut waiting = scheduled.requests.clone();
        waiting.extend(self.schedule.drain_hook(scheduled.hook));
        self.schedule.release(scheduled.hook);
        for index in waiting {
            let dependencies = &mut self.requests[index].dependencies;
            dependencies.missing.clone_from(&worthwhile);
            dependencies.is_optional = true;
            self.start_dependencies(index);
        }
        true
    }

    /// Starts the missing dependencies of a request's current provider.
    pub(super) fn start_dependencies(&mut self, index: RequestIndex) {
        for dependency in std::mem::take(&mut self.requests[index].dependencies.missing) {
            let known = self.by_name.get(dependency.name.as_str()).copied();
            let dependency = known.unwrap_or_else(|| self.add(dependency));
            if self.is_waiting_for(dependency, index) {
                continue;
            }
            self.start(dependency);
            if self.requests[dependency].result.is_some() {
                self.requests[index].dependencies.is_any_newly_available |=
                    self.requests[dependency].is_newly_available();
                self.warn_of_dependency(index, dependency);
            } else {
                self.requests[dependency].dependents.push(index);
                self.requests[index].dependencies.waits_for.push(dependency);
            }
        }
        if self.requests[index].dependencies.waits_for.is_empty() {
            self.finish_dependencies(index);
        } else {
            self.waiting.push(index);
        }
    }

    /// Returns whether a request waits for another one, directly or through others.
    fn is_waiting_for(&self, one: RequestIndex, other: RequestIndex) -> bool {
        one == other
            || self.requests[one].dependencies.waits_for.iter().any(|&next| self.is_waiting_for(next, other))
    }

    /// Tries a request's current provider again if one of its dependencies is now installed, otherwise the next
    /// provider.
    pub(super) fn finish_dependencies(&mut self, index: RequestIndex) {
        let dependencies = &mut self.requests[index].dependencies;
        let is_any_newly_available = std::mem::take(&mut dependencies.is_any_newly_available);
        if std::mem::take(&mut dependencies.is_optional) {
            self.schedule.enqueue(index);
        } else if is_any_newly_available {
            dependencies.is_retried = true;
            self.schedule.enqueue(index);
        } else {
            self.schedule.advance(index);
            dependencies.is_retried = false;
            self.enqueue(index);
        }
    }

    /// Warns that a dependency of a request's current provider was not installed.
    pub(super) fn warn_of_dependency(&self, index: RequestIndex, dependency: RequestIndex) {
        let error = match &self.requests[dependency].result {
            Some(Ok(resolved)) if resolved.has_succeeded => return,
            Some(Ok(resolved)) => resolved.binary.backoff.last_error.clone(),
            Some(Err(error)) => error.to_string(),
            None => return,
        };
        if let Some(hook) = self.schedule.hook_of(index) {
            let provider = &self.resolver.hooks[hook].plugin;
            let name = &self.requests[dependency].request.name;
            let need =
                if self.requests[index].dependencies.is_optional { "is faster with" } else { "requires" };
            let warning = format!("{provider} {need} {name}, which cannot be installed: {error}");
            self.emit(index, InstallEvent::Notice(warning));
        }
    }
}
