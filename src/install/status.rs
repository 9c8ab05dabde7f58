//! How things stand with a binary before anybody is asked for it.

use crate::install::plan::Request;
use crate::install::{pin, probe};
use crate::model::binary::{Binary, Installed};
use crate::settings::Settings;

/// How things stand with a binary, without a hook, a process or a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallStatus<'a> {
    /// It is there, and so is its link.
    Ready,
    /// It is there, and its link is not.
    Unlinked(&'a Installed),
    /// It is not there, or not what was verified, or too old, or not what `rigup.lock` says.
    Missing,
}

/// Looks how things stand with a binary that was asked for before.
pub fn install_status<'a>(binary: &'a Binary, request: &Request, settings: &Settings) -> InstallStatus<'a> {
    let Some(installed) = binary.installed() else {
        return InstallStatus::Missing;
    };
    let fingerprint = probe::fingerprint(&installed.abspath);
    let min_version = request.min_version_of(&installed.binprovider);
    if !installed.is_current(fingerprint.as_deref(), min_version) {
        return InstallStatus::Missing;
    }
    if request.locked.as_ref().is_some_and(|it| !pin::is_same(it, installed, &settings.lib_dir)) {
        return InstallStatus::Missing;
    }
    let is_linked = || {
        fs_err::read_link(settings.lib_bin_dir.join(request.name.link_name()))
            .is_ok_and(|it| it == installed.abspath)
    };
    if installed.is_in_app_bundle() || is_linked() {
        InstallStatus::Ready
    } else {
        InstallStatus::Unlinked(installed)
    }
}
