//! Checks whether a binary is installed, without running its program.

use std::fs::Metadata;
use std::path::PathBuf;

use crate::hook::command;
use crate::install::plan::{self, Request};
use crate::install::{module, package, pins, probe, request_digest};
use crate::model::policy::MIN_RELEASE_AGE;
use crate::model::{Binary, Installed, Policy, name};
use crate::plugin::config::enabled::PluginConfigs;
use crate::plugin::overrides::Overrides;
use crate::process::executable::{self, ExecutableError};
use crate::process::signals::Interrupt;
use crate::process::wrapper::{self, LinkKind};
use crate::report::text;
use crate::settings::Settings;
use crate::shell;
use crate::store::{Store, StoreError};

/// The status of a binary for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InstallStatus<'a> {
    /// The binary is installed and linked.
    Ready,
    /// The binary is installed, but not linked.
    Unlinked(&'a Installed),
    /// The binary is installed, but the request does not accept its version or its provider.
    Other(&'a Installed),
    /// The binary is installed, but for a request with other overrides or another policy.
    Changed(&'a Installed),
    /// The binary is installed, but the system cannot start its file, which has not changed: its interpreter is gone, and
    /// may come back.
    Broken(&'a Installed, ExecutableError),
    /// The binary is recorded as installed, but its file is gone.
    Gone(&'a Installed),
    /// The binary is recorded as installed, but its file has changed since then.
    Modified(&'a Installed),
    /// The binary is not installed.
    Missing,
}

/// Recognizes installed files whose fingerprints have changed, as after a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileCheck<'a> {
    /// The environment of package managers.
    pub settings: &'a Settings,
    /// The configuration of each provider, which names the metadata of its package manager.
    pub configs: &'a PluginConfigs,
}

impl FileCheck<'_> {
    /// Replaces the fingerprint of a binary whose file has another one but is the recorded file. Returns the earlier
    /// fingerprint, or `None` if it was not replaced.
    pub(crate) fn renew_fingerprint(self, binary: &mut Binary) -> Option<String> {
        let installed = binary.installed.as_mut()?;
        if probe::fingerprint(&installed.abspath).as_ref() == Some(&installed.fingerprint) {
            return None;
        }
        let found = self.fingerprint_of_same_file(installed)?;
        Some(std::mem::replace(&mut installed.fingerprint, found))
    }

    /// Returns that the file of an installed binary has changed since it was installed, or `None` if it has not or is gone.
    /// Reads the file only if its fingerprint is another one.
    pub(crate) fn modification(self, installed: &Installed) -> Option<String> {
        let found = probe::fingerprint(&installed.abspath)?;
        let is_same = found == installed.fingerprint || self.fingerprint_of_same_file(installed).is_some();
        (!is_same).then(|| modified(installed))
    }

    /// Renews the fingerprint of a binary, also in the store.
    pub(crate) fn store_renewed_fingerprint(
        self,
        binary: &mut Binary,
        store: &Store,
    ) -> Result<(), StoreError> {
        match (self.renew_fingerprint(binary), binary.installed()) {
            (Some(old), Some(installed)) => store.renew_fingerprint(binary.id, &old, &installed.fingerprint),
            _ => Ok(()),
        }
    }

    /// Returns the fingerprint of an installed file that still has the recorded digest and package version, or `None` if
    /// it has others or does not exist.
    pub(crate) fn fingerprint_of_same_file(self, installed: &Installed) -> Option<String> {
        let found = probe::fingerprint_of_same_file(installed)?;
        self.is_of_same_package(installed).then_some(found)
    }

    /// Returns whether a program belongs to the recorded version of its package. The launchers of several versions can
    /// be the same file.
    fn is_of_same_package(self, installed: &Installed) -> bool {
        let config = self.configs.schema(&installed.binprovider).map(|schema| &schema.provider);
        let Some(metadata) = config.and_then(|config| config.metadata) else { return true };
        let Ok(interrupt) = Interrupt::none() else { return false };
        let owner = package::owner(metadata, &installed.abspath, self.settings, &interrupt);
        owner.map(|package| package.package_version).unwrap_or_default() == installed.package_version
    }
}

/// Returns the status of a recorded binary, whose fingerprint was renewed. A lookup states no policy, and can only try
/// env, so a binary that another provider installed with another policy counts as installed.
pub(crate) fn install_status<'a>(
    binary: &'a Binary,
    request: &Request,
    settings: &Settings,
    is_lookup: bool,
) -> InstallStatus<'a> {
    let Some(installed) = binary.installed() else { return InstallStatus::Missing };
    match probe::fingerprint(&installed.abspath) {
        None => return InstallStatus::Gone(installed),
        Some(found) if found != installed.fingerprint => return InstallStatus::Modified(installed),
        Some(_) => {}
    }
    if let Some(problem) = file_problem(installed, settings) {
        return InstallStatus::Broken(installed, problem);
    }
    if !is_accepted(installed, request, settings) {
        return InstallStatus::Other(installed);
    }
    let is_found = || is_lookup && installed.binprovider != plan::ENV && has_overrides_of(binary, request);
    if !is_of_request(binary, installed, request, settings) && !is_found() {
        return InstallStatus::Changed(installed);
    }
    if is_linked(&binary.name, installed, settings) {
        InstallStatus::Ready
    } else {
        InstallStatus::Unlinked(installed)
    }
}

/// Returns why the system cannot start an installed file, or `None` if it can.
fn file_problem(installed: &Installed, settings: &Settings) -> Option<ExecutableError> {
    let checked = executable::check(&installed.abspath, Some(&|| command::search_path(settings, &[])));
    // A recorded file that is no program is a module.
    checked.err().filter(|problem| *problem != ExecutableError::NoProgram)
}

/// Returns why an installed binary cannot be run by its name, and what to do, or `None` if it can. `request` is what an
/// install names.
pub(crate) fn link_problem(
    name: &str,
    request: &str,
    installed: &Installed,
    settings: &Settings,
) -> Option<String> {
    let (link, request) = (link_path(name, settings), shell::quote_text(request));
    let in_place = link.symlink_metadata();
    Some(match file_problem(installed, settings) {
        Some(ExecutableError::Missing) => {
            format!("{}; run `rigup install {request}`", gone(installed))
        }
        Some(problem) => {
            let problem = format!("{} {problem}", installed.abspath.display());
            text::with_next_step(problem, &format!("run `rigup install --force {request}`"))
        }
        None if is_linked(name, installed, settings) => return None,
        None if in_place.as_ref().is_ok_and(Metadata::is_dir) => {
            let link = link.display();
            format!(
                "it is not linked, because {link} is a folder; remove it, and run `rigup install {request}`"
            )
        }
        None if in_place.is_ok_and(|metadata| !metadata.is_symlink()) => {
            let link = link.display();
            format!(
                "it is not linked, because rigup did not create {link}; run `rigup install --force {request}`"
            )
        }
        None if link.exists() => {
            let link = link.display();
            format!(
                "it is not linked, because {link} leads to another program; run `rigup install --force {request}`"
            )
        }
        None => format!("it is not linked; run `rigup install {request}`"),
    })
}

fn gone(installed: &Installed) -> String {
    format!("{} is gone", installed.abspath.display())
}

fn modified(installed: &Installed) -> String {
    format!("{} has changed since it was installed", installed.abspath.display())
}

/// Returns the path of the link of a binary, which may not exist.
pub(crate) fn link_path(name: &str, settings: &Settings) -> PathBuf {
    settings.lib_bin_dir.join(name::link_name(name))
}

/// Returns whether LIB_BIN_DIR leads to an installed binary, or does not have to.
pub(crate) fn is_linked(name: &str, installed: &Installed, settings: &Settings) -> bool {
    wrapper::is_correct(&link_path(name, settings), &installed.abspath, LinkKind::of(installed))
        || module::needs_no_link(installed)
}

/// Whether a binary is installed and linked, and the request has the overrides with which it was installed. The policy of
/// the request may be another one.
pub(crate) fn is_current(binary: &Binary, request: &Request, settings: &Settings) -> bool {
    match install_status(binary, request, settings, false) {
        InstallStatus::Ready => true,
        InstallStatus::Changed(installed) => {
            has_overrides_of(binary, request) && is_linked(&binary.name, installed, settings)
        }
        _ => false,
    }
}

/// Returns whether a binary is installed, perhaps for another request, and this request accepts its version and
/// provider.
pub(crate) fn is_usable(binary: &Binary, request: &Request, settings: &Settings) -> bool {
    match install_status(binary, request, settings, false) {
        InstallStatus::Ready | InstallStatus::Unlinked(_) | InstallStatus::Changed(_) => true,
        InstallStatus::Other(_)
        | InstallStatus::Broken(..)
        | InstallStatus::Gone(_)
        | InstallStatus::Modified(_)
        | InstallStatus::Missing => false,
    }
}

impl InstallStatus<'_> {
    /// Returns why the recorded file of a binary does not meet the request, or `None` if it does or if there is none.
    pub(crate) fn problem(&self, request: &Request) -> Option<String> {
        match self {
            Self::Changed(_) => Some("its request has changed".to_owned()),
            Self::Gone(installed) => Some(gone(installed)),
            Self::Modified(installed) => Some(modified(installed)),
            Self::Broken(installed, problem) => Some(format!("{} {problem}", installed.abspath.display())),
            Self::Other(Installed { binprovider, version, package_version, .. }) => {
                let versions = request.versions_of(binprovider);
                Some(if !request.providers.allows(binprovider) {
                    format!("the request does not allow {binprovider}")
                } else if versions.contains_program(version, package_version) {
                    "it is not the pinned one".to_owned()
                } else {
                    format!("its version is not {versions}")
                })
            }
            Self::Ready | Self::Unlinked(_) | Self::Missing => None,
        }
    }
}

