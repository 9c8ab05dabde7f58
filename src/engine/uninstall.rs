//! The work of `rigup uninstall` and `rigup binary delete`.

use serde_json::{Value, json};

use crate::engine::error::EngineError;
use crate::engine::event::EngineEvent;
use crate::engine::session::Session;
use crate::fs::lib_dir::Prefix;
use crate::install::link;
use crate::install::prefix::{Orphan, PrefixError};
use crate::install::users::Users;
use crate::model::{Binary, BinaryName, Installed};
use crate::process::lock::{Holder, Lock, LockError};
use crate::process::run_dir::{self, RunDir};
use crate::process::signals::Interrupt;
use crate::store::BinaryFilter;

/// The result for one binary, or for one prefix that no record names.
#[derive(Debug, Default)]
pub(crate) struct Uninstalled {
    /// The binary; `None` for a prefix that no record names.
    pub(crate) binary: Option<Binary>,
    /// The prefixes that were removed, or would be.
    pub(crate) removed: Vec<Orphan>,
    /// Why other files were kept; empty if there are none.
    pub(crate) reason: String,
    /// Whether a prefix cannot be removed.
    pub(crate) has_failed: bool,
    /// Whether the link is still in place.
    pub(crate) keeps_link: bool,
}

impl Uninstalled {
    /// Returns the paths that were removed, or would be.
    pub(crate) fn paths(&self) -> Vec<String> {
        let paths = self.removed.iter().flat_map(|orphan| &orphan.paths);
        paths.map(|path| path.to_string_lossy().into_owned()).collect()
    }

    /// Returns the size of the removed files.
    pub(crate) fn bytes(&self) -> u64 {
        self.removed.iter().map(|orphan| orphan.bytes).sum()
    }

    /// Returns the result as a record.
    pub(crate) fn to_record(&self) -> Value {
        let installed = self.binary.as_ref().and_then(Binary::installed);
        json!({
            "type": "Uninstall",
            "name": self.binary.as_ref().map_or("", |binary| &binary.name),
            "binprovider": installed.map_or("", |installed| &installed.binprovider),
            "removed": self.paths(),
            "bytes": self.bytes(),
            "reason": self.reason,
        })
    }

    /// Adds why something is kept.
    fn add_reason(&mut self, reason: &str) {
        if !self.reason.is_empty() {
            self.reason.push_str("; ");
        }
        self.reason.push_str(reason);
    }

    /// Adds the result of removing a prefix.
    fn add(&mut self, removed: Result<Option<Orphan>, PrefixError>) {
        match removed {
            Ok(orphan) => self.removed.extend(orphan),
            Err(error) => {
                self.has_failed |= !matches!(error, PrefixError::Used(..));
                self.add_reason(&error.to_string());
            }
        }
    }
}

/// Deletes the record and the link of a binary, once no other rigup installs it. The files of its provider are kept.
pub(crate) fn delete(
    session: &Session<'_>,
    binary: &Binary,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    let name = BinaryName::parse(&binary.name, None);
    let name = name.map_err(|error| EngineError::InvalidRequest(error.to_string()))?;
    let _lock = lock(session, &name, interrupt)?;
    unregister(session, &name, std::slice::from_ref(binary))
}

