//! Why a request cannot be installed from a release.

use std::path::PathBuf;

use crate::model::Outcome;
use crate::model::attempt::HELD_BACK;
use crate::toolkit::asset::platform::{FORMS, Platform};
use crate::toolkit::http::error::HttpError;
use crate::toolkit::http::url::UrlError;
use crate::toolkit::release::choice::Unsuitable;
use crate::toolkit::release::host::ApiError;
use crate::toolkit::release::template;
use crate::toolkit::repository;

/// Why a request cannot be installed from a release.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    /// An override has a wrong value: the provider, the key, and what the value must be.
    #[error("overrides.{0}.{1} must be {2}")]
    Override(String, &'static str, &'static str),
    /// A text has a placeholder that does not exist: the provider, the key and the name.
    #[error("overrides.{0}.{1} has {{{2}}}, which is no placeholder; use {list}", list = template::PLACEHOLDERS)]
    Placeholder(String, &'static str, String),
    /// An override has a key that names no platform: the provider, the key of the override, and this key.
    #[error(
        "overrides.{0}.{1} has the key {2:?}, which is not a platform; write it like {FORMS}, or without the C library: \
         linux-x86_64"
    )]
    PlatformKey(String, &'static str, String),
    /// An override has no value for this platform: the provider, the key, the platform and those that have one.
    #[error(
        "overrides.{0}.{1} has no key {2}{others}; add one for {2}",
        others = if .3.is_empty() { String::new() } else { format!(", only {}", .3) }
    )]
    OtherPlatforms(String, &'static str, Platform, String),
    /// The version in the overrides is not the requested one: the provider, and both.
    #[error("overrides.{0}.version is {1}, but the request is for {2}; change one of them")]
    OtherVersion(String, String, String),
    /// No repository is known for the name.
    #[error(
        "no repository of {0} is known; {request}set overrides.{1}.repo to its owner and name, such as \"owner/{0}\"",
        request = request_program(.0)
    )]
    NoRepository(String, String),
    /// Several repositories have a program of this name.
    #[error("{0} may come from several repositories; set overrides.{1}.repo to one of {2}")]
    SeveralRepositories(String, String, String),
    /// The request has several packages: the provider, and their number.
    #[error("overrides.{0}.packages must be one repository, not {1}; give each its own requirement")]
    SeveralPackages(String, usize),
    /// The request has no address: the provider.
    #[error(
        "no address is stated; set overrides.{0}.url, as in {{\"{0}\": {{\"url\": \"https://example.org/tool.tar.gz\"}}}}"
    )]
    NoAddress(String),
    /// The address has a placeholder for a version, which the request does not state: the provider, and the name.
    #[error(
        "the address in overrides.{0}.url has {{version}}, but no version is requested; request one as in {1}@1.2, or set \
         overrides.{0}.version"
    )]
    NoVersion(String, String),
    /// An upgrade of a program whose address has a version states none.
    #[error(
        "{HELD_BACK}the address in overrides.{0}.url has {{version}}, and no newer version is requested; request one as in \
         {1}@1.2"
    )]
    NoNewerVersion(String, String),
    /// No release has a version that the request accepts.
    #[error("{0}")]
    MissingVersion(String),
    /// No release is suitable.
    #[error("{0} has no release that the request accepts: {1}")]
    Unsuitable(String, Unsuitable),
    /// There are no releases.
    #[error("{0} has no release{1}")]
    NoRelease(String, String),
    /// The folder of a release would have a name that is too long: its parent, the length of the tag in it and the limit, in
    /// bytes, and the name of the binary.
    #[error(
        "cannot create a folder in {parent}: the tag of the release has {1} bytes, and at most {2} fit; request a release \
         with a shorter tag, as in {3}@1.2",
        parent = .0.display()
    )]
    LongTag(PathBuf, usize, usize, String),
    /// The system is none that programs are released for.
    #[error("programs are not released for this system")]
    NoPlatform,
    /// An address cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The API cannot be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Nothing can be downloaded.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// Returns what else to do if a name is that of a project whose programs have other names; empty if it is none.
fn request_program(project: &str) -> String {
    let programs = repository::programs_of(project);
    let request = match &programs[..] {
        [] => return String::new(),
        [only] => only,
        _ => "one of them",
    };
    format!("the project of this name releases {}, so request {request}, or ", programs.join(", "))
}

impl ReleaseError {
    /// Returns the outcome of the attempt.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::NoRepository(..)
            | Self::MissingVersion(_)
            | Self::NoRelease(..)
            | Self::NoPlatform
            | Self::Http(HttpError::NoDownloader)
            | Self::Api(ApiError::NotFound(..) | ApiError::Http(HttpError::NoDownloader)) => {
                Outcome::Declined
            }
            Self::Http(_) | Self::Api(_) => Outcome::Failed,
            _ => Outcome::Rejected,
        }
    }

    /// Returns the signal that interrupted the search, or `None` if none did.
    pub(crate) fn signal(&self) -> Option<i32> {
        match self {
            Self::Http(HttpError::Interrupted(signal))
            | Self::Api(ApiError::Http(HttpError::Interrupted(signal))) => Some(*signal),
            _ => None,
        }
    }
}
