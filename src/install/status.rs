//! Checks whether a binary is installed, without running anything.

use crate::install::plan::Request;
use crate::install::{pin, probe};
use crate::model::{Binary, Installed};
use crate::settings::Settings;

/// The status of a binary for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstallStatus<'a> {
    /// The binary is installed and linked.
    Ready,
    /// The binary is installed, but not linked.
    Unlinked(&'a Installed),
    /// The binary is not installed, has changed, is too old or does not match its pin.
    Missing,
}

/// Returns whether the binary of a request is installed and linked.
pub(crate) fn is_ready(binary: &Binary, request: &Request, settings: &Settings) -> bool {
    install_status(binary, request, settings) == InstallStatus::Ready
}

/// Returns the status of a recorded binary.
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
    if !is_current || !request.pin.as_ref().is_none_or(is_pinned) {
        return InstallStatus::Missing;
    }
    let link = settings.lib_bin_dir.join(request.name.link_name());
    let is_linked = || fs_err::read_link(link).is_ok_and(|target| target == installed.abspath);
    if installed.is_in_app_bundle() || is_linked() {
        InstallStatus::Ready
    } else {
        InstallStatus::Unlinked(installed)
    }
}
