//! What the result of a hook means for its requests.

use crate::clock;
use crate::install::attempt::AttemptResult;
use crate::install::event::InstallEvent;
use crate::install::plan::Request;
use crate::install::request_digest;
use crate::install::resolver::state::{NextStep, RequestState, ResolverState, set_request};
use crate::install::resolver::summary;
use crate::install::scheduler::{RequestIndex, ScheduledHook};
use crate::install::verdict::Verdict;
use crate::install::verify;
use crate::model::{Attempt, Binary, Installed, Outcome, Process, Version};
use crate::process::run_dir::RunDir;
use crate::store::{StoreError, StoredPaths};

impl ResolverState<'_, '_> {
    pub(super) fn record_attempts(
        &mut self,
        scheduled: &ScheduledHook,
        result: AttemptResult,
    ) -> Result<Vec<NextStep>, StoreError> {
        let AttemptResult { mut process, verdicts } = result;
        let mut steps = Vec::new();
        for (&index, verdict) in scheduled.requests.iter().zip(verdicts) {
            let may_lack_dependency = matches!(verdict, Verdict::NotInstalled(Outcome::Declined, _));
            let (outcome, reason, installed) = match verdict {
                Verdict::Installed(mut installed, unenforced) => {
                    match verify::verify_unchanged(&mut installed) {
                        Ok(()) => {
                            self.requests[index].unenforced = unenforced;
                            (Outcome::Installed, String::new(), Some(installed))
                        }
                        Err(error) => (Outcome::Rejected, error.to_string(), None),
                    }
                }
                Verdict::NotInstalled(outcome, reason) => (outcome, reason, None),
                Verdict::NotOffered(reason) => (Outcome::Declined, reason, None),
            };
            let provider = self.resolver.hooks[scheduled.hook].provider();
            let attempt = Attempt { provider, outcome, reason, process_id: Some(process.id) };
            self.emit(index, InstallEvent::Attempted(attempt.clone()));
            self.requests[index].attempts.push(attempt);
            steps.push(match installed {
                Some(installed) => self.install(index, *installed)?,
                None => self.step_after(index, may_lack_dependency)?,
            });
        }
        let mut attempts = Vec::new();
        let mut changed = Vec::new();
        for (&index, step) in scheduled.requests.iter().zip(&steps) {
            let RequestState { binary: Some(binary), lock: Some(_), attempts: all, has_succeeded, .. } =
                &self.requests[index]
            else {
                continue;
            };
            let of_hook = all.iter().filter(|attempt| attempt.process_id == Some(process.id));
            attempts.extend(of_hook.map(|attempt| (binary.id, attempt)));
            if matches!(step, NextStep::Complete) && (*has_succeeded || !self.resolver.is_lookup) {
                changed.push(binary);
            }
        }
        if let Some(warning) = self.write_accepted(&process, &changed) {
            process.warnings.push(&warning);
            self.emit(scheduled.requests[0], InstallEvent::Notice(warning));
        }
        self.resolver.runner.store.finish_attempts(&process, &attempts, &changed, clock::now())?;
        Ok(steps)
    }

    /// Writes the records of installed binaries into the run dir of the hook, for a rebuild of the store. Returns a warning if
    /// that fails.
    fn write_accepted(&self, process: &Process, changed: &[&Binary]) -> Option<String> {
        let accepted = changed.iter().filter(|binary| binary.installed().is_some());
        let accepted: Vec<&Binary> = accepted.copied().collect();
        let settings = self.resolver.runner.settings;
        let paths = StoredPaths::new(&settings.lib_dir, &settings.data_dir);
        let run_dir = process.spec.run_dir.as_ref().filter(|_| !accepted.is_empty())?;
        let error = RunDir::at(run_dir).write_accepted(&accepted, &paths).err()?;
        Some(format!("cannot write the records of a hook to its run dir: {error}"))
    }

    /// Links a binary that a provider installed, and updates its record.
    fn install(&mut self, index: RequestIndex, mut installed: Installed) -> Result<NextStep, StoreError> {
        let state = &mut self.requests[index];
        if state.lock.is_some() {
            state.link_error = self.resolver.link(&state.request, &installed)?;
        }
        let provider = installed.binprovider.clone();
        if installed.request_digest != request_digest::UNFINISHED {
            installed.request_digest =
                request_digest::of_request(&state.request, &provider, self.resolver.runner.settings);
        }
        if let Some(binary) = &mut state.binary {
            let warning = warning_of_age(binary, &installed, &state.request);
            set_request(binary, &state.request);
            binary.install(installed, clock::now());
            state.has_succeeded = true;
            if let Some(warning) = warning {
                self.emit(index, InstallEvent::Warning(warning));
            }
        }
        let request = &self.requests[index].request;
        self.resolver.report_unsupported_defaults(request, &provider);
        Ok(NextStep::Complete)
    }

    /// Returns the next step of a request after a provider did not install its binary, perhaps because it lacks a dependency.
    fn step_after(&mut self, index: RequestIndex, may_lack_dependency: bool) -> Result<NextStep, StoreError> {
        if self.is_interrupted() {
            return Ok(NextStep::Stop);
        }
        let dependencies = &mut self.requests[index].dependencies;
        if may_lack_dependency && !dependencies.is_retried && !dependencies.missing.is_empty() {
            return Ok(NextStep::Dependencies);
        }
        dependencies.is_retried = false;
        self.schedule.advance(index);
        if self.schedule.hook_of(index).is_some() {
            return Ok(NextStep::NextHook);
        }
        self.record_untried(index)?;
        self.add_failure(index);
        Ok(NextStep::Complete)
    }

    /// Adds a failure to the record of a request's binary.
    pub(super) fn add_failure(&mut self, index: RequestIndex) {
        let RequestState { request, binary, attempts, lost, lock, problem, .. } = &mut self.requests[index];
        if let Some(binary) = binary {
            if lock.is_some() && !self.resolver.is_lookup {
                *lost = self.resolver.remove_changed_file(request, binary);
            }
            if lost.is_some() {
                set_request(binary, request);
            }
            if lost.is_none() && attempts.last().is_some_and(|attempt| attempt.held_back().is_some()) {
                return;
            }
            let digest = request_digest::of_failure(request, self.resolver.runner.settings);
            let problem = problem.clone().filter(|_| self.resolver.is_lookup);
            binary.fail(digest, problem.unwrap_or_else(|| summary(attempts)), clock::now());
        }
    }
}

/// Returns that an older release replaces the installed one because the minimum age of a release is higher than when that was
/// installed; `None` if that is not so.
fn warning_of_age(earlier: &Binary, now: &Installed, request: &Request) -> Option<String> {
    let before = earlier.installed().filter(|before| before.binprovider == now.binprovider)?;
    let (age, versions) = (request.policy_of(&now.binprovider).age(), request.versions_of(&now.binprovider));
    let [old, new] = [now, before].map(Installed::listed_version);
    let is_older = !old.is_empty() && Version::parse(old) < Version::parse(new);
    let is_allowed =
        request.pin.is_none() && versions.contains_program(&before.version, &before.package_version);
    (is_older && is_allowed && earlier.policy.age() < age).then(|| {
        format!(
            "version {old} replaces the newer {new}, because releases of the last {age} days are left out; \
             `--min-release-age 0` allows them"
        )
    })
}
