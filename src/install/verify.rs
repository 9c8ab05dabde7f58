//! Verifies the Binary records of hooks.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::fs::digest;
use crate::fs::digest::is_sha256;
use crate::fs::dir::parent;
use crate::install::probe::{self, ProbeError, Prober, Program};
use crate::install::{relocatable, request_digest};
use crate::lockfile::{MAX_URL_LENGTH, Pin};
use crate::model::attempt::HELD_BACK;
use crate::model::version::{self, MAX_VERSION_LENGTH, is_valid_version};
use crate::model::{Installed, Outcome, ProviderName, VersionRange, name};
use crate::process::executable::{self, ExecutableError};
use crate::process::wrapper;
use crate::shell;

/// An error in a Binary record, because of which it is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VerifyError {
    /// The record is for another binary.
    #[error("the record is for `{found}`, not for `{requested}`")]
    WrongName {
        /// The name in the record.
        found: String,
        /// The name in the request.
        requested: String,
    },
    /// The record has no abspath, or one that is not a string.
    #[error("the record has no abspath")]
    NoPath,
    /// The file is not the one that the request names.
    #[error("abspath is {found}, but overrides.{1}.abspath is {requested}", found = .0.display(), requested = .2.display())]
    WrongFile(PathBuf, ProviderName, PathBuf),
    /// The file is not the one that the name is the path of.
    #[error("abspath is {found}, but the name is the path of another file", found = .0.display())]
    NotNamedFile(PathBuf),
    /// The file cannot be read.
    #[error("cannot read abspath {path}: {reason}", path = .0.display(), reason = .1)]
    Unreadable(PathBuf, String),
    /// The file cannot be the binary, with the reason.
    #[error("abspath {path} {problem}", path = .0.display(), problem = .1)]
    UnusableFile(PathBuf, &'static str),
    /// The system cannot start the file.
    #[error("abspath {path} {problem}", path = .0.display(), problem = .1)]
    NotExecutable(PathBuf, ExecutableError),
    /// The program was run, and failed.
    #[error("abspath {path} {problem}", path = .0.display(), problem = .1)]
    NotRunning(PathBuf, String),
    /// The program could not be run, for a reason that says nothing about it.
    #[error("cannot probe {path}: {reason}", path = .0.display(), reason = .1)]
    NotProbed(PathBuf, String),
    /// A version in the record is not a short line.
    #[error(
        "the {0} in the record contains a control character or has more than {MAX_VERSION_LENGTH} characters"
    )]
    InvalidVersion(&'static str),
    /// The version in the record is older than the minimum version.
    #[error("version {0} is older than {1}")]
    TooOld(String, String),
    /// The version in the record is newer than the maximum version, with the next step.
    #[error("version {0} is newer than {1}{2}")]
    TooNew(String, String, &'static str),
    /// The version in the record, of the binary with this name, is older than the installed one, which is upgraded.
    #[error("{HELD_BACK}{}", older(.0, .1, .2))]
    HeldBack(String, String, String),
    /// The request restricts the version, but the record has none.
    #[error("the version is unknown, but {0} is required")]
    NoVersion(String),
    /// The version in the record is not the one in the lock file, for the binary with this name.
    #[error("version {0:?} is not the pinned {1:?}{next}", next = to_pin(.2))]
    OtherVersion(String, String, String),
    /// The digest with this key is not the one in the lock file, for the binary with this name.
    #[error("{0} {1} is not the pinned {2}{next}", next = to_pin(.3))]
    OtherFile(&'static str, String, String, String),
    /// The digest in the record is not that of the file.
    #[error("sha256 {0} in the record is not the file's {1}")]
    WrongDigest(String, String),
}

/// Returns that a version is older than the installed one of the binary with this name, and how to install it all the same.
pub(crate) fn older(version: &str, installed: &str, name: &str) -> String {
    let spec = shell::quote_text(&format!("{name}@{version}"));
    format!("version {version} is older than the installed {installed}; `rigup upgrade {spec}` installs it")
}

/// Returns the next step for a binary that differs from its pin.
fn to_pin(name: &str) -> String {
    let name = shell::quote_text(name);
    format!("; if you trust it, run `rigup install --force {name} && rigup lock {name}`")
}

impl VerifyError {
    /// Returns the outcome of an attempt with such a record.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::NotProbed(..) => Outcome::Failed,
            _ => Outcome::Rejected,
        }
    }
}

/// The key of a record whose program did not exit in time.
pub(crate) const TIMED_OUT: &str = "timed_out";

