//! The Binary record of a file: its path, version and digest.

use std::error::Error;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::both::both;
use crate::exhaustion;
use crate::fs::digest;
use crate::install::package;
use crate::install::package_script;
use crate::install::probe::{self, ProbeError, ProbeResult, Prober, Program};
use crate::install::verify::{self, VerifyError};
use crate::model::policy::UNENFORCED;
use crate::model::{BinaryName, Outcome, VersionRange};
use crate::plugin::config::provider::{PackageMetadata, ProviderConfig};
use crate::plugin::overrides::ProviderOverrides;
use crate::process::executable::{self, ExecutableError};
use crate::process::lock::LockError;
use crate::settings::Settings;
use crate::toolkit::request::HookRequest;

/// An error for a request that gets no Binary record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BinaryError {
    /// No program of this name on PATH.
    #[error("{0} is not on PATH")]
    NotOnPath(String),
    /// Packages that are installed but have no program of the requested name, with the message.
    #[error("{0}")]
    NoProgram(String),
    /// A path that a record, which is JSON, cannot hold.
    #[error("cannot record {path}: the path is not UTF-8; rename the file", path = .0.display())]
    NotUtf8(PathBuf),
    /// A file that the system cannot start.
    #[error("{path} {problem}", path = .0.display(), problem = .1)]
    Unusable(PathBuf, ExecutableError),
    /// A file or folder in the place of a built prefix that rigup did not make.
    #[error("{path} exists, and rigup did not make it; move it away", path = .0.display())]
    Foreign(PathBuf),
    /// A prefix that only another user can replace, with the id of that user.
    #[error("cannot replace {path}: it belongs to the user {1}; choose another LIB_DIR", path = .0.display())]
    OtherOwner(PathBuf, u32),
    /// A built prefix that cannot be put in place.
    #[error("cannot replace {path}: {error}", path = .0.display(), error = .1)]
    Replace(PathBuf, io::Error),
    /// A built prefix that cannot be made movable.
    #[error("cannot relocate {path}: {error}", path = .0.display(), error = .1)]
    Relocate(PathBuf, io::Error),
    /// The lock of a shared prefix was not taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A program that was run, and failed.
    #[error("{path} {problem}", path = .0.display(), problem = .1)]
    NotRunning(PathBuf, String),
    /// A program that the request does not accept.
    #[error(transparent)]
    NotAccepted(#[from] VerifyError),
    /// The threads that probe files cannot be started.
    #[error("cannot start a thread: {0}")]
    Threads(String),
    /// The file cannot be read, or no temporary file can be made.
    #[error("cannot probe {path}: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
}

impl BinaryError {
    /// Returns the outcome for the request. `or_decline` states whether a binary that does not exist is declined.
    pub(crate) fn outcome(&self, or_decline: bool) -> Outcome {
        match self {
            Self::NotOnPath(_) | Self::Unusable(_, ExecutableError::Missing) if or_decline => {
                Outcome::Declined
            }
            Self::Unusable(_, ExecutableError::Missing) => Outcome::Failed,
            Self::Unusable(..) | Self::NotRunning(..) | Self::NotAccepted(_) => Outcome::Rejected,
            _ => Outcome::Failed,
        }
    }
}

/// Starts the threads that probe files in parallel, unless they run: rayon panics if it cannot start them itself.
pub(crate) fn start_threads() -> Result<(), BinaryError> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let cause = |error: rayon::ThreadPoolBuildError| {
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        source.map_or_else(|| error.to_string(), exhaustion::explain)
    };
    let start = || rayon::ThreadPoolBuilder::new().build_global().map_err(cause);
    STARTED.get_or_init(start).clone().map_err(BinaryError::Threads)
}

/// Finds and probes the files of binaries.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    /// The provider whose hook this is.
    pub provider: &'a str,
    /// The metadata of the provider's package manager, which has the versions of its programs.
    pub metadata: Option<PackageMetadata>,
    /// The PATH and the folders.
    pub settings: &'a Settings,
    /// Runs the programs.
    pub prober: Prober<'a>,
}

/// The properties of a program file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramFacts {
    /// The file.
    pub file: PathBuf,
    /// The version; empty if the program reports none.
    pub version: String,
    /// The version of the package that owns the program; empty if no package manager installed it.
    package_version: String,
    sha256: String,
    /// The fingerprint of the file when it was probed.
    fingerprint: String,
    needs_wrapper: bool,
    /// Whether the program did not print its version in time.
    is_timed_out: bool,
}

impl ProgramFacts {
    /// States that the program, with the same content, is at another path.
    pub(crate) fn move_to(&mut self, file: PathBuf) {
        self.fingerprint = probe::fingerprint(&file).unwrap_or_default();
        self.file = file;
    }

    /// Checks whether the request accepts the program, and the address and the digest of the file that it was installed from,
    /// as rigup does when the hook has exited. Until then, the hook can keep an earlier version.
    pub(crate) fn check(
        &self,
        request: &HookRequest,
        download: Option<(&str, &str)>,
        config: &ProviderConfig,
        lib_dir: &Path,
    ) -> Result<(), BinaryError> {
        let (found, package_version, exact) = (&self.version, &self.package_version, &request.exact_version);
        let versions = request.versions();
        verify::check_versions(found, package_version, versions, config.needs_exact_version())?;
        verify::check_not_older(found, &request.not_below, request.name.as_str())?;
        // A pin and a listed version are those of the package.
        if package_version != exact && !VersionRange::exactly(exact).contains_program(found, package_version)
        {
            let found = if package_version.is_empty() { found } else { package_version };
            let name = request.name.to_string();
            return Err(VerifyError::OtherVersion(found.clone(), exact.clone(), name).into());
        }
        if !request.exact_sha256.is_empty() {
            let pinned = (request.name.as_str(), request.exact_sha256.as_str());
            verify::check_digest(&self.file, &self.sha256, pinned, lib_dir)?;
        }
        let pinned = (request.name.as_str(), request.exact_url_sha256.as_str());
        verify::check_url_digest(download.map_or("", |(_, sha256)| sha256), pinned)?;
        Ok(())
    }

