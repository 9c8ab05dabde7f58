//! Whether what a hook says of a binary is true.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use serde_json::{Map, Value};

use crate::fs::digest::is_sha256;
use crate::fs::{digest, link};
use crate::install::{probe, relocatable};
use crate::lockfile::Locked;
use crate::model::binary::Installed;
use crate::model::plugin_name::ProviderName;
use crate::model::version::Version;
use crate::process::spawn;

/// What a record claims that is not so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Another binary's record.
    #[error("its record is of `{found}`, not of `{wanted}`")]
    WrongName {
        /// The name in the record.
        found: String,
        /// The name that was asked for.
        wanted: String,
    },
    /// No abspath, or one that is no text.
    #[error("its record has no abspath")]
    NoPath,
    /// Another file than the one that was asked for.
    #[error("its abspath is {found}, and overrides.{provider}.abspath is {wanted}", found = .found.display(), wanted = .wanted.display())]
    WrongFile {
        /// The file in the record.
        found: PathBuf,
        /// The file that was asked for.
        wanted: PathBuf,
        /// The provider for which it was asked for.
        provider: String,
    },
    /// Not an absolute path.
    #[error("its abspath is relative: {0}")]
    Relative(PathBuf),
    /// Nothing there, or it may not be looked at.
    #[error("its abspath {path} is not there: {reason}", path = .0.display(), reason = .1)]
    Missing(PathBuf, String),
    /// A folder, a socket, a device.
    #[error("its abspath is not a file: {0}")]
    NotAFile(PathBuf),
    /// No exec permission for this user.
    #[error("its abspath is not executable: {0}")]
    NotExecutable(PathBuf),
    /// Nothing there may be executed.
    #[error(
        "its abspath {0} lies on a file system that is mounted noexec; choose another LIB_DIR, or mount that with exec"
    )]
    Noexec(PathBuf),
    /// It would be linked to itself.
    #[error("its abspath is the link that rigup makes: {0}")]
    ItsOwnLink(PathBuf),
    /// Below the lowest version that will do.
    #[error("its version {found} is older than {wanted}")]
    TooOld {
        /// The version in the record.
        found: String,
        /// The lowest version that will do.
        wanted: String,
    },
    /// Nobody knows whether it is new enough.
    #[error("it tells no version, and {0} or newer is asked for")]
    NoVersion(String),
    /// Another version than the locked one.
    #[error("its version is {found:?}, and the locked one is {locked:?}")]
    OtherVersion {
        /// The version in the record.
        found: String,
        /// The version in the lock file.
        locked: String,
    },
    /// Another file than the locked one.
    #[error("its sha256 is {found}, and the locked one is {locked}")]
    OtherFile {
        /// The file's.
        found: String,
        /// That in the lock file.
        locked: String,
    },
    /// Another digest than the file has.
    #[error("its sha256 is {found}, and the file's is {actual}")]
    WrongDigest {
        /// The digest in the record.
        found: String,
        /// The file's.
        actual: String,
    },
    /// Another file, or another content, than a moment ago.
    #[error("its abspath {0} changed while it was checked; let nothing else write there, and try again")]
    Changed(PathBuf),
    /// The file cannot be read.
    #[error("its abspath {path} cannot be read: {reason}", path = .0.display(), reason = .1)]
    Unreadable(PathBuf, String),
}

/// What a Binary record has to be true to.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The name that was asked for.
    pub name: &'a str,
    /// The lowest version that will do; empty for any.
    pub min_version: &'a str,
    /// The provider that was asked.
    pub provider: &'a ProviderName,
    /// Where the link will be.
    pub link: &'a Path,
    /// The file that it has to be, where one was asked for.
    pub abspath: Option<&'a Path>,
    /// Its version, where that was said beforehand: it cannot tell.
    pub version: Option<&'a str>,
    /// What it has to be exactly, and the LIB_DIR that its digest does not depend on.
    pub locked: Option<(&'a Locked, &'a Path)>,
    /// Whether the hook is a built-in one: what it prints, `rigup hook binary` measured.
    pub is_measured: bool,
}

