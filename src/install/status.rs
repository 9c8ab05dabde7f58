//! Checks whether a binary is installed, without running anything.

use crate::fs::digest;
use crate::hook::command;
use crate::install::plan::Request;
use crate::install::{link, pin, probe};
use crate::model::{Binary, BinaryState, Installed};
use crate::process::executable;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// The status of a binary for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstallStatus<'a> {
    /// The binary is installed and linked.
    Ready,
    /// The binary is installed, but not linked.
    Unlinked(&'a Installed),
    /// The binary is not installed, has changed, cannot be started, is too old or does not match its pin.
    Missing,
}

/// Returns whether the binary of a request is installed and linked.
pub(crate) fn is_ready(binary: &Binary, request: &Request, settings: &Settings) -> bool {
    install_status(binary, request, settings) == InstallStatus::Ready
}

/// Replaces the fingerprint of a binary whose file has another one but the recorded digest, as after a copy. Returns the
/// earlier fingerprint, or `None` if it was not replaced.
pub(crate) fn renew_fingerprint(binary: &mut Binary) -> Option<String> {
    let BinaryState::Installed(installed) = &mut binary.state else { return None };
    let found = probe::fingerprint(&installed.abspath).filter(|found| *found != installed.fingerprint)?;
    let is_same = digest::sha256(&installed.abspath).is_ok_and(|sha256| sha256 == installed.sha256);
    // If the file changed meanwhile, the digest may be that of another content.
    let is_stable = || probe::fingerprint(&installed.abspath).as_ref() == Some(&found);
    (is_same && is_stable()).then(|| std::mem::replace(&mut installed.fingerprint, found))
}

/// Renews the fingerprint of a binary, also in the store.
pub(crate) fn store_renewed_fingerprint(binary: &mut Binary, store: &Store) -> Result<(), StoreError> {
    match (renew_fingerprint(binary), binary.installed()) {
        (Some(old), Some(installed)) => store.renew_fingerprint(binary.id, &old, &installed.fingerprint),
        _ => Ok(()),
    }
}

/// Returns the status of a recorded binary, whose fingerprint was renewed.
pub(crate) fn install_status<'a>(
    binary: &'a Binary,
    request: &Request,
    settings: &Settings,
) -> InstallStatus<'a> {
    let Some(installed) = binary.installed() else { return InstallStatus::Missing };
    let fingerprint = probe::fingerprint(&installed.abspath);
    let is_current =
        installed.is_current(fingerprint.as_deref(), request.min_version_of(&installed.binprovider));
    let is_pinned = |pin| pin::matches(pin, installed, &settings.lib_dir);
    let starts = || executable::check(&installed.abspath, Some(&command::search_path(settings))).is_ok();
    if !is_current || !starts() || !request.pin.as_ref().is_none_or(is_pinned) {
        return InstallStatus::Missing;
    }
    let path = settings.lib_bin_dir.join(request.name.link_name());
    if installed.is_in_app_bundle() || link::leads_to(&path, &installed.abspath) {
        InstallStatus::Ready
    } else {
        InstallStatus::Unlinked(installed)
    }
}