    /// Returns the Binary record, and perhaps a warning. The provider could not enforce the rules in `unenforced`, and
    /// installed the program from the file with this address and digest.
    pub(crate) fn records(
        &self,
        name: &BinaryName,
        provider: &str,
        unenforced: &[String],
        download: Option<(&str, &str)>,
    ) -> Vec<Value> {
        let mut record = json!({
            "type": "Binary",
            "name": name.as_str(),
            "abspath": self.file.to_string_lossy(),
            "version": self.version,
            "package_version": self.package_version,
            "sha256": self.sha256,
            "fingerprint": self.fingerprint,
            "needs_wrapper": self.needs_wrapper,
            verify::TIMED_OUT: self.is_timed_out,
            UNENFORCED: unenforced,
            "binprovider": provider,
        });
        if let Some((url, sha256)) = download {
            record["url"] = url.into();
            record["url_sha256"] = sha256.into();
        }
        let warning = self.is_timed_out.then(|| {
            let message = format!("{name} printed no version in time; the next `rigup install` tries again");
            json!({"type": "Warning", "message": message})
        });
        warning.into_iter().chain([record]).collect()
    }
}

impl Search<'_> {
    /// Finds the file of a binary: `abspath` if it is given, the file at `name` if that is a path, otherwise the first
    /// program of this name on PATH, ignoring LIB_BIN_DIR.
    pub(crate) fn locate(&self, name: &BinaryName, abspath: Option<&Path>) -> Result<PathBuf, BinaryError> {
        let file = if let Some(file) = abspath.map(Path::to_owned).or_else(|| name.file()) {
            std::path::absolute(&file).map_err(|error| BinaryError::Io(file, error))?
        } else {
            let path = self.settings.environment.get("PATH").unwrap_or(OsStr::new(""));
            probe::find(name.as_str(), path, &self.settings.lib_bin_dir)
                .ok_or_else(|| BinaryError::NotOnPath(name.as_str().to_owned()))?
        };
        if file.to_str().is_some() { Ok(file) } else { Err(BinaryError::NotUtf8(file)) }
    }

    /// Probes a file. `package_version` is the version of its package if the hook knows it.
    pub(crate) fn facts(
        &self,
        name: &BinaryName,
        overrides: &ProviderOverrides,
        file: PathBuf,
        package_version: Option<&str>,
    ) -> Result<ProgramFacts, BinaryError> {
        let checked = executable::check(&file, Some(&|| self.prober.search_path().to_owned()));
        let is_module = checked == Err(ExecutableError::NoProgram);
        // The requirement may state only the beginning of a version.
        let is_longer = |stated: &&str| {
            package_version.is_some_and(|version| VersionRange::exactly(stated).has_longer(version))
        };
        let stated = overrides.version.as_deref().filter(|stated| !is_longer(stated));
        if let Err(problem) = checked
            && !is_module
        {
            return Err(BinaryError::Unusable(file, problem.of_hook(&self.settings.lib_dir)));
        }
        let fingerprint = probe::fingerprint(&file).unwrap_or_default();
        let owner = || package::owner(self.metadata?, &file, self.settings, self.prober.interrupt());
        let package = package_version
            .filter(|version| !version.is_empty())
            .map_or_else(owner, |version| Some(package::Package::new(version)));
        let of_package = package.as_ref().map(|package| package.version.as_str());
        if is_module && stated.is_none() && of_package.is_none() {
            return Err(BinaryError::Unusable(file, ExecutableError::NoProgram));
        }
        let version_args = &overrides.version_args;
        // With arguments of its own, the version of the program is meant, which can differ from that of the package.
        let known = of_package.filter(|_| version_args.is_empty());
        let is_complete =
            |metadata| package_script::is_complete(metadata, &file, self.settings, self.prober.interrupt());
        let of_metadata = if is_module {
            stated.or(of_package)
        } else if stated.is_none()
            && self.metadata.is_some_and(|metadata| known.is_some() && is_complete(metadata))
        {
            known
        } else {
            None
        };
        let probe = || {
            let program = Program { link_name: name.link_name(), file: &file, version_args };
            let Some(stated) = stated else { return self.prober.probe(program, known) };
            let needs_wrapper = self.prober.needs_wrapper(program, stated)?;
            Ok(ProbeResult { version: Some(stated.to_owned()), needs_wrapper, is_timed_out: false })
        };
        let (probed, sha256) = if let Some(version) = of_metadata {
            let version = Some(version.to_owned());
            (Ok(ProbeResult { version, needs_wrapper: false, is_timed_out: false }), digest::sha256(&file))
        } else {
            both(probe, || digest::sha256(&file))
        };
        let ProbeResult { version, needs_wrapper, is_timed_out } = probed.map_err(|error| match error {
            ProbeError::Io(error) => BinaryError::Io(file.clone(), error),
            error => BinaryError::NotRunning(file.clone(), error.to_string()),
        })?;
        let sha256 = sha256.map_err(|error| BinaryError::Io(file.clone(), error))?;
        let version = version.or(of_package.map(str::to_owned)).unwrap_or_default();
        let package_version = package.map(|package| package.package_version).unwrap_or_default();
        Ok(ProgramFacts { file, version, package_version, sha256, fingerprint, needs_wrapper, is_timed_out })
    }
}