/// Checks the fields of a Binary record. A fingerprint, as `rigup hook binary` prints it, says of which file the rest is.
pub fn verify(claim: Claim<'_>, fields: &Map<String, Value>) -> Result<Installed, RecordError> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().trim();
    let name = text("name");
    if name != claim.name {
        return Err(RecordError::WrongName { found: name.to_owned(), wanted: claim.name.to_owned() });
    }
    if text("abspath").is_empty() {
        return Err(RecordError::NoPath);
    }
    let abspath = PathBuf::from(text("abspath"));
    if let Some(wanted) = claim.abspath.filter(|it| *it != abspath) {
        let (wanted, provider) = (wanted.to_owned(), claim.provider.to_string());
        return Err(RecordError::WrongFile { found: abspath, wanted, provider });
    }
    check_file(&abspath, claim.link)?;
    let version = claim.version.unwrap_or(text("version"));
    if !claim.min_version.is_empty() {
        if version.is_empty() {
            return Err(RecordError::NoVersion(claim.min_version.to_owned()));
        }
        if Version::parse(version) < Version::parse(claim.min_version) {
            return Err(RecordError::TooOld {
                found: version.to_owned(),
                wanted: claim.min_version.to_owned(),
            });
        }
    }
    let is_other_version = |(locked, _): &(&Locked, &Path)| locked.version != version;
    if let Some((locked, _)) = claim.locked.filter(is_other_version) {
        return Err(RecordError::OtherVersion { found: version.to_owned(), locked: locked.version.clone() });
    }
    // The fingerprint is taken first, and again at the end: it is that of the very bytes that were digested.
    let fingerprint = probe::fingerprint(&abspath).ok_or_else(|| {
        RecordError::Missing(abspath.clone(), "it vanished while it was checked".to_owned())
    })?;
    let is_other = |seen: &str| !seen.is_empty() && seen != fingerprint;
    if is_other(text("fingerprint")) {
        return Err(RecordError::Changed(abspath));
    }
    let unreadable = |error: io::Error| RecordError::Unreadable(abspath.clone(), error.to_string());
    let stated = Some(text("sha256")).filter(|it| is_sha256(it));
    // What is stored was measured by rigup, whatever other hooks say: later runs hold it against `rigup.lock`. What is held
    // against it now is measured here.
    let is_measured = claim.is_measured && claim.locked.is_none() && !text("fingerprint").is_empty();
    let sha256 = match stated.filter(|_| is_measured) {
        Some(measured) => measured.to_owned(),
        None => digest::sha256(&abspath).map_err(unreadable)?,
    };
    if let Some(found) = stated.filter(|it| *it != sha256) {
        return Err(RecordError::WrongDigest { found: found.to_owned(), actual: sha256 });
    }
    if let Some((locked, lib_dir)) = claim.locked.filter(|(locked, _)| locked.sha256 != sha256) {
        let found = relocatable::sha256(&abspath, lib_dir).map_err(unreadable)?;
        if found != locked.sha256 {
            return Err(RecordError::OtherFile { found, locked: locked.sha256.clone() });
        }
    }
    if probe::fingerprint(&abspath).is_none_or(|it| is_other(&it)) {
        return Err(RecordError::Changed(abspath));
    }
    Ok(Installed {
        binprovider: claim.provider.clone(),
        abspath,
        version: version.to_owned(),
        sha256,
        fingerprint,
    })
}

/// Whether the file is still the one that was verified.
pub fn check_again(installed: &Installed) -> Result<(), RecordError> {
    let is_same = probe::fingerprint(&installed.abspath).as_ref() == Some(&installed.fingerprint);
    if is_same { Ok(()) } else { Err(RecordError::Changed(installed.abspath.clone())) }
}

fn check_file(path: &Path, link: &Path) -> Result<(), RecordError> {
    if !path.is_absolute() {
        return Err(RecordError::Relative(path.to_owned()));
    }
    if path == link || leads_through(path, link) {
        return Err(RecordError::ItsOwnLink(path.to_owned()));
    }
    let metadata =
        path.metadata().map_err(|error| RecordError::Missing(path.to_owned(), error.to_string()))?;
    if !metadata.is_file() {
        return Err(RecordError::NotAFile(path.to_owned()));
    }
    // The superuser passes access(2) only where somebody has the exec bit, which is what exec asks for too.
    access(path, AccessFlags::X_OK).map_err(|_| {
        if spawn::is_mounted_noexec(path) {
            RecordError::Noexec(path.to_owned())
        } else {
            RecordError::NotExecutable(path.to_owned())
        }
    })
}