/// The problem of a file that has changed since the provider or rigup inspected it.
const CHANGED: &str = "changed while it was verified; try again when no other process writes to it";

/// The values that a request expects in a Binary record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// The name in the request.
    pub name: &'a str,
    /// The versions that the request accepts.
    pub versions: VersionRange<'a>,
    /// The provider that printed the record.
    pub provider: &'a ProviderName,
    /// The path of the binary's link.
    pub link: &'a Path,
    /// The folder in which a provider may install a file that is no program, or `None` if every file must be a program.
    pub lib_dir: Option<&'a Path>,
    /// Runs the program, unless `rigup hook binary` did so before it printed the record. Without one, the program is not
    /// run.
    pub prober: Option<&'a Prober<'a>>,
    /// The file that the request names.
    pub abspath: Option<&'a Path>,
    /// The version that the request states for a program that cannot report its own. Such a program may fail.
    pub version: Option<&'a str>,
    /// The arguments that make the program print its version; empty for the usual ones.
    pub version_args: &'a [String],
    /// The pin that the binary must match, and the LIB_DIR that its digest does not depend on.
    pub pin: Option<(&'a Pin, &'a Path)>,
    /// Whether the provider installs the newest release unless exactly one version is requested.
    pub needs_exact_version: bool,
    /// The installed version, which no older one may replace; empty if any may.
    pub not_below: &'a str,
    /// Whether a built-in hook printed the record, so that `rigup hook binary` computed its digest.
    pub is_measured: bool,
}

impl<'a> Expected<'a> {
    /// Returns the expectations for a record of this name from this provider, at any path.
    pub(crate) fn new(
        name: &'a str,
        versions: VersionRange<'a>,
        provider: &'a ProviderName,
        link: &'a Path,
    ) -> Self {
        Self {
            name,
            versions,
            provider,
            link,
            lib_dir: None,
            prober: None,
            abspath: None,
            version: None,
            version_args: &[],
            pin: None,
            needs_exact_version: false,
            not_below: "",
            is_measured: false,
        }
    }
}

