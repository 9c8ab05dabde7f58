//! Registers binaries that another tool found: verifies, links and stores them like those of a provider.

use serde_json::{Map, Value};

use crate::clock;
use crate::install::link::{LinkError, Linker};
use crate::install::plan;
use crate::install::probe::Prober;
use crate::install::users::Users;
use crate::install::verify::{self, Expected, VerifyError};
use crate::model::{Binary, Installed, PluginNameError, ProviderName, VersionRange};
use crate::plugin::requirement::{self, LineError, Requirement};
use crate::process::lock::{Lock, LockError};
use crate::process::signals::Interrupt;
use crate::store::StoreError;

/// An error while registering a binary.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    /// The record is not a Binary record.
    #[error(transparent)]
    Record(#[from] LineError),
    /// The record is incorrect.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The `binprovider` is not the name of a provider.
    #[error("binprovider: {0}")]
    Provider(#[from] PluginNameError),
    /// The lock of the name cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The binary cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A registered binary.
#[derive(Debug)]
pub(crate) struct Registered {
    /// The stored record.
    pub binary: Binary,
    /// Whether the store already had the same binary.
    pub is_unchanged: bool,
    /// Why the binary could not be linked; `None` if it is linked.
    pub link_error: Option<String>,
}

impl Registered {
    /// Returns the record of the binary.
    pub(crate) fn to_record(&self) -> Value {
        let mut record = self.binary.to_record(&[]);
        if let Some(error) = &self.link_error {
            record["link_error"] = error.as_str().into();
        }
        record
    }
}

/// A Binary record that was verified.
#[derive(Debug)]
pub(crate) struct VerifiedRecord {
    /// The name and the request.
    pub requirement: Requirement,
    /// The installed binary.
    pub installed: Installed,
}

/// Verifies a record with an `abspath`, without storing anything. The provider is `env` if the record has none. The
/// version is the one that the program prints if the record has none.
pub(crate) fn verify(
    linker: &Linker<'_>,
    fields: &Map<String, Value>,
    interrupt: &Interrupt,
) -> Result<VerifiedRecord, RegisterError> {
    let requirement = requirement::parse_record(fields, linker.settings.home.as_deref())?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().trim();
    let provider = Some(text("binprovider")).filter(|provider| !provider.is_empty()).unwrap_or(plan::ENV);
    let provider = ProviderName::parse(provider)?;
    let name = requirement.name.as_str();
    let link = linker.path(&requirement.name);
    let mut checked = fields.clone();
    checked.insert("name".to_owned(), name.into());
    // `verify` ignores a sha256 that is not a digest; here it is an error. A fingerprint may be that of another copy.
    checked.remove("sha256");
    checked.remove("fingerprint");
    let versions = VersionRange { min: &requirement.min_version, max: &requirement.max_version };
    let prober = Prober::new(linker.settings, interrupt);
    let expected = Expected::new(name, versions, &provider, &link);
    let mut installed = verify::verify(Expected { prober: Some(&prober), ..expected }, &checked)?;
    // The request that a record was printed for, perhaps on another machine.
    text("request_digest").clone_into(&mut installed.request_digest);
    let found = text("sha256").to_owned();
    let sha256 = &installed.sha256;
    if !found.is_empty() && found != *sha256 {
        return Err(VerifyError::WrongDigest(found, sha256.clone()).into());
    }
    Ok(VerifiedRecord { requirement, installed })
}

/// Links and stores a verified binary.
pub(crate) fn register(
    linker: &Linker<'_>,
    record: VerifiedRecord,
    interrupt: &Interrupt,
) -> Result<Registered, RegisterError> {
    let name = &record.requirement.name;
    let _lock = Lock::take_for_binary(&linker.settings.data_dir, name, interrupt, |_| ())?;
    register_locked(linker, record)
}

/// Like [`register`], for a caller that has the lock on the name.
pub(crate) fn register_locked(
    linker: &Linker<'_>,
    record: VerifiedRecord,
) -> Result<Registered, RegisterError> {
    let VerifiedRecord {
        requirement: Requirement { name, providers, min_version, max_version, policy, overrides, .. },
        mut installed,
    } = record;
    // The file may have changed while rigup waited for the lock.
    verify::verify_unchanged(&mut installed)?;
    let now = clock::now();
    let mut binary = linker.store.find_or_add_binary(linker.machine_id, name.as_str(), now)?;
    let previous = binary.installed().cloned();
    let link_error = match linker.link(&name, &installed) {
        Ok(()) => None,
        Err(LinkError::Store(error)) => return Err(error.into()),
        Err(error) => Some(error.to_string()),
    };
    if previous
        .is_some_and(|previous| Installed { sha256: installed.sha256.clone(), ..previous } == installed)
    {
        return Ok(Registered { binary, is_unchanged: true, link_error });
    }
    // Without a marker, another data dir that shares LIB_DIR may remove the file, and this one then installs it again.
    let _ = Users::new(linker.settings, linker.store, linker.machine_id)?.mark_installed(&installed, &name);
    let versions = VersionRange { min: &min_version, max: &max_version };
    binary.set_request(&providers.to_string(), versions, policy, &overrides.to_json(), now);
    binary.install(installed, now);
    linker.store.save_binary(&binary)?;
    Ok(Registered { binary, is_unchanged: false, link_error })
}
