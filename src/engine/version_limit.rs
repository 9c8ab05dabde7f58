//! What keeps newer versions of an installed binary from being installed, for people.

use crate::engine::version_status::VersionStatus;
use crate::install::plan::Request;
use crate::model::{Installed, Version, VersionRange};
use crate::shell;

/// Returns what keeps the newest release of all from being installed; empty if it is installed.
pub(super) fn of_latest(request: &Request, installed: &Installed, status: &VersionStatus) -> String {
    let VersionStatus { latest: Some(latest), only, .. } = status else { return String::new() };
    let (provider, version) = (&installed.binprovider, &latest.version);
    let versions = request.versions_of(provider);
    if Version::parse(version) <= Version::parse(installed.listed_version()) {
        return String::new();
    }
    if !latest.is_in(VersionRange::exactly(only)) {
        return format!("overrides.{provider} accept only {only}, not {version}");
    }
    match of_request(request, provider).filter(|_| !latest.is_in(versions)) {
        Some(limit) if versions.partial().is_some() => format!("{version} is excluded: {limit}"),
        Some(limit) => format!("{limit} excludes {version}"),
        None => format!("{version} is not allowed yet"),
    }
}

/// Returns what limits the versions of a request from above, with its sources, or `None` if nothing does.
pub(super) fn of_request(request: &Request, provider: &str) -> Option<String> {
    let versions = request.versions_of(provider);
    let limit = match (versions.partial(), versions.max) {
        (_, "") => return None,
        (Some(partial), _) => format!("only versions that begin with {partial} are allowed"),
        (None, max) => format!("max_version {max}"),
    };
    Some(format!("{limit} ({})", sources(request)))
}

/// Returns what restricts the versions of a request: the places, or the next step if it is the stored one.
pub(super) fn sources(request: &Request) -> String {
    if request.required_by.is_empty() && !request.is_restricted {
        let name = shell::quote_text(request.name.as_str());
        format!("by the request that installed it; for the newest, run `rigup install --force {name}`")
    } else {
        let places = request.version_sources.iter().map(|source| source.place.as_str());
        places.collect::<Vec<_>>().join(", ")
    }
}
