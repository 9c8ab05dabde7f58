//! The requests of a command, and the state of each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::clock;
use crate::install::adopt;
use crate::install::attempt::{self, AttemptError, AttemptResult, AttemptTarget};
use crate::install::event::InstallEvent;
use crate::install::plan::{self, Request};
use crate::install::resolver::deadlock::WaitFile;
use crate::install::resolver::{RequestResult, ResolveError, Resolved, Resolver};
use crate::install::scheduler::{HookIndex, RequestIndex, Schedule, ScheduledHook};
use crate::install::status::{InstallStatus, install_status};
use crate::model::{Attempt, Binary, BinaryId, Installed, ProviderName};
use crate::process::lock::{Busy, Lock};
use crate::store::StoreError;

/// The number of requests that are started at once. Each holds a lock, which is an open file.
const MAX_STARTED: usize = 200;

/// The state of all requests: those of the command, and those for the dependencies of providers.
pub(super) struct ResolverState<'r, 'a> {
    pub(super) resolver: &'r Resolver<'a>,
    pub(super) schedule: Schedule,
    pub(super) requests: Vec<RequestState>,
    pub(super) by_name: HashMap<String, RequestIndex>,
    /// The names of the links that the hooks which called this rigup are resolving.
    pub(super) callers: Vec<String>,
    /// The next request of the command to start. Dependencies are started immediately.
    next_request: usize,
    /// The number of requests that were started and are not finished.
    started: usize,
    /// The requests whose locks other rigups hold.
    pub(super) blocked: Vec<(RequestIndex, Busy)>,
    /// The requests that waited for dependencies when the waits were last published.
    pub(super) waiting: Vec<RequestIndex>,
    pub(super) waits: WaitFile,
    /// The providers whose optional dependencies were considered.
    pub(super) checked_providers: HashSet<ProviderName>,
    /// The hooks whose usual duration was looked up.
    timed_hooks: HashSet<HookIndex>,
}

/// The state of one request.
pub(super) struct RequestState {
    pub(super) request: Arc<Request>,
    pub(super) is_started: bool,
    /// The lock of the name. Without it, nothing is linked or recorded.
    pub(super) lock: Option<Lock>,
    pub(super) binary: Option<Binary>,
    pub(super) is_unsaved: bool,
    pub(super) has_succeeded: bool,
    pub(super) attempts: Vec<Attempt>,
    /// The rules of the policy that the provider could not enforce.
    pub(super) unenforced: Vec<String>,
    /// Why the installed binary could not be linked.
    pub(super) link_error: Option<String>,
    /// Why the earlier file does not meet the request.
    pub(super) problem: Option<String>,
    /// The earlier file, if a hook has changed or removed it.
    pub(super) lost: Option<Box<Installed>>,
    /// The providers that are not tried, each with the number of hooks before it.
    pub(super) untried: Vec<(usize, Attempt)>,
    pub(super) dependencies: Dependencies,
    /// The requests that wait for this one.
    pub(super) dependents: Vec<RequestIndex>,
    pub(super) result: Option<Result<Resolved, ResolveError>>,
}

/// The dependencies of a request's current provider.
#[derive(Default)]
pub(super) struct Dependencies {
    /// The dependencies that were not installed when the provider's hook started.
    pub(super) missing: Vec<Request>,
    pub(super) waits_for: Vec<RequestIndex>,
    pub(super) is_any_newly_available: bool,
    pub(super) is_optional: bool,
    /// Whether the provider was tried again with its dependencies.
    pub(super) is_retried: bool,
}

/// The next step of a request after a hook.
pub(super) enum NextStep {
    /// Complete the request, whose result is known.
    Complete,
    /// Wait for the next hook.
    NextHook,
    /// Wait for the dependencies of the provider.
    Dependencies,
    /// Stop, because rigup was interrupted.
    Stop,
}

impl RequestState {
    /// Returns whether a provider that declined without this binary may install with it. Providers find what env finds.
    pub(super) fn is_newly_available(&self) -> bool {
        let Some(Ok(resolved)) = &self.result else { return false };
        let installed = resolved.binary.installed().filter(|_| resolved.has_succeeded);
        installed.is_some_and(|installed| installed.binprovider.as_str() != plan::ENV)
    }
}

impl<'r, 'a> ResolverState<'r, 'a> {
    /// Adds the requests of a command.
    pub(super) fn new(resolver: &'r Resolver<'a>, requests: Vec<Request>) -> Result<Self, StoreError> {
        let mut state = Self {
            resolver,
            schedule: Schedule::new(resolver.hooks.iter().map(|hook| resolver.mode(hook))),
            requests: Vec::new(),
            by_name: HashMap::new(),
            callers: attempt::links_of_callers(&resolver.runner)?,
            next_request: 0,
            started: 0,
            blocked: Vec::new(),
            waiting: Vec::new(),
            waits: WaitFile::new(&resolver.runner.settings.data_dir, resolver.runner.command.id),
            checked_providers: HashSet::new(),
            timed_hooks: HashSet::new(),
        };
        for request in requests {
            state.add(request);
        }
        Ok(state)
    }