/// Verifies the fields of a Binary record. If the record has a fingerprint, as `rigup hook binary` prints it, the file
/// must match it.
pub(crate) fn verify(
    mut expected: Expected<'_>,
    fields: &Map<String, Value>,
) -> Result<Installed, VerifyError> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().trim();
    // The requirement may state only the beginning of a version.
    let is_longer =
        |stated: &str| stated != text("version") && VersionRange::exactly(stated).has_longer(text("version"));
    expected.version.take_if(|stated| is_longer(stated));
    let name = text("name");
    if name != expected.name {
        return Err(VerifyError::WrongName { found: name.to_owned(), requested: expected.name.to_owned() });
    }
    if text("abspath").is_empty() {
        return Err(VerifyError::NoPath);
    }
    let abspath = PathBuf::from(text("abspath"));
    if let Some(requested) = expected.abspath.filter(|path| *path != abspath) {
        return Err(VerifyError::WrongFile(abspath, expected.provider.clone(), requested.to_owned()));
    }
    if Path::new(name).is_absolute() && abspath != Path::new(name) {
        return Err(VerifyError::NotNamedFile(abspath));
    }
    let invalid = ["version", "package_version"].into_iter().find(|key| !is_valid_version(text(key)));
    if let Some(key) = invalid {
        return Err(VerifyError::InvalidVersion(key));
    }
    let is_module = check_file(&abspath, &expected)?;
    let stated_fingerprint = Some(text("fingerprint")).filter(|text| !text.is_empty());
    let prober = expected.prober.filter(|_| stated_fingerprint.is_none() && !is_module);
    let mut version = expected.version.unwrap_or(text("version")).to_owned();
    if is_module && version.is_empty() {
        return Err(VerifyError::NotExecutable(abspath, ExecutableError::NoProgram));
    }
    let package_version = text("package_version");
    if prober.is_none() || !version.is_empty() {
        check_version(&version, package_version, &expected)?;
    }
    let unreadable = |error: io::Error| VerifyError::Unreadable(abspath.clone(), error.to_string());
    let found = probe::fingerprint(&abspath).ok_or_else(|| unreadable(io::ErrorKind::NotFound.into()))?;
    let stated = Some(text("sha256")).filter(|text| is_sha256(text));
    // Later commands compare the stored digest with `rigup.lock`, so rigup uses the digest in a record only if a
    // built-in hook printed it.
    let is_measured = expected.is_measured && expected.pin.is_none() && stated_fingerprint.is_some();
    let sha256 = match stated.filter(|_| is_measured) {
        Some(measured) => measured.to_owned(),
        None => digest::sha256(&abspath).map_err(unreadable)?,
    };
    let states_file = is_url(text("url")) && is_sha256(text("url_sha256"));
    let (url, url_sha256) = if states_file { (text("url"), text("url_sha256")) } else { ("", "") };
    let pinned = expected.pin.map_or(Ok(()), |(pin, lib_dir)| {
        check_digest(&abspath, &sha256, (&pin.name, &pin.sha256), lib_dir)?;
        check_url_digest(url_sha256, (&pin.name, &pin.url_sha256))
    });
    // If the file changed since its fingerprint was taken, its digests say nothing.
    let (earlier, digest) = (stated_fingerprint.unwrap_or(&found), stated.unwrap_or(&sha256));
    let Some(fingerprint) = probe::fingerprint_if_unchanged(&abspath, earlier, digest) else {
        return Err(VerifyError::UnusableFile(abspath, CHANGED));
    };
    if let Some(found) = stated.filter(|stated| *stated != sha256) {
        return Err(VerifyError::WrongDigest(found.to_owned(), sha256));
    }
    pinned?;
    let is_stated = |key: &str| fields.get(key).and_then(Value::as_bool) == Some(true);
    let mut needs_wrapper = is_stated("needs_wrapper") || probe::needs_wrapper_always(&abspath);
    let mut is_timed_out = is_stated(TIMED_OUT);
    // Running the program comes last, because it takes the most time.
    if let Some(prober) = prober {
        let version_args = expected.version_args;
        let program = Program { link_name: name::link_name(name), file: &abspath, version_args };
        let problem = |error: ProbeError| match error {
            ProbeError::Io(error) => VerifyError::NotProbed(abspath.clone(), error.to_string()),
            error => VerifyError::NotRunning(abspath.clone(), error.to_string()),
        };
        if expected.version.is_some() {
            needs_wrapper |= prober.needs_wrapper(program, &version).map_err(problem)?;
        } else {
            let known = Some(version.as_str()).filter(|version| !version.is_empty());
            let found = prober.probe(program, known).map_err(problem)?;
            version = found.version.unwrap_or_default();
            needs_wrapper = found.needs_wrapper;
            is_timed_out = found.is_timed_out;
            check_version(&version, package_version, &expected)?;
        }
    }
    let request_digest = if is_timed_out { request_digest::UNFINISHED } else { "" };
    Ok(Installed {
        binprovider: expected.provider.clone(),
        abspath,
        version,
        package_version: package_version.to_owned(),
        url: url.to_owned(),
        url_sha256: url_sha256.to_owned(),
        sha256,
        fingerprint,
        request_digest: request_digest.to_owned(),
        needs_wrapper,
    })
}

/// Verifies that the file has not changed since it was verified, and renews its fingerprint.
pub(crate) fn verify_unchanged(installed: &mut Installed) -> Result<(), VerifyError> {
    let Installed { abspath, fingerprint, sha256, .. } = installed;
    let Some(found) = probe::fingerprint_if_unchanged(abspath, fingerprint, sha256) else {
        return Err(VerifyError::UnusableFile(abspath.clone(), CHANGED));
    };
    if found != *fingerprint {
        // A change of the mode also changes only the ctime.
        match executable::check(abspath, None) {
            Ok(()) | Err(ExecutableError::NoProgram) => *fingerprint = found,
            Err(problem) => return Err(VerifyError::NotExecutable(abspath.clone(), problem)),
        }
    }
    Ok(())
}

/// Checks the version of a program against those that a request accepts; see [`VersionRange::contains_program`].
/// `needs_exact_version` is [`ProviderConfig::needs_exact_version`].
///
/// [`ProviderConfig::needs_exact_version`]: crate::plugin::config::provider::ProviderConfig::needs_exact_version
pub(crate) fn check_versions(
    version: &str,
    package_version: &str,
    versions: VersionRange<'_>,
    needs_exact_version: bool,
) -> Result<(), VerifyError> {
    if versions.contains_program(version, package_version) {
        return Ok(());
    }
    let VersionRange { min, max } = versions;
    let is_old = !(VersionRange { min, max: "" }).contains_program(version, package_version);
    let found = version::comparable(if is_old { min } else { max }, version, package_version);
    let next_step = if needs_exact_version && versions.exact().is_none() {
        "; the provider cannot choose an older release by itself, so request one as NAME@VERSION"
    } else {
        ""
    };
    Err(match found {
        "" => VerifyError::NoVersion(versions.in_words()),
        found if is_old => VerifyError::TooOld(found.to_owned(), min.to_owned()),
        found => VerifyError::TooNew(found.to_owned(), max.to_owned(), next_step),
    })
}

