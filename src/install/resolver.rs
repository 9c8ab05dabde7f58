//! Resolves requests: tries their providers in order until one installs the binary.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::hook::run::Runner;
use crate::install::attempt::{self, AttemptError};
use crate::install::begin::Begin;
use crate::install::event::InstallEvent;
use crate::install::link::{LinkError, Linker};
use crate::install::plan::Request;
use crate::install::probe;
use crate::install::request_digest;
use crate::install::scheduler::{HookIndex, HookMode};
use crate::install::status::{self, FileCheck};
use crate::model::misspelling::closest;
use crate::model::policy::MIN_RELEASE_AGE_KEY;
use crate::model::{Attempt, Binary, Installed, Outcome, ProviderName};
use crate::plugin::config::enabled::PluginConfigs;
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::discovery::{Discovery, Hook};
use crate::process::lock::LockError;
use crate::store::StoreError;

mod bootstrap;
mod deadlock;
mod listed_versions;
mod locks;
mod outcome;
mod run;
mod state;

/// A resolver, which resolves requests with the hooks of all providers.
pub(crate) struct Resolver<'a> {
    /// The runner of the hooks.
    pub runner: Runner<'a>,
    /// The hooks of all providers, in hook order.
    pub hooks: &'a [&'a Hook],
    /// The hook with which each provider lists versions, for those that have one.
    pub version_hooks: &'a HashMap<ProviderName, &'a Hook>,
    /// The dependencies of each provider, which are installed if the provider declines without them.
    pub provider_deps: &'a HashMap<ProviderName, Vec<Request>>,
    /// The plugin folders, with what is wrong in them.
    pub discovery: &'a Discovery,
    /// The `config.json` of each plugin.
    pub configs: &'a PluginConfigs,
    /// The `config.json` of each provider. A provider without one allows no options, and enforces no rules.
    pub provider_configs: &'a HashMap<ProviderName, ProviderConfig>,
    /// Whether to resolve installed binaries too.
    pub reinstalls: bool,
    /// Whether to replace a foreign file in place of a link.
    pub overwrites: bool,
    /// Whether to find only installed programs, and to leave the records of all others unchanged.
    pub is_lookup: bool,
    /// The timeout of a hook.
    pub timeout: Duration,
    /// Begins a hook.
    pub begin: Begin<'a>,
    /// The receiver of events, which is called from any thread.
    pub on_event: &'a (dyn Fn(&Request, InstallEvent) + Sync),
}

/// A request that was resolved, or for which all providers failed.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The record of the binary. If the request failed, an earlier file stays installed, unless a hook has changed it.
    pub binary: Binary,
    /// Whether the request was resolved.
    pub has_succeeded: bool,
    /// The attempts of this command.
    pub attempts: Vec<Attempt>,
    /// The rules of the policy that the provider could not enforce.
    pub unenforced: Vec<String>,
    /// Why the installed binary could not be linked; `None` if it is linked.
    pub link_error: Option<String>,
    /// Why the earlier file did not meet the request; `None` if there was none. A lookup also says that it is gone or has
    /// changed.
    pub problem: Option<String>,
    /// The earlier file, if a hook of the request, which failed, has changed or removed it.
    pub lost: Option<Box<Installed>>,
    /// Whether the result is that in the store.
    pub is_recorded: bool,
}

/// A request with its result.
pub(crate) type RequestResult = (Arc<Request>, Result<Resolved, ResolveError>);