    pub(super) fn add(&mut self, request: Request) -> RequestIndex {
        let (hooks, untried) = self.resolver.candidates(&request);
        let index = self.schedule.add(hooks);
        self.by_name.entry(request.name.as_str().to_owned()).or_insert(index);
        self.requests.push(RequestState {
            request: Arc::new(request),
            is_started: false,
            lock: None,
            binary: None,
            is_unsaved: false,
            has_succeeded: false,
            attempts: Vec::new(),
            unenforced: Vec::new(),
            link_error: None,
            problem: None,
            lost: None,
            untried,
            dependencies: Dependencies::default(),
            dependents: Vec::new(),
            result: None,
        });
        index
    }

    /// Returns the results of the first `count` requests, in their order.
    pub(super) fn into_results(self, count: usize) -> Vec<RequestResult> {
        let requests = self.requests.into_iter().take(count);
        requests
            .map(|state| (state.request, state.result.unwrap_or(Err(ResolveError::Interrupted))))
            .collect()
    }

    pub(super) fn emit(&self, index: RequestIndex, event: InstallEvent) {
        (self.resolver.on_event)(&self.requests[index].request, event);
    }

    /// Starts as many requests as are allowed at once.
    pub(super) fn start_requests(&mut self) {
        while self.started < MAX_STARTED && self.next_request < self.requests.len() && !self.is_interrupted()
        {
            self.start(self.next_request);
            self.next_request += 1;
        }
    }

    pub(super) fn start(&mut self, index: RequestIndex) {
        if std::mem::replace(&mut self.requests[index].is_started, true) {
            return;
        }
        self.started += 1;
        let name = &self.requests[index].request.name;
        if self.callers.iter().any(|link| link == name.link_name()) {
            let error = ResolveError::Circular(name.to_string());
            self.finish(index, Err(error));
            return;
        }
        self.lock(index);
    }

    /// Finishes a request whose binary is already installed, perhaps by the rigup that held its lock. Otherwise, queues
    /// the request for its first hook.
    pub(super) fn check_status(&mut self, index: RequestIndex) -> Result<(), StoreError> {
        let resolver = self.resolver;
        let request = Arc::clone(&self.requests[index].request);
        let (store, machine_id) = (resolver.runner.store, resolver.runner.command.machine_id);
        let name = request.name.as_str();
        let (check, stored) = (resolver.file_check(), store.binary(machine_id, name)?);
        let stored = adopt::find_or_adopt(store, check, machine_id, name, stored, false)?;
        let is_new = stored.is_none();
        let mut binary =
            stored.unwrap_or_else(|| Binary::new(BinaryId::generate(), machine_id, name, clock::now()));
        let has_lock = self.requests[index].lock.is_some();
        let status = install_status(&binary, &request, resolver.runner.settings, resolver.is_lookup);
        let is_missing =
            matches!(status, InstallStatus::Gone(_) | InstallStatus::Modified(_) | InstallStatus::Missing);
        if !resolver.reinstalls && matches!(status, InstallStatus::Ready | InstallStatus::Unlinked(_)) {
            let state = &mut self.requests[index];
            if let (InstallStatus::Unlinked(installed), true) = (status, has_lock) {
                state.link_error = resolver.link(&request, installed)?;
            }
            (state.binary, state.has_succeeded) = (Some(binary), true);
            self.complete(index);
            return Ok(());
        }
        let is_known = resolver.is_lookup || matches!(status, InstallStatus::Broken(..));
        let problem = status.problem(&request).filter(|_| is_known);
        // An installed binary stays as it is until the request is resolved.
        if is_missing {
            binary.installed = None;
            set_request(&mut binary, &request);
        }
        let state = &mut self.requests[index];
        state.is_unsaved = has_lock && (is_new || is_missing && !resolver.is_lookup);
        state.problem = problem;
        state.binary = Some(binary);
        self.enqueue(index);
        Ok(())
    }

    /// Queues a request for its current hook. After its last hook, the request fails.
    pub(super) fn enqueue(&mut self, index: RequestIndex) {
        if let Err(error) = self.record_untried(index).and_then(|()| self.look_up_duration(index)) {
            self.finish(index, Err(error.into()));
        } else if !self.schedule.enqueue(index) {
            self.fail(index);
        }
    }

    /// Looks up how long a request's current hook usually takes.
    fn look_up_duration(&mut self, index: RequestIndex) -> Result<(), StoreError> {
        if let Some(hook_index) = self.schedule.hook_of(index)
            && self.timed_hooks.insert(hook_index)
        {
            let hook = self.resolver.hooks[hook_index];
            let store = self.resolver.runner.store;
            let duration = store.average_duration(&hook.plugin, &hook.name.file_name)?;
            self.schedule.set_usual_duration(hook_index, duration);
        }
        Ok(())
    }

