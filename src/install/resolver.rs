//! What resolves requests: the hooks, the rules that they keep, and what is told on the way.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::hook::run::Runner;
use crate::install::attempt::AskError;
use crate::install::event::InstallEvent;
use crate::install::linker::Linker;
use crate::install::plan::Request;
use crate::install::scheduler::HookIndex;
use crate::install::status::{InstallStatus, install_status};
use crate::model::attempt::{Attempt, Outcome};
use crate::model::binary::{Binary, BinaryState, Installed};
use crate::model::name::BinaryName;
use crate::model::plugin_name::ProviderName;
use crate::model::policy::PolicySupport;
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::discovery::Hook;
use crate::plugin::overrides::OptionError;
use crate::process::lock::LockError;
use crate::store::StoreError;

mod bootstrap;
mod deadlock;
mod locks;
mod run;
mod state;

/// What resolves requests.
pub struct Resolver<'a> {
    /// Runs the hooks.
    pub runner: Runner<'a>,
    /// The hooks of all providers, in hook order.
    pub hooks: &'a [&'a Hook],
    /// What providers need themselves, such as npm; looked for where a provider declines without it.
    pub provider_deps: &'a HashMap<ProviderName, Vec<Request>>,
    /// What the `config.json` of each provider states.
    pub provider_configs: &'a HashMap<ProviderName, ProviderConfig>,
    /// Resolve anew what is there, and replace a file that stands where the link goes.
    pub force: bool,
    /// What is not got leaves the records as they were: the wish was to look, not to have.
    pub is_lookup: bool,
    /// How long one hook may take.
    pub timeout: Duration,
    /// Receives each event as it happens, from any thread.
    pub on_event: &'a (dyn Fn(&Request, InstallEvent) + Sync),
}

/// What became of a request.
#[derive(Debug)]
pub struct Resolved {
    /// The binary's record.
    pub binary: Binary,
    /// What this rigup tried.
    pub attempts: Vec<Attempt>,
}

/// A request, with what became of it.
pub type Settled = (Arc<Request>, Result<Resolved, ResolveError>);

/// Why a request could not be worked on at all.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// rigup was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The hook of this very request is what called rigup.
    #[error("it is {0} that the hook which calls rigup is asked for itself: to wait for it would never end")]
    Circular(BinaryName),
    /// Another rigup works on it, and cannot end before what waits here does.
    #[error("{0}: to wait would never end; one of the hooks has to do without the other's binary")]
    Mutual(String),
    /// A lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A hook cannot be asked. Several requests may have met with one such error.
    #[error("{0}")]
    Ask(Arc<AskError>),
    /// Something cannot be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Resolver<'_> {
    /// The hooks that a request goes through, and the providers on the way that are not asked, each with the number of
    /// hooks before it.
    pub(super) fn chain(&self, request: &Request) -> (Vec<HookIndex>, Vec<(usize, Attempt)>) {
        let mut chain = Vec::new();
        let mut unasked = Vec::new();
        for provider in &request.candidates {
            let before = chain.len();
            let mut leave_out = |outcome, reason: String| {
                let attempt = Attempt { provider: provider.clone(), outcome, reason, process_id: None };
                unasked.push((before, attempt));
            };
            if !self.hooks.iter().any(|hook| hook.plugin == *provider) {
                let reason =
                    "there is no such provider; `rigup hook list BinaryRequest` shows those there are";
                leave_out(Outcome::Skipped, reason.to_owned());
            } else if let Some(refused) = self.policy_support(provider).refuses(request.policy_of(provider)) {
                leave_out(Outcome::Rejected, refused.to_string());
            } else if let Err(error) = self.check_options(request, provider) {
                leave_out(Outcome::Rejected, error.to_string());
            } else {
                chain.extend((0..self.hooks.len()).filter(|&it| self.hooks[it].plugin == *provider));
            }
        }
        (chain, unasked)
    }

    fn policy_support(&self, provider: &str) -> PolicySupport {
        self.provider_configs.get(provider).map(|config| config.enforces).unwrap_or_default()
    }

    /// Checks the options that a request has for a provider. A provider without a `config.json` allows none.
    fn check_options(&self, request: &Request, provider: &str) -> Result<(), OptionError> {
        let allowed = self.provider_configs.get(provider).map(|config| &config.options[..]);
        request.overrides.of(provider).check_options(provider, allowed.unwrap_or_default())
    }

    /// Says which rules a provider could not keep that nobody asked for.
    pub(super) fn remark_on_rules(&self, request: &Request, provider: &str) {
        let lacking = self.policy_support(provider).lacks(request.policy_of(provider));
        if !lacking.is_empty() {
            let remark = format!("{provider} cannot keep {}: see docs/hooks.md", lacking.join(" and "));
            (self.on_event)(request, InstallEvent::Notice(remark));
        }
    }

    /// What a provider needs itself and is not there. What cannot be looked up is looked for.
    pub(super) fn lacking(&self, provider: &str) -> Vec<&Request> {
        let is_lacking =
            |need: &&Request| need.pays_from.is_none() && !self.is_there(need, self.known(need).as_ref());
        self.needs_of(provider).filter(is_lacking).collect()
    }

    /// What a provider could do without, is not there, and is worth the time to get for so many requests. What was not got
    /// lately is not tried again before its time.
    pub(super) fn worth_getting(&self, provider: &str, requests: usize) -> Vec<&Request> {
        let is_worth_it = |need: &&Request| {
            let known = self.known(need);
            let is_hopeless = match known.as_ref().map(|it| &it.state) {
                Some(BinaryState::Queued(queued)) => queued.waits_until(clock::now()).is_some(),
                _ => false,
            };
            need.pays_from.is_some_and(|from| requests >= from as usize)
                && !is_hopeless
                && !self.is_there(need, known.as_ref())
        };
        self.needs_of(provider).filter(is_worth_it).collect()
    }

    fn needs_of(&self, provider: &str) -> impl Iterator<Item = &Request> {
        self.provider_deps.get(provider).into_iter().flatten()
    }

    fn known(&self, need: &Request) -> Option<Binary> {
        self.runner.store.binary(self.runner.machine_id, need.name.as_str()).ok().flatten()
    }

    fn is_there(&self, need: &Request, known: Option<&Binary>) -> bool {
        known.is_some_and(|it| install_status(it, need, self.runner.settings) == InstallStatus::Ready)
    }

    /// Links a binary; the inner error says why not.
    pub(super) fn link(
        &self,
        request: &Request,
        installed: &Installed,
        previous: Option<&Path>,
    ) -> Result<Result<(), String>, StoreError> {
        let warn = |warning: &str| (self.on_event)(request, InstallEvent::Warning(warning.to_owned()));
        self.linker().link(&request.name, installed, previous, warn)
    }

    pub(super) fn linker(&self) -> Linker<'_> {
        Linker {
            settings: self.runner.settings,
            store: self.runner.store,
            machine_id: self.runner.machine_id,
            force: self.force,
        }
    }

    /// Stores what became of a binary, unless nothing did and the wish was only to look.
    pub(super) fn save(&self, binary: &Binary) -> Result<(), StoreError> {
        if self.is_to_be_saved(binary) { self.runner.store.save_binary(binary) } else { Ok(()) }
    }

    /// Whether what became of a binary is to be stored.
    pub(super) fn is_to_be_saved(&self, binary: &Binary) -> bool {
        !self.is_lookup || binary.installed().is_some()
    }
}