/// Uninstalls a binary: removes its link, its record, and the prefixes that no other binary uses. Returns `None` if no
/// such binary is recorded.
pub(crate) fn uninstall(
    session: &Session<'_>,
    name: &BinaryName,
    is_dry_run: bool,
    interrupt: &Interrupt,
) -> Result<Option<Uninstalled>, EngineError> {
    let _lock = if is_dry_run { None } else { Some(lock(session, name, interrupt)?) };
    let filter = BinaryFilter { name: Some(name.to_string()), ..BinaryFilter::default() };
    let mut binaries = session.store.binaries(&filter)?;
    // The data dir may have come from another machine, which recorded the same file.
    binaries.sort_by_key(|binary| binary.machine_id != session.machine.id);
    let Some(binary) = binaries.first().cloned() else { return Ok(None) };
    let abspath = |binary: &Binary| binary.installed().map(|installed| installed.abspath.clone());
    let file = abspath(&binary);
    binaries.retain(|other| other.id == binary.id || abspath(other) == file);
    let mut uninstalled = Uninstalled::default();
    let lib_dir = &session.settings.lib_dir;
    let users = Users::new(&session.settings, &session.store, session.machine.id)?;
    let mut of_binary = users.prefixes_named_after(name);
    of_binary.extend(file.and_then(|path| Prefix::containing(&path, lib_dir)));
    of_binary.sort();
    of_binary.dedup();
    if let Some(Installed { abspath, binprovider, .. }) = binary.installed()
        && !of_binary.iter().any(|prefix| abspath.starts_with(prefix.path(lib_dir)))
    {
        let path = abspath.display();
        uninstalled
            .add_reason(&format!("{path} is kept: {binprovider} found or installed it outside LIB_DIR"));
    }
    if !is_dry_run {
        unregister(session, name, &binaries)?;
    }
    for prefix in of_binary {
        let except = Some(name.as_str());
        let removed = if is_dry_run {
            users.find_prefix(&prefix, except)
        } else {
            users.remove_prefix(&prefix, except)
        };
        uninstalled.add(removed);
    }
    let link = session.linker().path(name);
    uninstalled.keeps_link =
        !is_dry_run && binary.installed().is_some_and(|installed| link::leads_to(&link, &installed.abspath));
    uninstalled.binary = Some(binary);
    Ok(Some(uninstalled))
}

/// Returns the version of a binary if it is installed with another one than `version`.
pub(crate) fn other_version(
    session: &Session<'_>,
    name: &BinaryName,
    version: &str,
) -> Result<Option<String>, EngineError> {
    let binary = session.store.binary(session.machine.id, name.as_str())?;
    let installed = binary.as_ref().and_then(Binary::installed);
    let other =
        installed.filter(|found| ![&found.version, &found.package_version].contains(&&version.to_owned()));
    Ok(other.map(|found| found.version.clone()))
}

/// Removes the prefixes in LIB_DIR that rigup made and that no record names. A dry run only returns them.
pub(crate) fn remove_orphans(
    session: &Session<'_>,
    is_dry_run: bool,
) -> Result<Vec<Uninstalled>, EngineError> {
    let users = Users::new(&session.settings, &session.store, session.machine.id)?;
    let uninstalled = users.orphaned_prefixes()?.into_iter().map(|orphan| {
        let mut uninstalled = Uninstalled::default();
        if is_dry_run {
            uninstalled.removed.push(orphan);
        } else {
            uninstalled.add(users.remove_prefix(&orphan.prefix, None));
        }
        uninstalled
    });
    Ok(uninstalled.collect())
}

/// Takes the lock on the name of a binary, so that no other rigup installs the binary meanwhile.
pub(crate) fn lock(
    session: &Session<'_>,
    name: &BinaryName,
    interrupt: &Interrupt,
) -> Result<Lock, EngineError> {
    let on_wait = |holder: &Holder| {
        session.report(EngineEvent::Waiting(format!("waiting for {holder}, which is installing {name}")));
    };
    Lock::take_for_binary(&session.settings.data_dir, name, interrupt, on_wait).map_err(|error| {
        match (error, interrupt.signal()) {
            (LockError::Interrupted, Some(signal)) => EngineError::Interrupted(signal),
            (error, _) => EngineError::Setup(error.to_string()),
        }
    })
}

/// Removes the link, the marker and the records of a binary, whose lock is held.
fn unregister(session: &Session<'_>, name: &BinaryName, binaries: &[Binary]) -> Result<(), EngineError> {
    let users = Users::new(&session.settings, &session.store, session.machine.id)?;
    for binary in binaries {
        // Another rigup may have changed the record before the lock was taken.
        let stored = session.store.binary(binary.machine_id, &binary.name)?;
        let Some(binary) = stored.filter(|stored| stored.id == binary.id) else { continue };
        if let Some(installed) = binary.installed() {
            if let Err(error) = session.linker().unlink(name, installed) {
                session.warn(error.to_string());
            }
            if let Some(prefix) = Prefix::containing(&installed.abspath, &session.settings.lib_dir) {
                users.unmark_prefix(&prefix, name);
            }
        }
        // A rebuilt store would restore the binary from these records.
        for found in run_dir::list(&session.settings.data_dir) {
            if let Err(error) = RunDir::at(&found.path).remove_accepted(&binary) {
                session.warn(format!("a rebuilt store would restore {name}: {error}"));
            }
        }
        session.store.delete_binary(binary.id)?;
    }
    Ok(())
}
