//! The Binary record of a file: its path, version and digest.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fs::digest;
use crate::install::probe;
use crate::model::{BinaryName, Installed};
use crate::process::signals::Interrupt;
use crate::process::spawn;
use crate::settings::Settings;

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
    /// The file cannot be read, or no temporary file can be made.
    #[error("cannot probe {path}: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
}

impl BinaryError {
    /// Whether the binary does not exist, so that the request can be declined.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::NotOnPath(_) | Self::NotExecutable(_))
    }
}

/// Finds the file of a binary: `abspath` if it is given, the file at `name` if that is a path, otherwise the first
/// program of this name on PATH, ignoring LIB_BIN_DIR.
pub(crate) fn locate(
    name: &BinaryName,
    abspath: Option<&Path>,
    settings: &Settings,
) -> Result<PathBuf, BinaryError> {
    let file = if let Some(file) = abspath.map(Path::to_owned).or_else(|| name.file()) {
        executable(file)?
    } else {
        let path = settings.environment.get("PATH").unwrap_or(OsStr::new(""));
        probe::find(name.as_str(), path, &settings.lib_bin_dir)
            .ok_or_else(|| BinaryError::NotOnPath(name.as_str().to_owned()))?
    };
    if file.to_str().is_some() { Ok(file) } else { Err(BinaryError::NotUtf8(file)) }
}

/// The properties of a program file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramFacts {
    /// The version; empty if the program reports none.
    pub version: String,
    /// The SHA-256 digest in hex.
    pub sha256: String,
    /// The fingerprint of the file when it was probed.
    pub fingerprint: String,
}

/// Probes a file. `version` is the version of a program that does not report one. An unchanged file of one of the
/// `known` binaries in the store is not probed again.
pub(crate) fn facts(
    file: &Path,
    version: Option<&str>,
    known: &[Installed],
    settings: &Settings,
    interrupt: &Interrupt,
) -> Result<ProgramFacts, BinaryError> {
    let fingerprint = probe::fingerprint(file);
    let is_same =
        |known: &&Installed| known.abspath == file && Some(&known.fingerprint) == fingerprint.as_ref();
    let (found, sha256) = if let Some(known) = known.iter().find(is_same) {
        (known.version.clone(), known.sha256.clone())
    } else {
        let sha256 = || digest::sha256(file).map_err(|error| BinaryError::Io(file.to_owned(), error));
        if version.is_some() {
            (String::new(), sha256()?)
        } else {
            let (version, sha256) = rayon::join(|| probe_version(file, settings, interrupt), sha256);
            (version?, sha256?)
        }
    };
    let version = version.map_or(found, str::to_owned);
    Ok(ProgramFacts { version, sha256, fingerprint: fingerprint.unwrap_or_default() })
}

/// Returns the Binary record.
pub(crate) fn record(name: &BinaryName, provider: &str, file: &Path, facts: &ProgramFacts) -> Value {
    json!({
        "type": "Binary",
        "name": name.as_str(),
        "abspath": file.to_string_lossy(),
        "version": facts.version,
        "sha256": facts.sha256,
        "fingerprint": facts.fingerprint,
        "binprovider": provider,
    })
}

fn executable(file: PathBuf) -> Result<PathBuf, BinaryError> {
    let file = std::path::absolute(&file).map_err(|error| BinaryError::Io(file, error))?;
    let is_file = file.is_file();
    if is_file && nix::unistd::access(&file, nix::unistd::AccessFlags::X_OK).is_ok() {
        Ok(file)
    } else if is_file && spawn::is_mounted_noexec(&file) {
        Err(BinaryError::Noexec(file))
    } else {
        Err(BinaryError::NotExecutable(file))
    }
}

/// Probes the version of a program, which is empty if the program reports none.
pub(crate) fn probe_version(
    file: &Path,
    settings: &Settings,
    interrupt: &Interrupt,
) -> Result<String, BinaryError> {
    let env: Vec<(OsString, OsString)> =
        settings.environment.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let version = probe::version(file, &env, interrupt);
    version.map(Option::unwrap_or_default).map_err(|error| BinaryError::Io(file.to_owned(), error))
}
