//! The Binary record of a file: found, asked for its version, digested.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fs::digest;
use crate::install::probe;
use crate::model::binary::Installed;
use crate::model::name::BinaryName;
use crate::process::signals::Interrupt;
use crate::process::spawn;
use crate::settings::Settings;

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// Nothing of this name on PATH.
    #[error("{0} is not on PATH")]
    NotOnPath(String),
    /// The file that is meant is not there, or cannot be run.
    #[error("{path} is not an executable file", path = .0.display())]
    NotExecutable(PathBuf),
    /// Records are JSON, and could name only another file.
    #[error("the path {path} is not UTF-8, and no record can hold it; rename it", path = .0.display())]
    NotUtf8(PathBuf),
    /// Nothing there may be executed.
    #[error("{path} lies on a file system that is mounted noexec; choose another LIB_DIR, or mount that with exec", path = .0.display())]
    Noexec(PathBuf),
    /// The file cannot be read, or no temporary file can be made.
    #[error("{path} cannot be probed: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
}

/// The file of a binary: `abspath` where that is given, the file that `name` means where it is a path, else the first
/// of this name on PATH, LIB_BIN_DIR left out.
pub fn locate(
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

/// What a file tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFacts {
    /// Its version; empty where it tells none.
    pub version: String,
    /// Its digest in hex.
    pub sha256: String,
    /// What it was when it was asked.
    pub fingerprint: String,
}

/// Asks a file. `version` is its version where it cannot tell. `known` are binaries that the store has: a file that is
/// still the same as one of them is not asked again.
pub fn facts(
    file: &Path,
    version: Option<&str>,
    known: &[Installed],
    settings: &Settings,
    interrupt: &Interrupt,
) -> Result<ProgramFacts, BinaryError> {
    let fingerprint = probe::fingerprint(file);
    let is_same = |it: &&Installed| it.abspath == file && Some(&it.fingerprint) == fingerprint.as_ref();
    let known = known.iter().find(is_same);
    let unreadable = |error| BinaryError::Io(file.to_owned(), error);
    let (version, sha256) = match (version, known) {
        (None, Some(known)) => (known.version.clone(), known.sha256.clone()),
        (Some(version), Some(known)) => (version.to_owned(), known.sha256.clone()),
        (Some(version), None) => (version.to_owned(), digest::sha256(file).map_err(unreadable)?),
        (None, None) => probe_file(file, settings, interrupt).map_err(unreadable)?,
    };
    Ok(ProgramFacts { version, sha256, fingerprint: fingerprint.unwrap_or_default() })
}

/// The Binary record.
pub fn record(name: &BinaryName, provider: &str, file: &Path, facts: &ProgramFacts) -> Value {
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

/// Version and digest, each on a core of its own.
fn probe_file(file: &Path, settings: &Settings, interrupt: &Interrupt) -> io::Result<(String, String)> {
    let env: Vec<(OsString, OsString)> =
        settings.environment.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (version, sha256) = rayon::join(|| probe::version(file, &env, interrupt), || digest::sha256(file));
    Ok((version?.unwrap_or_default(), sha256?))
}
