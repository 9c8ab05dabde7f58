//! The work of `rigup uninstall` and `rigup binary delete`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::event::EngineEvent;
use crate::engine::package_command::{self, Change};
use crate::engine::session::Session;
use crate::fs::dir;
use crate::fs::lib_dir::{self, Prefix};
use crate::install::prefix::{Orphan, RemovalError};
use crate::install::users::Users;
use crate::model::{Binary, BinaryName, BinarySpec, Installed};
use crate::process::lock::{Holder, Lock, LockError};
use crate::process::run_dir::{self, RunDir};
use crate::process::signals::Interrupt;
use crate::report::text;
use crate::settings::Settings;
use crate::shell;
use crate::store::{BinaryFilter, StoreError};

/// The result for one binary, or for one prefix or link that no record names.
#[derive(Debug, Default)]
pub(crate) struct Uninstalled {
    /// The binary; `None` for what no record names.
    pub(crate) binary: Option<Binary>,
    /// The paths that were removed, or would be, except the link of `binary`.
    pub(crate) removed: Vec<PathBuf>,
    /// The size of the removed files, in bytes.
    pub(crate) bytes: u64,
    /// Why other files were kept.
    reasons: Vec<String>,
    /// Whether something cannot be removed.
    pub(crate) has_failed: bool,
    /// Whether the link is still in place.
    pub(crate) keeps_link: bool,
}

impl Uninstalled {
    /// Returns the paths that were removed, or would be.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.removed.iter().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    /// Returns the result as a record.
    pub(crate) fn to_record(&self) -> Value {
        let installed = self.binary.as_ref().and_then(Binary::installed);
        json!({
            "type": "Uninstall",
            "name": self.binary.as_ref().map_or("", |binary| &binary.name),
            "binprovider": installed.map_or("", |installed| &installed.binprovider),
            "removed": self.paths(),
            "bytes": self.bytes,
            "reason": self.reason(),
        })
    }

    /// Returns why other files were kept; empty if there are none.
    pub(crate) fn reason(&self) -> String {
        self.reasons.join("; ")
    }

