//! The result of one step of a plan: what is known of it before any hook runs, and what became of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock;
use crate::install::plan::{Refusal, Request, Step};
use crate::install::resolver::{self, ResolveError, Resolved};
use crate::install::status::{FileCheck, InstallStatus, install_status};
use crate::install::users::Users;
use crate::install::{adopt, request_digest};
use crate::model::{Attempt, Backoff, Binary, BinaryName, Installed, MachineId, ProviderName};
use crate::plugin::config::enabled::PluginConfigs;
use crate::plugin::config::provider::ProviderConfig;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// The options for resolving requests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct InstallOptions {
    /// Whether to reinstall installed binaries, and to overwrite existing files with links.
    pub(crate) force: bool,
    /// Whether a failure leaves the record of the binary unchanged.
    pub(crate) is_lookup: bool,
    /// Whether a request that failed recently has to wait for its retry time.
    pub(crate) waits_for_retry: bool,
    /// How many hooks may run at the same time.
    pub(crate) jobs: Option<usize>,
    /// How long a hook may run.
    pub(crate) timeout: Duration,
}

/// Compares requests with the stored binaries of a machine.
pub(crate) struct StatusCheck<'a> {
    pub(crate) store: &'a Store,
    pub(crate) machine_id: MachineId,
    pub(crate) settings: &'a Settings,
    pub(crate) configs: &'a PluginConfigs,
    pub(crate) options: InstallOptions,
    /// Whether to leave the store unchanged.
    pub(crate) is_dry_run: bool,
}

impl StatusCheck<'_> {
    /// Returns the result of each step that no hook has to resolve, and the other requests as planned.
    pub(crate) fn steps(&self, steps: &[Step]) -> Result<Vec<StepResult>, StoreError> {
        let mut binaries = self.store.binaries_of(self.machine_id)?;
        let results = steps.iter().map(|step| match step {
            Err(refusal) => Ok(StepResult::Refused(refusal.clone())),
            Ok(request) => self.request(request, binaries.remove(request.name.as_str())),
        });
        let results: Vec<StepResult> = results.collect::<Result<_, _>>()?;
        if !self.is_dry_run {
            let users = Users::new(self.settings, self.store, self.machine_id)?;
            for (step, result) in steps.iter().zip(&results) {
                if let (Ok(request), Some(installed)) = (step, result.installed()) {
                    // Without a marker, another data dir may remove the link or the prefix.
                    let _ = users.mark_installed(installed, &request.name);
                }
            }
        }
        Ok(results)
    }

    /// Returns the result of a request that no hook has to resolve, or the request as planned. `stored` is the record of
    /// its binary on this machine.
    pub(crate) fn request(
        &self,
        request: &Request,
        stored: Option<Binary>,
    ) -> Result<StepResult, StoreError> {
        let Self { store, machine_id, settings, configs, options, is_dry_run } = *self;
        let name = request.name.as_str();
        let check = FileCheck { settings, configs };
        let found = adopt::find_or_adopt(store, check, machine_id, name, stored, is_dry_run)?;
        let Some(mut binary) = found else { return Ok(StepResult::Planned(request.clone())) };
        let is_met = match install_status(&binary, request, settings, options.is_lookup) {
            InstallStatus::Ready => true,
            // No provider would be tried.
            InstallStatus::Unlinked(_) => is_dry_run,
            InstallStatus::Other(_)
            | InstallStatus::Changed(_)
            | InstallStatus::Broken(..)
            | InstallStatus::Missing => false,
        };
        if is_met && !options.force {
            // The failures were those of another request.
            if binary.backoff != Backoff::default() && !is_dry_run && !options.is_lookup {
                store.clear_failures(binary.id)?;
            }
            binary.backoff = Backoff::default();
            return Ok(StepResult::AlreadyInstalled(binary));
        }
        let digest = request_digest::of_failure(request, settings);
        let retry_at = binary.backoff.pending_retry_of(&digest, clock::now());
        Ok(match retry_at.filter(|_| options.waits_for_retry) {
            Some(retry_at) => StepResult::Deferred(request.clone(), Box::new(binary), retry_at),
            None => StepResult::Planned(request.clone()),
        })
    }
}