/// An error that prevents a request from being resolved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// rigup was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// The hook that called rigup is resolving the same name.
    #[error("the hook that called rigup is itself resolving {0}, so rigup would wait forever")]
    Circular(String),
    /// Another rigup holds the lock of the name, and waits for a request of this one.
    #[error("{0}, so each would wait forever; one of the hooks must do without the other's binary")]
    Deadlock(String),
    /// The lock of the name cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A hook cannot be run. All requests of a batch share the error.
    #[error("{0}")]
    Attempt(Arc<AttemptError>),
    /// The result cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Resolver<'_> {
    /// Returns the hooks to run for a request, in order, and an attempt for each provider that is not tried, with the
    /// number of hooks before it.
    fn candidates(&self, request: &Request) -> (Vec<HookIndex>, Vec<(usize, Attempt)>) {
        let mut hooks = Vec::new();
        let mut untried = Vec::new();
        let providers: Vec<ProviderName> = self.hooks.iter().map(|hook| hook.provider()).collect();
        for provider in &request.candidates {
            let config = self.provider_configs.get(provider);
            let lib_dir = &self.runner.settings.lib_dir;
            match self::untried(request, provider, &providers, config, self.discovery, lib_dir) {
                Some(attempt) => untried.push((hooks.len(), attempt)),
                None => hooks.extend((0..providers.len()).filter(|&index| providers[index] == *provider)),
            }
        }
        (hooks, untried)
    }

    /// Returns how a hook takes its requests.
    pub(super) fn mode(&self, hook: &Hook) -> HookMode {
        let config = self.provider_configs.get(hook.plugin.as_str());
        if hook.name.is_batch {
            HookMode::Batch
        } else if attempt::may_run_concurrently(hook, config) {
            HookMode::Concurrent
        } else {
            HookMode::Exclusive
        }
    }

    /// Reports the default rules of the policy that the provider of an installed binary cannot enforce.
    fn report_unsupported_defaults(&self, request: &Request, provider: &str) {
        let enforces = self.provider_configs.get(provider).map(|config| config.enforces).unwrap_or_default();
        let mut rules = enforces.unsupported_defaults(request.policy_of(provider));
        let states_digest =
            request.overrides.of(provider).get("sha256").is_some_and(|value| !value.is_null());
        if states_digest || request.pin.as_ref().is_some_and(|pin| !pin.url_sha256.is_empty()) {
            // A file whose digest the requirement or a lock file states cannot be a newer one.
            rules.retain(|rule| *rule != MIN_RELEASE_AGE_KEY);
        }
        if !rules.is_empty() {
            let rules = rules.join(" and ");
            let notice = format!(
                "{provider} cannot enforce {rules}; `rigup plugin show {provider}` shows what it enforces"
            );
            (self.on_event)(request, InstallEvent::Notice(notice));
        }
    }

    /// Returns the dependencies of a provider that are not installed.
    fn missing_dependencies(&self, provider: &str) -> Vec<Request> {
        let is_missing = |dependency: &&Request| {
            dependency.pays_from.is_none() && !self.is_usable(dependency, self.stored(dependency).as_ref())
        };
        self.dependencies_of(provider).filter(is_missing).cloned().collect()
    }

    /// Returns the optional dependencies of a provider that are not installed, and that save time for this number of
    /// requests. A dependency that failed is not tried again before its retry time.
    fn worthwhile_dependencies(&self, provider: &str, requests: usize) -> Vec<Request> {
        let is_worthwhile = |dependency: &&Request| {
            let stored = self.stored(dependency);
            let digest = request_digest::of_failure(dependency, self.runner.settings);
            let retry_at =
                stored.as_ref().and_then(|binary| binary.backoff.pending_retry_of(&digest, clock::now()));
            dependency.pays_from.is_some_and(|from| requests >= from as usize)
                && retry_at.is_none()
                && !self.is_usable(dependency, stored.as_ref())
        };
        self.dependencies_of(provider).filter(is_worthwhile).cloned().collect()
    }

    fn dependencies_of(&self, provider: &str) -> impl Iterator<Item = &Request> {
        self.provider_deps.get(provider).into_iter().flatten()
    }

    /// Returns the record of a dependency, or `None` if there is none or it cannot be read, so that the dependency is
    /// resolved.
    fn stored(&self, dependency: &Request) -> Option<Binary> {
        let store = self.runner.store;
        let mut binary =
            store.binary(self.runner.command.machine_id, dependency.name.as_str()).ok().flatten()?;
        self.file_check().store_renewed_fingerprint(&mut binary, store).ok()?;
        Some(binary)
    }

    fn is_usable(&self, request: &Request, stored: Option<&Binary>) -> bool {
        stored.is_some_and(|binary| status::is_usable(binary, request, self.runner.settings))
    }

    /// Links a binary. Returns why it cannot be linked, or `None` if it is linked.
    fn link(&self, request: &Request, installed: &Installed) -> Result<Option<String>, StoreError> {
        match self.linker().link(&request.name, installed) {
            Ok(()) => Ok(None),
            Err(LinkError::Store(error)) => Err(error),
            Err(error) => Ok(Some(error.to_string())),
        }
    }

    /// Removes the earlier file of a failed request from the record, and its link, if a hook has changed or removed the file.
    /// Returns it, or `None` if it stays installed or if there was none.
    fn remove_changed_file(&self, request: &Request, binary: &mut Binary) -> Option<Box<Installed>> {
        self.file_check().renew_fingerprint(binary);
        let is_changed = |installed: &mut Installed| {
            probe::fingerprint(&installed.abspath).as_ref() != Some(&installed.fingerprint)
        };
        let lost = binary.installed.take_if(is_changed)?;
        let linker = self.linker();
        let is_lost = |target: &Path| target == lost.abspath;
        if let Err(error) = linker.unlink(&linker.path(&request.name), request.name.as_str(), is_lost, false)
        {
            (self.on_event)(request, InstallEvent::Warning(error.to_string()));
        }
        Some(Box::new(lost))
    }

    fn file_check(&self) -> FileCheck<'_> {
        FileCheck { settings: self.runner.settings, configs: self.configs }
    }

    fn linker(&self) -> Linker<'_> {
        Linker {
            settings: self.runner.settings,
            store: self.runner.store,
            machine_id: self.runner.command.machine_id,
            force: self.overwrites,
        }
    }
}