    /// Adds the result of removing a prefix or a link.
    fn add(&mut self, removed: Result<Option<Orphan>, RemovalError>) {
        match removed {
            Ok(None) => {}
            Ok(Some(Orphan { paths, bytes })) => {
                self.removed.extend(paths);
                self.bytes += bytes;
            }
            Err(error) => {
                self.has_failed |= !matches!(error, RemovalError::Used(..));
                self.reasons.push(error.to_string());
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
    let name = name.map_err(EngineError::invalid)?;
    let _lock = lock(session, &name, interrupt)?;
    // Another rigup may have changed the record before the lock was taken.
    let stored = session.store.binary(binary.machine_id, &binary.name)?;
    if let Some(binary) = stored.filter(|stored| stored.id == binary.id) {
        unregister(session, &name, std::slice::from_ref(&binary))?;
    }
    Ok(())
}

/// Parses the names of a command. A recorded name is not split.
pub(crate) fn specs(session: &Session<'_>, names: &[String]) -> Result<Vec<BinarySpec>, EngineError> {
    let home = session.settings.home.as_deref();
    // An error of the store is reported when the binary is read.
    let is_known =
        |name: &BinaryName| records(session, name).is_ok_and(|binaries: Vec<Binary>| !binaries.is_empty());
    let specs = names.iter().map(|name| BinarySpec::parse(name, home, is_known));
    specs.collect::<Result<_, _>>().map_err(EngineError::invalid)
}

/// Returns the records of a binary, that of this machine first: the data dir may have come from another machine, which
/// recorded the same file.
fn records(session: &Session<'_>, name: &BinaryName) -> Result<Vec<Binary>, StoreError> {
    let filter = BinaryFilter { name: Some(name.to_string()), ..BinaryFilter::default() };
    let mut binaries = session.store.binaries(&filter)?;
    binaries.sort_by_key(|binary| binary.machine_id != session.machine.id);
    Ok(binaries)
}

/// The options of `rigup uninstall`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UninstallOptions {
    /// Whether to remove nothing.
    pub(crate) is_dry_run: bool,
    /// Whether to remove what plugins require.
    pub(crate) force: bool,
}

/// Uninstalls a binary: removes its link, its record, and the prefixes that no other binary uses. Returns why nothing is
/// removed if no such binary is recorded, if rigup did not install it, or if a plugin requires it.
pub(crate) fn uninstall(
    session: &Session<'_>,
    spec: &BinarySpec,
    catalog: &Catalog,
    UninstallOptions { is_dry_run, force }: UninstallOptions,
    interrupt: &Interrupt,
) -> Result<Result<Uninstalled, String>, EngineError> {
    let name = &spec.name;
    let _lock = if is_dry_run { None } else { Some(lock(session, name, interrupt)?) };
    let mut binaries = records(session, name)?;
    let Some(binary) = binaries.first().cloned() else {
        return Ok(Err(format!("{name} is not installed; `rigup binary list` shows the binaries")));
    };
    if let Some(installed) = binary.installed()
        && let Some(mismatch) = spec.mismatch(installed).map_err(EngineError::invalid)?
    {
        return Ok(Err(format!("cannot uninstall {spec}: {mismatch}")));
    }
    if let Some(refusal) = package_command::refusal(&binary, Change::Uninstall, catalog, &session.settings) {
        let record = format!("`rigup binary delete --yes {}`", shell::quote_text(name.as_str()));
        let reason =
            format!("cannot uninstall {name}: {refusal}; {record} removes only its record and its link");
        return Ok(Err(reason));
    }
    if binary.installed().is_some()
        && !force
        && let Some(plugins) = required_by(name, catalog)
    {
        return Ok(Err(format!("cannot uninstall {name}: {plugins}; --force removes it all the same")));
    }
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
        let kept = abspath.display();
        let reason = format!("{kept} is kept: {binprovider} found or installed it outside LIB_DIR");
        uninstalled.reasons.push(reason);
    }
    if !is_dry_run {
        unregister(session, name, &binaries)?;
    }
    for prefix in of_binary {
        uninstalled.add(users.remove_prefix(&prefix, Some(name.as_str()), is_dry_run));
    }
    uninstalled.keeps_link = !is_dry_run && session.linker().path(name).symlink_metadata().is_ok();
    uninstalled.binary = Some(binary);
    Ok(Ok(uninstalled))
}

/// Returns which plugins require a binary, with the file and line of each requirement, or `None` if none does.
fn required_by(name: &BinaryName, catalog: &Catalog) -> Option<String> {
    let requirements = catalog.requirements.iter().filter(|requirement| requirement.name == *name);
    let plugins: Vec<String> = requirements
        .filter_map(|requirement| Some(format!("{} ({})", requirement.plugin.as_ref()?, requirement.source)))
        .collect();
    let (noun, verb) =
        if plugins.len() == 1 { ("the plugin", "requires") } else { ("the plugins", "require") };
    let list = || format!("{noun} {} {verb} it", text::list(&plugins, plugins.len()));
    (!plugins.is_empty()).then(list)
}

/// Removes the prefixes in LIB_DIR that rigup made and that no record names, and the links of such binaries and of data
/// dirs that are gone, if they dangle. A dry run only returns them.
pub(crate) fn remove_orphans(
    session: &Session<'_>,
    is_dry_run: bool,
) -> Result<Vec<Uninstalled>, EngineError> {
    let users = Users::new(&session.settings, &session.store, session.machine.id)?;
    let prefixes = users.orphaned_prefixes()?.into_iter();
    let mut orphans: Vec<_> = prefixes.map(|prefix| users.remove_prefix(&prefix, None, is_dry_run)).collect();
    let removed: Vec<_> =
        orphans.iter().flatten().flatten().flat_map(|orphan| orphan.paths.clone()).collect();
    let is_removed = |file: &Path| removed.iter().any(|path| file.starts_with(path));
    let Settings { lib_dir, lib_bin_dir, .. } = &session.settings;
    let links = lib_dir::marked_links(lib_dir, lib_bin_dir).into_iter();
    orphans.extend(links.map(|link| session.linker().unlink(&link, "", is_removed, is_dry_run)));
    orphans.retain(|orphan| !matches!(orphan, Ok(None)));
    let uninstalled = orphans.into_iter().map(|orphan| {
        let mut uninstalled = Uninstalled::default();
        uninstalled.add(orphan);
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
    Lock::take_for_binary(&session.settings.data_dir, name, interrupt, on_wait).map_err(|error| match error {
        LockError::Interrupted(signal) => EngineError::Interrupted(signal),
        error => EngineError::Setup(error.to_string()),
    })
}

/// Removes the link of a binary, unless it leads to another file.
fn unlink(session: &Session<'_>, name: &BinaryName, binary: &Binary) {
    let (linker, file) = (session.linker(), binary.installed().map(|installed| &installed.abspath));
    let is_file = |target: &Path| file.is_some_and(|file| dir::is_same(target, file) == Some(true));
    if let Err(error) = linker.unlink(&linker.path(name), name.as_str(), is_file, false) {
        session.warn(error.to_string());
    }
}

/// Removes the link, the markers and then the records of a binary, whose lock is held: if this rigup is killed, the next
/// uninstall does the rest. `binaries` are its records, which have the same file.
fn unregister(session: &Session<'_>, name: &BinaryName, binaries: &[Binary]) -> Result<(), EngineError> {
    if let Some(binary) = binaries.first() {
        unlink(session, name, binary);
    }
    let users = Users::new(&session.settings, &session.store, session.machine.id)?;
    for binary in binaries {
        let file = binary.installed().map(|installed| &installed.abspath);
        if let Some(prefix) = file.and_then(|file| Prefix::containing(file, &session.settings.lib_dir)) {
            users.unmark_prefix(&prefix, name);
        }
        // A rebuilt store would restore the binary from these records.
        for found in run_dir::list(&session.settings.data_dir) {
            if let Err(error) = RunDir::at(&found.path).remove_accepted(binary) {
                session.warn(format!("a rebuilt store would restore {name}: {error}"));
            }
        }
        session.store.delete_binary(binary.id)?;
    }
    Ok(())
}