/// Checks that a version, unless it is unknown, is not older than the installed one of the binary with this name.
pub(crate) fn check_not_older(version: &str, not_below: &str, name: &str) -> Result<(), VerifyError> {
    if version.is_empty() || (VersionRange { min: not_below, max: "" }).contains(version) {
        return Ok(());
    }
    Err(VerifyError::HeldBack(version.to_owned(), not_below.to_owned(), name.to_owned()))
}

/// Checks the digest of a file against the pinned name and digest. The file is read again only if `sha256`, the digest of
/// its bytes, differs, as it does if the file contains the path of LIB_DIR.
pub(crate) fn check_digest(
    file: &Path,
    sha256: &str,
    (name, pinned): (&str, &str),
    lib_dir: &Path,
) -> Result<(), VerifyError> {
    if sha256 == pinned {
        return Ok(());
    }
    let found = relocatable::sha256(file, lib_dir)
        .map_err(|error| VerifyError::Unreadable(file.to_owned(), error.to_string()))?;
    if found == pinned {
        Ok(())
    } else {
        Err(VerifyError::OtherFile("sha256", found, pinned.to_owned(), name.to_owned()))
    }
}

/// Checks the digest of the file that a binary was installed from, which is empty if it is unknown, against the pinned name
/// and digest, if one is pinned.
pub(crate) fn check_url_digest(found: &str, (name, pinned): (&str, &str)) -> Result<(), VerifyError> {
    if pinned.is_empty() || found == pinned {
        return Ok(());
    }
    let found = if found.is_empty() { "none" } else { found };
    Err(VerifyError::OtherFile("url_sha256", found.to_owned(), pinned.to_owned(), name.to_owned()))
}

fn check_version(found: &str, package_version: &str, expected: &Expected<'_>) -> Result<(), VerifyError> {
    // The version that the request states is compared instead of that of the package.
    let compared = if expected.version.is_some() { "" } else { package_version };
    check_versions(found, compared, expected.versions, expected.needs_exact_version)?;
    check_not_older(found, expected.not_below, expected.name)?;
    let Some((pin, _)) = expected.pin else { return Ok(()) };
    let Some((found, pinned)) = pin.other_version(found, package_version) else { return Ok(()) };
    Err(VerifyError::OtherVersion(found.to_owned(), pinned.to_owned(), pin.name.clone()))
}

/// Checks that a file may be the binary. Returns whether it is a module, not a program: the request names it, or it is in
/// LIB_DIR.
fn check_file(path: &Path, expected: &Expected<'_>) -> Result<bool, VerifyError> {
    let file_error = |problem| VerifyError::UnusableFile(path.to_owned(), problem);
    if !path.is_absolute() {
        return Err(file_error("is not absolute"));
    }
    let lib_bin_dir = parent(expected.link);
    if is_same_place(path, expected.link) || wrapper::leads_through(path, lib_bin_dir) {
        return Err(file_error("is a link that rigup creates; name the file that it leads to"));
    }
    let checked = match expected.prober {
        Some(prober) => executable::check(path, Some(&|| prober.search_path().to_owned())),
        None => executable::check(path, None),
    };
    let may_be_module =
        expected.lib_dir.is_some_and(|lib_dir| expected.abspath.is_some() || path.starts_with(lib_dir));
    match checked {
        Ok(()) => Ok(false),
        Err(ExecutableError::NoProgram) if may_be_module => Ok(true),
        Err(problem) => {
            let problem = match expected.lib_dir {
                Some(lib_dir) => problem.of_hook(lib_dir),
                None => problem,
            };
            Err(VerifyError::NotExecutable(path.to_owned(), problem))
        }
    }
}

/// Returns whether a text may be the address of a file in a record.
fn is_url(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_URL_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns whether two paths are the same, even if their folders have several paths.
fn is_same_place(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| Some((parent(path).canonicalize().ok()?, path.file_name()?.to_owned()));
    one == other || place(one).is_some_and(|found| Some(found) == place(other))
}

#[cfg(test)]
mod tests;
