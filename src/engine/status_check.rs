//! Compares the requests of a plan with what is installed, before any hook runs.

use std::time::Duration;

use crate::clock;
use crate::engine::step_result::StepResult;
use crate::install::plan::{Request, Step};
use crate::install::status::{FileCheck, InstallStatus, install_status};
use crate::install::users::Users;
use crate::install::{adopt, request_digest};
use crate::model::{Backoff, Binary, MachineId};
use crate::plugin::config::enabled::PluginConfigs;
use crate::plugin::requirement::Providers;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// The options for resolving requests.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of a command")]
pub(crate) struct InstallOptions {
    /// Whether to reinstall installed binaries.
    pub(crate) reinstalls: bool,
    /// Whether to overwrite existing files with links.
    pub(crate) overwrites: bool,
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
            Err(refusal) => {
                let earlier = binaries.remove(refusal.name.as_str()).map(Box::new);
                Ok(StepResult::Refused(refusal.clone(), earlier))
            }
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
            | InstallStatus::Gone(_)
            | InstallStatus::Modified(_)
            | InstallStatus::Missing => false,
        };
        if is_met && !options.reinstalls {
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
            None => StepResult::Planned(self.with_earlier_provider(request, &binary)),
        })
    }

    /// Adds the provider that installed a binary to the providers of a request that names none, as the first: the user
    /// once named it. With overrides, the same name may be another package.
    fn with_earlier_provider(&self, request: &Request, binary: &Binary) -> Request {
        let mut request = request.clone();
        if let (Providers::Default, Some(installed), false) =
            (&request.providers, binary.installed(), self.options.is_lookup)
            && !request.candidates.iter().any(|name| name == installed.binprovider.as_str())
            && !binary.overrides.contains_key(installed.binprovider.as_str())
        {
            request.candidates.insert(0, installed.binprovider.clone());
        }
        request
    }
}