/// Returns the attempt of a provider that must not be tried for a request, or `None` if it may be tried.
pub(crate) fn untried(
    request: &Request,
    provider: &ProviderName,
    providers: &[ProviderName],
    config: Option<&ProviderConfig>,
    discovery: &Discovery,
    lib_dir: &Path,
) -> Option<Attempt> {
    let (outcome, reason) = if !providers.contains(provider) {
        unavailable(request, provider, providers, discovery)
    } else if let Some(reason) = refusal(request, provider, config) {
        (Outcome::Declined, reason)
    } else {
        let reason = rejection(request, provider, config, lib_dir)?;
        // A `config.json` that cannot be used declares no options.
        let problem = discovery.problem_of(provider).map(|problem| format!("; {problem}"));
        (Outcome::Rejected, reason + &problem.unwrap_or_default())
    };
    Some(Attempt { provider: provider.clone(), outcome, reason, process_id: None })
}

/// Returns why a provider that a request names is none.
fn unavailable(
    request: &Request,
    provider: &ProviderName,
    providers: &[ProviderName],
    discovery: &Discovery,
) -> (Outcome, String) {
    if let Some(cause) = discovery.why_no_provider(provider) {
        return (Outcome::Skipped, cause);
    }
    let untried = providers.iter().filter(|name| !request.providers.allows(name));
    let similar = closest(provider, untried.map(ProviderName::as_str));
    let next = similar.map_or("`rigup hook list BinaryRequest` shows all providers".to_owned(), |similar| {
        format!("write {similar}")
    });
    (Outcome::Skipped, format!("no such provider; {next}"))
}

/// Returns why a provider cannot have the packages of a request, before anything is installed that the provider itself needs.
fn refusal(request: &Request, provider: &ProviderName, config: Option<&ProviderConfig>) -> Option<String> {
    let config = config?;
    if let Some(version) = request.exact_version_of(provider).filter(|version| !config.can_request(version)) {
        return Some(format!("cannot request version {version}: {provider} writes versions in another form"));
    }
    let names = config.package_names.as_ref()?;
    let packages = request.overrides.of(provider).packages_of(&request.name);
    names.refusal(packages.iter().map(String::as_str).filter(|package| !package.starts_with('-')))
}

/// Returns why no provider installed a binary, in one line.
pub(crate) fn summary(attempts: &[Attempt]) -> String {
    let describe = |Attempt { provider, outcome, reason, .. }: &Attempt| {
        format!("{provider} {}: {reason}", outcome.verb())
    };
    let summary = attempts.iter().map(describe).collect::<Vec<_>>().join("; ");
    if attempts.is_empty() { "no provider to try".to_owned() } else { summary }
}

/// Returns why a provider must not be tried for a request, or `None` if it may be. A provider without a `config.json`
/// checks its options itself, and enforces no rules.
fn rejection(
    request: &Request,
    provider: &ProviderName,
    config: Option<&ProviderConfig>,
    lib_dir: &Path,
) -> Option<String> {
    let default = ProviderConfig::default();
    let config = config.unwrap_or(&default);
    let overrides = request.overrides.of(provider);
    let versions = request.versions_of(provider);
    let is_impossible = || versions.is_empty().then(|| format!("no version is {versions}"));
    let unsupported_rule = config.enforces.unsupported_rule(request.policy_of(provider));
    // The package managers of distributions have names of their own, which their hooks check.
    let has_pattern = || {
        let packages = overrides.packages_of(&request.name);
        let odd = packages.iter().find(|package| config.curated == Some(false) && is_pattern(package))?;
        Some(format!("{odd} is not the name of a package"))
    };
    let has_option = || {
        let allowed = config.options.as_deref()?;
        overrides.check_options(provider, allowed).err().map(|error| error.to_string())
    };
    let has_key = || {
        let known = config.override_keys.as_deref();
        overrides.check_keys(provider, known).err().map(|error| error.to_string())
    };
    let is_elsewhere = || {
        let checked = overrides.prefix(provider, &request.name, lib_dir);
        checked.err().map(|error| error.to_string())
    };
    // The version that a lock file pins may be the one that the provider installs anyway.
    let has_exact_version = || {
        let has_package = versions.partial().is_some() && config.partial_version_format.is_some();
        let is_refused = config.has_no_exact_versions && !has_package && request.pin.is_none();
        let exact = versions.exact().filter(|_| is_refused)?;
        Some(format!(
            "the provider cannot install a specific version such as {exact}; allow others, or another provider"
        ))
    };
    unsupported_rule
        .or_else(has_exact_version)
        .or_else(has_pattern)
        .or_else(has_option)
        .or_else(has_key)
        .or_else(is_elsewhere)
        .or_else(is_impossible)
}

/// Returns whether a package is neither an option nor a location, and has a character that no name has.
fn is_pattern(package: &str) -> bool {
    let name = package.split(['<', '>', '=', '!', '~', '@', '[', ';', ' ']).next().unwrap_or_default();
    !package.starts_with('-')
        && !package.contains('/')
        && name.contains(['*', '?', '^', '$', '|', '(', ')', '{', '}', '\\', '\'', '"'])
}