/// Whether a path is this link, under any name, or leads to its file through it.
fn leads_through(path: &Path, link: &Path) -> bool {
    let place = |path: &Path| Some((path.parent()?.canonicalize().ok()?, path.file_name()?.to_owned()));
    let Some(link) = place(link) else { return false };
    link::steps(path).any(|step| place(&step).is_some_and(|step| step == link))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::json;

    use super::*;

    static ENV: LazyLock<ProviderName> = LazyLock::new(|| ProviderName::from_static("env"));

    fn claim(min_version: &str) -> Claim<'_> {
        Claim {
            name: "sh",
            min_version,
            provider: &ENV,
            link: Path::new("/lib/bin/sh"),
            abspath: None,
            version: None,
            locked: None,
            is_measured: false,
        }
    }

    fn check(min_version: &str, record: &Value) -> Result<Installed, String> {
        verify(claim(min_version), record.as_object().unwrap()).map_err(|lie| lie.to_string())
    }

    #[test]
    fn a_true_record_is_taken_with_its_fingerprint_and_digest() {
        let found = check("1", &json!({"name": "sh", "abspath": "/bin/sh", "version": "1.0"})).unwrap();
        assert_eq!(found.abspath, Path::new("/bin/sh"));
        assert_eq!(found.sha256, digest::sha256(Path::new("/bin/sh")).unwrap());
        assert_eq!(Some(found.fingerprint), probe::fingerprint(Path::new("/bin/sh")));
    }

    #[test]
    fn the_file_and_the_version_that_were_said_beforehand_count() {
        let (abspath, version) = (Some(Path::new("/bin/sh")), Some("2.0"));
        let claim = Claim { abspath, version, ..claim("1.5") };
        let record = json!({"name": "sh", "abspath": "/bin/sh", "version": "1.0"});
        assert_eq!(verify(claim, record.as_object().unwrap()).unwrap().version, "2.0");
        let other = json!({"name": "sh", "abspath": "/bin/ls"});
        let lie = verify(claim, other.as_object().unwrap()).unwrap_err().to_string();
        assert_eq!(lie, "its abspath is /bin/ls, and overrides.env.abspath is /bin/sh");
    }

    #[test]
    fn a_digest_that_is_stated_has_to_be_the_files_whatever_is_stated_with_it() {
        let (digest, fingerprint) =
            (digest::sha256(Path::new("/bin/sh")).unwrap(), probe::fingerprint(Path::new("/bin/sh")));
        let stated = |sha256: &str| json!({"name": "sh", "abspath": "/bin/sh", "sha256": sha256});
        assert_eq!(check("", &stated(&digest)).unwrap().sha256, digest);
        let zeros = "0".repeat(64);
        let lie = format!("its sha256 is {zeros}, and the file's is {digest}");
        assert_eq!(check("", &stated(&zeros)), Err(lie.clone()));
        let mut forged = stated(&zeros);
        forged["fingerprint"] = json!(fingerprint);
        assert_eq!(check("", &forged), Err(lie));
        let by_built_in = Claim { is_measured: true, ..claim("") };
        let found = verify(by_built_in, forged.as_object().unwrap()).unwrap();
        assert_eq!(found.sha256, zeros, "nothing is measured twice");
        let zeroed = Locked {
            platform: String::new(),
            name: "sh".to_owned(),
            binprovider: ENV.clone(),
            version: String::new(),
            sha256: zeros,
            hook_sha256: String::new(),
        };
        let locked = Claim { locked: Some((&zeroed, Path::new("/lib"))), ..by_built_in };
        assert!(matches!(verify(locked, forged.as_object().unwrap()), Err(RecordError::WrongDigest { .. })));
    }

    #[test]
    fn every_lie_is_named() {
        for (record, expected) in [
            (json!({"name": "bash", "abspath": "/bin/sh"}), "its record is of `bash`, not of `sh`"),
            (json!({"name": "sh"}), "its record has no abspath"),
            (json!({"name": "sh", "abspath": ["/bin/sh"]}), "its record has no abspath"),
            (json!({"name": "sh", "abspath": "bin/sh"}), "its abspath is relative: bin/sh"),
            (
                json!({"name": "sh", "abspath": "/no/such/file"}),
                "its abspath /no/such/file is not there: No such file",
            ),
            (json!({"name": "sh", "abspath": "/usr"}), "its abspath is not a file: /usr"),
            (json!({"name": "sh", "abspath": "/etc/passwd"}), "its abspath is not executable: /etc/passwd"),
            (json!({"name": "sh", "abspath": "/lib/bin/sh"}), "its abspath is the link that rigup makes"),
            (
                json!({"name": "sh", "abspath": "/bin/sh", "version": "1.9"}),
                "its version 1.9 is older than 1.10",
            ),
            (
                json!({"name": "sh", "abspath": "/bin/sh"}),
                "it tells no version, and 1.10 or newer is asked for",
            ),
        ] {
            let lie = check("1.10", &record).unwrap_err();
            assert!(lie.starts_with(expected), "{record}: {lie}");
        }
    }
}
