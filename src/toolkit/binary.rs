//! The Binary record of a file: its path, version and digest.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fs::digest;
use crate::install::probe::{self, Answer, ProbeError, Prober, Program};
use crate::install::verify;
use crate::install::wrapper::{self, LinkKind};
use crate::model::{BinaryName, Installed, Outcome};
use crate::plugin::config::provider::PackageMetadata;
use crate::plugin::overrides::ProviderOverrides;
use crate::process::executable::{self, ExecutableError};
use crate::process::spawn;
use crate::settings::Settings;
use crate::toolkit::package;

/// An error for a request that gets no Binary record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BinaryError {
    /// No program of this name on PATH.
    #[error("{0} is not on PATH")]
    NotOnPath(String),
    /// A file that does not exist or cannot be run.
    #[error("{path} is not an executable file", path = .0.display())]
    NotExecutable(PathBuf),
    /// Packages that are installed but have no program of the requested name, with the message.
    #[error("{0}")]
    NoProgram(String),
    /// A path that a record, which is JSON, cannot hold.
    #[error("cannot record {path}: the path is not UTF-8; rename the file", path = .0.display())]
    NotUtf8(PathBuf),
    /// A file on a file system that forbids execution.
    #[error("{path} is on a file system that is mounted noexec; choose another LIB_DIR, or mount the file system with exec", path = .0.display())]
    Noexec(PathBuf),
    /// A file that the system cannot start.
    #[error("{path} {problem}", path = .0.display(), problem = .1)]
    Unusable(PathBuf, ExecutableError),
    /// A program that was run, and failed.
    #[error("{path} {problem}", path = .0.display(), problem = .1)]
    NotRunning(PathBuf, String),
    /// The file cannot be read, or no temporary file can be made.
    #[error("cannot probe {path}: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
}

impl BinaryError {
    /// Returns the outcome for the request. `or_decline` states whether a binary that does not exist is declined.
    pub(crate) fn outcome(&self, or_decline: bool) -> Outcome {
        match self {
            Self::Unusable(..) | Self::NotRunning(..) => Outcome::Rejected,
            Self::NotOnPath(_) | Self::NotExecutable(_) if or_decline => Outcome::Declined,
            _ => Outcome::Failed,
        }
    }
}

/// Finds and probes the files of binaries.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    /// The provider whose hook this is.
    pub provider: &'a str,
    /// The metadata of the provider's package manager, which has the versions of its programs.
    pub metadata: Option<PackageMetadata>,
    /// The installed binaries in the store.
    pub known: &'a [Installed],
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
    link_kind: LinkKind,
    /// Whether the program did not print its version in time.
    is_timed_out: bool,
}

impl ProgramFacts {
    /// Returns the Binary record, and perhaps a warning.
    pub(crate) fn records(&self, name: &BinaryName, provider: &str) -> Vec<Value> {
        let mut record = json!({
            "type": "Binary",
            "name": name.as_str(),
            "abspath": self.file.to_string_lossy(),
            "version": self.version,
            "package_version": self.package_version,
            "sha256": self.sha256,
            "fingerprint": self.fingerprint,
            "binprovider": provider,
        });
        if self.link_kind == LinkKind::Wrapper {
            record[verify::NEEDS_WRAPPER] = true.into();
        }
        let warning = self.is_timed_out.then(|| {
            let message = format!("{name} printed no version in time, so its version is unknown");
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
            executable(file)?
        } else {
            let path = self.settings.environment.get("PATH").unwrap_or(OsStr::new(""));
            probe::find(name.as_str(), path, &self.settings.lib_bin_dir)
                .ok_or_else(|| BinaryError::NotOnPath(name.as_str().to_owned()))?
        };
        if file.to_str().is_some() { Ok(file) } else { Err(BinaryError::NotUtf8(file)) }
    }

    /// Probes a file. The unchanged file of a binary in the store is not run again, unless its version is unknown: the
    /// program may have been too slow.
    pub(crate) fn facts(
        &self,
        name: &BinaryName,
        overrides: &ProviderOverrides,
        file: PathBuf,
    ) -> Result<ProgramFacts, BinaryError> {
        if let Err(problem) = executable::check(&file, Some(&|| self.prober.search_path().to_owned())) {
            return Err(BinaryError::Unusable(file, problem));
        }
        let fingerprint = probe::fingerprint(&file).unwrap_or_default();
        let link = self.settings.lib_bin_dir.join(name.link_name());
        let kind_of_link = wrapper::target(&link).filter(|(target, _)| *target == file).map(|(_, kind)| kind);
        let is_same = |known: &&Installed| {
            known.abspath == file && known.fingerprint == fingerprint && !known.version.is_empty()
        };
        let is_same = |known: &&Installed| is_same(known) && known.binprovider == self.provider;
        let known = self.known.iter().find(is_same).zip(kind_of_link);
        let package = match (known, self.metadata) {
            (None, Some(metadata)) => package::owner(metadata, &file, self.settings, self.prober.interrupt()),
            _ => None,
        };
        let package_version = known.map(|(known, _)| known.package_version.clone());
        let package_version =
            package_version.or(package.as_ref().map(|package| package.package_version.clone()));
        let sha256 = || digest::sha256(&file).map_err(|error| BinaryError::Io(file.clone(), error));
        let (answer, sha256) = match (known, &overrides.version) {
            (Some((known, link_kind)), stated) => {
                let version = Some(stated.as_ref().unwrap_or(&known.version).clone());
                (Answer { version, link_kind, is_timed_out: false }, known.sha256.clone())
            }
            (None, Some(stated)) => {
                let link_kind = probe::link_kind(&file);
                (Answer { version: Some(stated.clone()), link_kind, is_timed_out: false }, sha256()?)
            }
            (None, None) => {
                let version_args = &overrides.version_args;
                let program = Program { link_name: name.link_name(), file: &file, version_args };
                let known_version = package.as_ref().map(|package| package.version.as_str());
                let (answer, sha256) = rayon::join(|| self.prober.ask(program, known_version), sha256);
                let answer = answer.map_err(|error| match error {
                    ProbeError::Io(error) => BinaryError::Io(file.clone(), error),
                    error => BinaryError::NotRunning(file.clone(), error.to_string()),
                });
                (answer?, sha256?)
            }
        };
        let Answer { version, link_kind, is_timed_out } = answer;
        let version = version.unwrap_or_default();
        let package_version = package_version.unwrap_or_default();
        Ok(ProgramFacts { file, version, package_version, sha256, fingerprint, link_kind, is_timed_out })
    }
}

fn executable(file: PathBuf) -> Result<PathBuf, BinaryError> {
    let file = std::path::absolute(&file).map_err(|error| BinaryError::Io(file, error))?;
    if executable::is_program(&file) {
        Ok(file)
    } else if file.is_file() && spawn::is_mounted_noexec(&file) {
        Err(BinaryError::Noexec(file))
    } else {
        Err(BinaryError::NotExecutable(file))
    }
}