/// The result of one step of a plan.
#[derive(Debug)]
pub(crate) enum StepResult {
    /// The binary was installed before; no hook ran.
    AlreadyInstalled(Binary),
    /// The request was resolved, with or without success.
    Resolved(Arc<Request>, Resolved),
    /// The request failed recently and is not tried again before this time.
    Deferred(Request, Box<Binary>, Timestamp),
    /// The request has to be resolved.
    Planned(Request),
    /// No provider may install the binary.
    Refused(Refusal),
    /// An error ended the request before its outcome was known.
    Unresolved(Request, ResolveError),
}

impl StepResult {
    /// Returns the record of the binary, or `None` if it is not installed.
    pub(crate) fn installed_binary(&self) -> Option<&Binary> {
        match self {
            Self::AlreadyInstalled(binary)
            | Self::Resolved(_, Resolved { binary, has_succeeded: true, .. }) => Some(binary),
            _ => None,
        }
    }

    /// Returns the installed file, or `None` if the binary is not installed.
    pub(crate) fn installed(&self) -> Option<&Installed> {
        self.installed_binary().and_then(Binary::installed)
    }

    /// Whether the binary is installed.
    pub(crate) fn is_installed(&self) -> bool {
        self.installed().is_some()
    }

    /// Whether the binary is installed and linked.
    pub(crate) fn is_linked(&self) -> bool {
        self.is_installed() && self.link_error().is_none()
    }

    /// Returns why the binary is installed without a link, or `None` if it is linked or not installed.
    pub(crate) fn link_error(&self) -> Option<&str> {
        let Self::Resolved(_, resolved) = self else { return None };
        resolved.link_error.as_deref()
    }

    /// Returns the request, or `None` if it does not have to be resolved any more.
    pub(crate) fn planned(&self) -> Option<&Request> {
        if let Self::Planned(request) = self { Some(request) } else { None }
    }

    /// Returns the result as a record.
    pub(crate) fn to_record(&self) -> Value {
        let mut record = match self {
            Self::AlreadyInstalled(binary) => binary.to_record(&[]),
            Self::Deferred(request, binary, _) => unmet(request, binary, &[]),
            Self::Resolved(_, Resolved { binary, has_succeeded: true, attempts, .. }) => {
                binary.to_record(attempts)
            }
            Self::Resolved(request, Resolved { binary, attempts, .. }) => unmet(request, binary, attempts),
            Self::Planned(request) => request.to_record("queued"),
            Self::Refused(refusal) => unresolved(&refusal.name, &refusal.reason),
            Self::Unresolved(request, error) => unresolved(&request.name, &error.to_string()),
        };
        if let Some(error) = self.link_error() {
            record["link_error"] = error.into();
        }
        record
    }

    /// Returns the result of a dry run as a record, in which `binproviders` are the providers that would be tried, and
    /// `attempts` are about those that would not.
    pub(crate) fn to_dry_run_record(
        &self,
        providers: &[ProviderName],
        configs: &HashMap<ProviderName, ProviderConfig>,
        lib_dir: &Path,
    ) -> Value {
        let Self::Planned(request) = self else { return self.to_record() };
        let mut untried = Vec::new();
        let mut tried = request.candidates.clone();
        tried.retain(|provider| {
            let attempt = resolver::untried(request, provider, providers, configs.get(provider), lib_dir);
            let is_tried = attempt.is_none();
            untried.extend(attempt);
            is_tried
        });
        let mut record = request.to_record("queued");
        record["binproviders"] = tried.join(",").into();
        if !untried.is_empty() {
            record["last_error"] = resolver::summary(&untried).into();
        }
        record["attempts"] = json!(untried);
        record
    }
}

/// Returns the record of a request that failed. It has the values of the earlier file if that stays installed.
fn unmet(request: &Request, binary: &Binary, attempts: &[Attempt]) -> Value {
    let mut record = binary.to_record(&[]);
    for (key, value) in request.to_record("queued").as_object().into_iter().flatten() {
        if key != "last_error" && key != "binproviders" {
            record[key] = value.clone();
        }
    }
    record["binproviders"] = request.binproviders().into();
    record["attempts"] = json!(attempts);
    record
}

/// Returns the record of a request that has no row in the store.
pub(crate) fn unresolved(name: &BinaryName, reason: &str) -> Value {
    json!({
        "type": "BinaryRequest",
        "name": name.as_str(),
        "status": "queued",
        "last_error": reason,
        "retry_at": null,
        "attempts": [],
    })
}