    /// Records the untried providers that come before the next hook.
    pub(super) fn record_untried(&mut self, index: RequestIndex) -> Result<(), StoreError> {
        let position = self.schedule.position_of(index);
        let state = &mut self.requests[index];
        let store = self.resolver.runner.store;
        while state.untried.first().is_some_and(|(hooks_before, _)| *hooks_before <= position) {
            let (_, attempt) = state.untried.remove(0);
            if let (Some(binary), Some(_)) = (&state.binary, &state.lock) {
                if std::mem::take(&mut state.is_unsaved) {
                    store.save_binary(binary)?;
                }
                store.add_attempt(binary.id, &attempt, clock::now())?;
            }
            (self.resolver.on_event)(&state.request, InstallEvent::Attempted(attempt.clone()));
            state.attempts.push(attempt);
        }
        Ok(())
    }

    /// Finishes a request for which every provider failed.
    fn fail(&mut self, index: RequestIndex) {
        self.add_failure(index);
        let Some(binary) = &self.requests[index].binary else { return };
        let saved =
            if self.resolver.is_lookup { Ok(()) } else { self.resolver.runner.store.save_binary(binary) };
        match saved {
            Ok(()) => self.complete(index),
            Err(error) => self.finish(index, Err(error.into())),
        }
    }

    /// Finishes a request whose result is in its stored record.
    fn complete(&mut self, index: RequestIndex) {
        let state = &mut self.requests[index];
        let (attempts, unenforced) =
            (std::mem::take(&mut state.attempts), std::mem::take(&mut state.unenforced));
        let (has_succeeded, is_recorded) = (state.has_succeeded, state.lock.is_some());
        let (link_error, problem, lost) = (state.link_error.take(), state.problem.take(), state.lost.take());
        if let Some(binary) = state.binary.take() {
            let resolved = Resolved {
                binary,
                has_succeeded,
                attempts,
                unenforced,
                link_error,
                problem,
                lost,
                is_recorded,
            };
            self.finish(index, Ok(resolved));
        }
    }

    /// Sets the result of a request, releases its lock, and continues the requests that wait for it.
    pub(super) fn finish(&mut self, index: RequestIndex, result: Result<Resolved, ResolveError>) {
        self.started -= 1;
        let state = &mut self.requests[index];
        state.lock = None;
        state.result = Some(result);
        let is_newly_available = state.is_newly_available();
        let dependents = std::mem::take(&mut state.dependents);
        self.emit(index, InstallEvent::Finished);
        for dependent in dependents {
            self.warn_of_dependency(dependent, index);
            let dependencies = &mut self.requests[dependent].dependencies;
            dependencies.is_any_newly_available |= is_newly_available;
            dependencies.waits_for.retain(|dependency| *dependency != index);
            if dependencies.waits_for.is_empty() {
                self.finish_dependencies(dependent);
            }
        }
    }

    /// Returns the next hook to run, or `None` if none can run now.
    pub(super) fn next_hook(&mut self) -> Option<ScheduledHook> {
        if self.is_interrupted() {
            for index in self.schedule.drain() {
                self.finish(index, Err(ResolveError::Interrupted));
            }
            return None;
        }
        loop {
            let scheduled = self.schedule.next_hook()?;
            if !self.start_optional_dependencies(&scheduled) {
                return Some(scheduled);
            }
        }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.resolver.runner.interrupt.signal().is_some()
    }

    /// Returns the targets of a hook that is about to start.
    pub(super) fn targets(&mut self, scheduled: &ScheduledHook) -> Vec<AttemptTarget> {
        let provider = &self.resolver.hooks[scheduled.hook].plugin;
        let missing = self.resolver.missing_dependencies(provider);
        let linker = self.resolver.linker();
        let targets = scheduled.requests.iter().filter_map(|&index| {
            let state = &mut self.requests[index];
            let others = missing.iter().filter(|dependency| dependency.name != state.request.name);
            state.dependencies.missing = others.cloned().collect();
            Some(AttemptTarget {
                request: Arc::clone(&state.request),
                binary: state.binary.clone()?,
                is_unsaved: std::mem::take(&mut state.is_unsaved),
                abspath: state.request.overrides.of(provider).abspath(linker.settings.home.as_deref()),
                link: linker.path(&state.request.name),
            })
        });
        targets.collect()
    }

    /// Stores the result of a hook in one transaction, and continues its requests.
    pub(super) fn complete_hook(
        &mut self,
        scheduled: &ScheduledHook,
        result: Result<AttemptResult, AttemptError>,
    ) {
        self.schedule.release(scheduled.hook);
        match result.and_then(|result| Ok(self.record_attempts(scheduled, result)?)) {
            Ok(steps) => {
                for (&index, step) in scheduled.requests.iter().zip(steps) {
                    match step {
                        NextStep::Complete => self.complete(index),
                        NextStep::NextHook => self.enqueue(index),
                        NextStep::Dependencies => self.start_dependencies(index),
                        NextStep::Stop => self.finish(index, Err(ResolveError::Interrupted)),
                    }
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for &index in &scheduled.requests {
                    self.finish(index, Err(ResolveError::Attempt(Arc::clone(&error))));
                }
            }
        }
    }
}

/// Sets the request of a binary's record.
pub(super) fn set_request(binary: &mut Binary, request: &Request) {
    let (versions, overrides) = (request.versions(), request.overrides.to_json());
    binary.set_request(&request.binproviders(), versions, request.policy, &overrides, clock::now());
}