/// Returns whether a request accepts the version and the provider of an installed binary, which matches its pin.
fn is_accepted(installed: &Installed, request: &Request, settings: &Settings) -> bool {
    let provider = &installed.binprovider;
    request.providers.allows(provider)
        && request.versions_of(provider).contains_program(&installed.version, &installed.package_version)
        && request.pin.as_ref().is_none_or(|pin| pins::matches(pin, installed, &settings.lib_dir))
}

/// Returns whether a binary was installed with the overrides of a request. A bare name states none.
fn has_overrides_of(binary: &Binary, request: &Request) -> bool {
    let provider = binary.installed().map_or("", |installed| &installed.binprovider);
    let wanted = request.overrides.of(provider).without_rules();
    let is_bare = request.required_by.is_empty() && wanted.is_null();
    is_bare
        || Overrides::parse(&binary.overrides)
            .is_ok_and(|overrides| overrides.of(provider).without_rules() == wanted)
}

/// Returns whether a binary was installed for this request. A record that came without a request fits any that names no
/// other file. The policy does not count for a binary that matches its pin, and neither does an age that was lower than the
/// default if the request states none: the default would only bring back an older release.
fn is_of_request(binary: &Binary, installed: &Installed, request: &Request, settings: &Settings) -> bool {
    let provider = &installed.binprovider;
    if installed.request_digest.is_empty() {
        let abspath = request.overrides.of(provider).abspath(settings.home.as_deref());
        return abspath.is_none_or(|abspath| abspath == installed.abspath);
    }
    let is_for = |request: &Request| {
        installed.request_digest == request_digest::of_request(request, provider, settings)
    };
    let is_pinned = || {
        let is_finished = installed.request_digest != request_digest::UNFINISHED;
        request.pin.is_some() && is_finished && has_overrides_of(binary, request)
    };
    let had_lower_age = || {
        let min_release_age = binary.policy.min_release_age;
        let policy = Policy { min_release_age, ..request.policy };
        request.policy_of(provider).min_release_age.is_none()
            && policy.age() < MIN_RELEASE_AGE
            && is_for(&Request { policy, ..request.clone() })
    };
    is_for(request) || is_pinned() || had_lower_age()
}
