//! One request through its providers, to the first honest winner.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::clock;
use crate::hook::run::{Job, RunError, Runner};
use crate::plugin::folder::Hook;
use crate::plugin::overrides;
use crate::process::run_dir::{self, RunDir};
use crate::process::tail;
use crate::provision::linker::Linker;
use crate::provision::lock::{Lock, LockError};
use crate::provision::plan::Request;
use crate::provision::probe;
use crate::provision::question;
use crate::provision::verdict::{self, Said, Verdict};
use crate::provision::verify::Claim;
use crate::record::attempt::{Attempt, Outcome};
use crate::record::binary::{Binary, Installed, State};
use crate::record::name::{self, BinaryName};
use crate::record::safety::Keeps;
use crate::store::StoreError;

/// What resolves requests.
pub struct Resolver<'a> {
    /// Runs the hooks.
    pub runner: Runner<'a>,
    /// The hooks of all providers, in hook order.
    pub hooks: &'a [&'a Hook],
    /// What providers need themselves, such as npm; looked for where a provider declines without it.
    pub needs: &'a HashMap<String, Vec<Request>>,
    /// What each provider says that it is able to keep.
    pub keeps: &'a HashMap<String, Keeps>,
    /// Resolve anew what is there, and replace a file that stands where the link goes.
    pub force: bool,
    /// What is not got leaves the records as they were: the wish was to look, not to have.
    pub only_looks: bool,
    /// How long one hook may take.
    pub timeout: Duration,
    /// Is told what happens, as it happens.
    pub watch: &'a (dyn Fn(&Request, Progress<'_>) + Sync),
}

