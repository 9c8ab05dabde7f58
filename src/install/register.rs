//! A binary that somebody else found: stored and linked like one that a hook found, if what is said of it is true.

use serde_json::{Map, Value};

use crate::clock;
use crate::install::linker::Linker;
use crate::install::verify::{self, Claim, RecordError};
use crate::model::binary::{Binary, Installed};
use crate::model::plugin_name::{PluginNameError, ProviderName};
use crate::plugin::requirement::{self, LineError, Requirement};
use crate::process::lock::{Lock, LockError};
use crate::process::signals::Interrupt;
use crate::store::StoreError;

/// The provider of a binary that nobody says the provider of.
const PROVIDER: &str = "env";

/// Why a binary is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The record is no Binary record.
    #[error(transparent)]
    Record(#[from] LineError),
    /// It is not true.
    #[error("{0}")]
    RecordError(#[from] RecordError),
    /// Its `binprovider` cannot be one.
    #[error("binprovider: {0}")]
    Provider(#[from] PluginNameError),
    /// The file is another one now.
    #[error("its sha256 is {found}, and the file's is {actual}", found = .found, actual = .actual)]
    Digest {
        /// What the record says.
        found: String,
        /// What the file has.
        actual: String,
    },
    /// Its link cannot be made.
    #[error("{0}")]
    Link(String),
    /// Its lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a record.
#[derive(Debug)]
pub struct Adopted {
    /// The binary as it is stored.
    pub binary: Binary,
    /// Whether it was known before, just like that.
    pub was_known: bool,
}

/// What a Binary record says, found true: what is wanted, and what is there.
#[derive(Debug)]
pub struct Checked {
    /// The name, and what was asked for.
    pub requirement: Requirement,
    /// The file.
    pub installed: Installed,
}

/// Checks a record with an `abspath`; stores nothing.
pub fn check(linker: &Linker<'_>, fields: &Map<String, Value>) -> Result<Checked, AdoptError> {
    let requirement = requirement::parse_fields(None, fields, linker.settings.home.as_deref())?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().trim();
    let provider = Some(text("binprovider")).filter(|it| !it.is_empty()).unwrap_or(PROVIDER);
    let provider = ProviderName::parse(provider)?;
    let claim = Claim {
        name: requirement.name.as_str(),
        min_version: &requirement.min_version,
        provider: &provider,
        link: &linker.path(&requirement.name),
        abspath: None,
        version: None,
        locked: None,
        is_measured: false,
    };
    let mut claimed = fields.clone();
    claimed.insert("name".to_owned(), requirement.name.as_str().into());
    claimed.remove("sha256");
    claimed.remove("fingerprint");
    let installed = verify::verify(claim, &claimed)?;
    let found = text("sha256").to_owned();
    if !found.is_empty() && found != installed.sha256 {
        return Err(AdoptError::Digest { found, actual: installed.sha256 });
    }
    Ok(Checked { requirement, installed })
}

/// Stores and links what was checked.
pub fn adopt(
    linker: &Linker<'_>,
    checked: Checked,
    interrupt: &Interrupt,
    warn: impl Fn(&str),
) -> Result<Adopted, AdoptError> {
    let Checked {
        requirement: Requirement { name, providers, min_version, policy, overrides, .. },
        installed,
    } = checked;
    let _lock = Lock::take_for_binary(&linker.settings.data_dir, &name, interrupt, |_| ())?;
    // To wait for the lock may have taken any time.
    verify::check_again(&installed)?;
    let now = clock::now();
    let mut binary = linker.store.find_or_add_binary(linker.machine_id, name.as_str(), now)?;
    let previous = binary.installed().cloned();
    linker
        .link(&name, &installed, previous.as_ref().map(|it| it.abspath.as_path()), warn)?
        .map_err(AdoptError::Link)?;
    let is_same = |known: &Installed| {
        (&known.abspath, &known.fingerprint, &known.version, &known.binprovider)
            == (&installed.abspath, &installed.fingerprint, &installed.version, &installed.binprovider)
    };
    if previous.as_ref().is_some_and(is_same) {
        return Ok(Adopted { binary, was_known: true });
    }
    binary.request(&providers.to_string(), &min_version, policy, &overrides.to_json(), now);
    binary.satisfy(installed, now);
    linker.store.save_binary(&binary)?;
    Ok(Adopted { binary, was_known: false })
}