/// What happens to a request.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Another rigup, with this pid, works on the same name.
    Waiting(&'a str),
    /// A provider's hook was started.
    Trying(&'a str),
    /// The hook runs; its last line on standard error.
    Running(&'a str),
    /// A hook is over.
    Tried(&'a Attempt),
    /// Something that a person should know and that changes nothing.
    Warning(&'a str),
    /// The same about a provider, whatever it was asked for: once is enough.
    Remark(&'a str),
}

/// What became of a request.
#[derive(Debug)]
pub struct Resolved {
    /// The binary's record.
    pub binary: Binary,
    /// What this rigup tried.
    pub attempts: Vec<Attempt>,
}

/// Why a request could not be worked on at all.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// rigup was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The hook of this very request is what called rigup.
    #[error("it is {0} that the hook which calls rigup is asked for itself: to wait for it would never end")]
    Circular(BinaryName),
    /// A lock cannot be taken.
    #[error(transparent)]
    Lock(LockError),
    /// A folder cannot be made.
    #[error("{0}")]
    Folder(io::Error),
    /// A hook cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Something cannot be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How things stand with a binary, without a hook, a process or a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It is there, and so is its link.
    Ready,
    /// It is there, and its link is not.
    Unlinked(&'a Installed),
    /// It is not there, or not what was verified, or too old.
    Missing,
}

/// Looks how things stand with a binary that was asked for before.
pub fn standing<'a>(binary: &'a Binary, request: &Request, lib_bin_dir: &Path) -> Standing<'a> {
    let Some(installed) = binary.installed() else {
        return Standing::Missing;
    };
    let fingerprint = probe::fingerprint(&installed.abspath);
    let min_version = request.min_version_of(&installed.binprovider);
    if !installed.is_current(fingerprint.as_deref(), min_version) {
        return Standing::Missing;
    }
    let is_linked = || {
        fs_err::read_link(lib_bin_dir.join(request.name.link_name())).is_ok_and(|it| it == installed.abspath)
    };
    if installed.is_in_app_bundle() || is_linked() { Standing::Ready } else { Standing::Unlinked(installed) }
}

impl Resolver<'_> {
    /// Takes a request through its providers. Only one rigup at a time works on a name; whoever waited finds the
    /// work done.
    pub fn resolve(&self, request: &Request) -> Result<Resolved, ResolveError> {
        self.resolve_with(request, self.needs)
    }

    fn resolve_with(
        &self,
        request: &Request,
        needs: &HashMap<String, Vec<Request>>,
    ) -> Result<Resolved, ResolveError> {
        if self.is_asked_from_above(request)? {
            return Err(ResolveError::Circular(request.name.clone()));
        }
        let data_dir = &self.runner.settings.data_dir;
        let waiting = |holder: &str| (self.watch)(request, Progress::Waiting(holder));
        let _lock = Lock::take_for_binary(data_dir, &request.name, self.runner.interrupt, waiting).map_err(
            |error| match error {
                LockError::Interrupted => ResolveError::Interrupted,
                other => ResolveError::Lock(other),
            },
        )?;
        self.stop_if_asked()?;
        let store = self.runner.store;
        let mut binary =
            store.find_or_add_binary(self.runner.machine_id, request.name.as_str(), clock::now())?;
        let previous = binary.installed().map(|it| it.abspath.clone());
        let linker = self.linker();
        let warn = |warning: &str| (self.watch)(request, Progress::Warning(warning));
        if !self.force {
            let settled = match standing(&binary, request, &self.runner.settings.lib_bin_dir) {
                Standing::Ready => Some(Ok(())),
                Standing::Unlinked(installed) => {
                    Some(linker.link(&request.name, installed, previous.as_deref(), warn)?)
                }
                Standing::Missing => None,
            };
            if let Some(Err(reason)) = &settled {
                binary.disappoint(reason.clone(), clock::now());
                self.save(&binary)?;
            }
            if settled.is_some() {
                return Ok(Resolved { binary, attempts: Vec::new() });
            }
        }
        binary.request(
            &request.providers.to_string(),
            &request.min_version,
            request.safety,
            &request.overrides,
            clock::now(),
        );
        self.save(&binary)?;

        let mut attempts = Vec::new();
        let winner = self.ask_all(request, &binary, needs, &mut attempts)?;
        let now = clock::now();
        match winner {
            Some(installed) => match linker.link(&request.name, &installed, previous.as_deref(), warn)? {
                Ok(()) => binary.satisfy(installed, now),
                Err(reason) => binary.disappoint(reason, now),
            },
            None => binary.disappoint(summary(&attempts), now),
        }
        self.save(&binary)?;
        Ok(Resolved { binary, attempts })
    }

    fn linker(&self) -> Linker<'_> {
        Linker {
            settings: self.runner.settings,
            store: self.runner.store,
            machine_id: self.runner.machine_id,
            force: self.force,
        }
    }

    /// Whether a hook that runs above this rigup, and so waits for it, works on the same link. Other hooks of the rigup
    /// above run beside it; those are worth waiting for.
    fn is_asked_from_above(&self, request: &Request) -> Result<bool, StoreError> {
        let store = self.runner.store;
        let mut seen = Vec::new();
        let mut above = store.process(self.runner.parent_id)?;
        while let Some(process) = above.filter(|it| !seen.contains(&it.id)) {
            if let (Some(id), None) = (process.binary_id, process.ending()) {
                let mut binaries = store.binaries_of(self.runner.machine_id)?.into_values();
                if binaries.any(|it| it.id == id && name::link_name(&it.name) == request.name.link_name()) {
                    return Ok(true);
                }
            }
            seen.push(process.id);
            above = match process.parent_id {
                Some(id) => store.process(id)?,
                None => None,
            };
        }
        Ok(false)
    }

    /// Stores what became of a binary, unless nothing did and the wish was only to look.
    fn save(&self, binary: &Binary) -> Result<(), StoreError> {
        if self.only_looks && binary.installed().is_none() {
            Ok(())
        } else {
            self.runner.store.save_binary(binary)
        }
    }

    /// Asks the candidates one after the other until one tells the truth.
    fn ask_all(
        &self,
        request: &Request,
        binary: &Binary,
        needs: &HashMap<String, Vec<Request>>,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Option<Installed>, ResolveError> {
        for provider in &request.candidates {
            let mut hooks = self.hooks.iter().filter(|hook| hook.plugin == *provider).peekable();
            if hooks.peek().is_none() {
                let reason =
                    "there is no such provider; `rigup hook list BinaryRequest` shows those there are";
                attempts.push(self.unasked(request, binary, provider, Outcome::Skipped, reason)?);
                continue;
            }
            let keeps = self.keeps.get(provider).copied().unwrap_or_default();
            if let Some(refused) = keeps.refuses(request.safety_of(provider)) {
                let reason = refused.to_string();
                attempts.push(self.unasked(request, binary, provider, Outcome::Rejected, &reason)?);
                continue;
            }
            for hook in hooks {
                let lacking = self.lacking(provider, needs, request)?;
                let mut winner = self.ask_once(request, binary, hook, attempts)?;
                let has_declined = attempts.last().is_some_and(|it| it.outcome == Outcome::Declined);
                if has_declined && self.meet(&lacking, provider, needs, request)? {
                    winner = self.ask_once(request, binary, hook, attempts)?;
                }
                if winner.is_some() {
                    let lacking = keeps.lacks(request.safety_of(provider));
                    if !lacking.is_empty() {
                        let lacking = lacking.join(" and ");
                        let remark = format!("{provider} cannot keep {lacking}: see docs/hooks.md");
                        (self.watch)(request, Progress::Remark(&remark));
                    }
                    return Ok(winner);
                }
            }
        }
        Ok(None)
    }

    /// Records that a provider was not asked, and why.
    fn unasked(
        &self,
        request: &Request,
        binary: &Binary,
        provider: &str,
        outcome: Outcome,
        reason: &str,
    ) -> Result<Attempt, StoreError> {
        let (provider, reason) = (provider.to_owned(), reason.to_owned());
        let attempt = Attempt { provider, outcome, reason, process_id: None };
        self.runner.store.add_attempt(binary.id, &attempt, clock::now())?;
        (self.watch)(request, Progress::Tried(&attempt));
        Ok(attempt)
    }

    /// What a provider needs itself and is not there.
    fn lacking<'n>(
        &self,
        provider: &str,
        needs: &'n HashMap<String, Vec<Request>>,
        request: &Request,
    ) -> Result<Vec<&'n Request>, StoreError> {
        let mut lacking = Vec::new();
        for need in needs.get(provider).into_iter().flatten().filter(|need| need.name != request.name) {
            let known = self.runner.store.binary(self.runner.machine_id, need.name.as_str())?;
            let bin_dir = &self.runner.settings.lib_bin_dir;
            if !known.is_some_and(|it| standing(&it, need, bin_dir) == Standing::Ready) {
                lacking.push(need);
            }
        }
        Ok(lacking)
    }

    /// Looks for what a provider lacked when it was asked; true where something of it is there now, whoever got it.
    fn meet(
        &self,
        lacking: &[&Request],
        provider: &str,
        needs: &HashMap<String, Vec<Request>>,
        request: &Request,
    ) -> Result<bool, ResolveError> {
        let mut is_better = false;
        for need in lacking {
            // Whoever is asked may need something as well, but never what is being worked on already.
            let mut below = needs.clone();
            for of in below.values_mut() {
                of.retain(|it| it.name != request.name);
            }
            match self.resolve_with(need, &below)?.binary.state {
                State::Installed(_) => is_better = true,
                State::Queued(queued) => {
                    let warning = format!("{provider} needs {}, and {}", need.name, queued.last_error);
                    (self.watch)(request, Progress::Warning(&warning));
                }
            }
        }
        Ok(is_better)
    }

    fn ask_once(
        &self,
        request: &Request,
        binary: &Binary,
        hook: &Hook,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Option<Installed>, ResolveError> {
        let (attempt, winner) = self.ask(request, binary, hook)?;
        (self.watch)(request, Progress::Tried(&attempt));
        attempts.push(attempt);
        if winner.is_none() { self.stop_if_asked().map(|()| None) } else { Ok(winner) }
    }

    fn stop_if_asked(&self) -> Result<(), ResolveError> {
        if self.runner.interrupt.signal().is_some() { Err(ResolveError::Interrupted) } else { Ok(()) }
    }

    /// Runs one provider's hook and judges its answer.
    fn ask(
        &self,
        request: &Request,
        binary: &Binary,
        hook: &Hook,
    ) -> Result<(Attempt, Option<Installed>), ResolveError> {
        let settings = self.runner.settings;
        (self.watch)(request, Progress::Trying(&hook.plugin));
        let cwd = settings
            .data_dir
            .join("machines")
            .join(self.runner.machine_id.to_string())
            .join("binaries")
            .join(request.name.link_name())
            .join(binary.id.to_string())
            .join(&hook.plugin);
        run_dir::make_private_dir(&cwd).map_err(ResolveError::Folder)?;
        let arguments = question::arguments(request, &hook.plugin, binary.id, self.runner.machine_id);
        let job = Job { hook, arguments, cwd, binary_id: Some(binary.id), timeout: self.timeout };
        let ready = self.runner.prepare(job)?;
        self.runner.store.save_process(&ready.process)?;
        let finished = self.runner.run(ready, || (), |run_dir| self.show_last_line(request, run_dir))?;
        for warning in &finished.warnings {
            (self.watch)(request, Progress::Warning(&format!("{}: {warning}", hook.plugin)));
        }
        let abspath = overrides::abspath(&request.overrides, &hook.plugin, settings.home.as_deref());
        let claim = Claim {
            name: request.name.as_str(),
            min_version: request.min_version_of(&hook.plugin),
            provider: &hook.plugin,
            link: &self.linker().path(&request.name),
            abspath: abspath.as_deref(),
            version: overrides::text(&request.overrides, &hook.plugin, "version"),
        };
        let verdict = verdict::verdict(&finished, claim, self.timeout, |said| match said {
            Said::Unreadable(complaint) => {
                (self.watch)(request, Progress::Warning(&format!("{}: stdout {complaint}", hook.plugin)));
            }
            Said::Warning(text) => {
                (self.watch)(request, Progress::Remark(&format!("{}: {text}", hook.plugin)));
            }
        });
        let (outcome, reason, winner) = match verdict {
            Verdict::Won(installed) => (Outcome::Installed, String::new(), Some(installed)),
            Verdict::Lost(outcome, reason) => (outcome, reason, None),
        };
        let attempt =
            Attempt { provider: hook.plugin.clone(), outcome, reason, process_id: Some(finished.process.id) };
        self.runner.store.finish_attempt(&finished.process, binary.id, &attempt, clock::now())?;
        Ok((attempt, winner))
    }

    fn show_last_line(&self, request: &Request, run_dir: &RunDir) {
        let tail = tail::read(&run_dir.stderr(), 1, 512).unwrap_or_default();
        if !tail.trim().is_empty() {
            (self.watch)(request, Progress::Running(tail.trim()));
        }
    }
}

/// Why nobody won, in one line.
fn summary(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return "there is no provider to ask".to_owned();
    }
    let each: Vec<String> =
        attempts.iter().map(|it| format!("{} {}: {}", it.provider, it.outcome, it.reason)).collect();
    each.join("; ")
}
