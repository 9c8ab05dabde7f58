//! The work of `rigup uninstall` and `rigup binary delete`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::event::EngineEvent;
use crate::engine::package_command::{self, Change};
use crate::engine::session::Session;
use crate::fs::dir;
use crate::fs::lib_dir::{self, Prefix};
use crate::install::plan;
use crate::install::prefix::{Orphan, RemovalError};
use crate::install::users::Users;
use crate::model::{Binary, BinaryName, BinarySpec, Installed};
use crate::plugin::requirement::Providers;
use crate::process::lock::{Holder, Lock, LockError};
use crate::process::run_dir::{self, RunDir};
use crate::process::signals::Interrupt;
use crate::report::text;
use crate::settings::Settings;
use crate::shell;
use crate::sorting::{sort, sort_by_key};
use crate::store::StoreError;

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
    pub(crate) reasons: Vec<String>,
    /// Why files could not be removed.
    pub(crate) failures: Vec<String>,
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
        let reasons = [&*self.reasons, &self.failures].concat();
        json!({
            "type": "Uninstall",
            "name": self.binary.as_ref().map_or("", |binary| &binary.name),
            "binprovider": installed.map_or("", |installed| &installed.binprovider),
            "removed": self.paths(),
            "bytes": self.bytes,
            "reason": reasons.join("; "),
        })
    }

    /// Adds the result of removing a prefix or a link.
    fn add(&mut self, removed: Result<Option<Orphan>, RemovalError>) {
        match removed {
            Ok(None) => {}
            Ok(Some(Orphan { paths, bytes })) => {
                self.removed.extend(paths);
                self.bytes += bytes;
            }
            Err(error @ (RemovalError::Used(..) | RemovalError::Foreign(..))) => {
                self.reasons.push(error.to_string());
            }
            // The record of the binary is gone.
            Err(error @ RemovalError::Io(_)) if self.binary.is_some() => {
                let next_step = "remove the cause, then run `rigup uninstall --orphaned --yes`";
                self.failures.push(format!("{error}; {next_step}"));
            }
            Err(error) => self.failures.push(error.to_string()),
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
        if let Some(error) = unlink(session, &name, &binary) {
            session.warn(error.to_string());
        }
        unregister(session, &name, std::slice::from_ref(&binary))?;
    }
    Ok(())
}

/// Why nothing is removed.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Why a binary cannot be removed, for each that cannot.
    pub(crate) problems: Vec<String>,
    /// The names of the binaries that could be removed without the others.
    pub(crate) others: Vec<String>,
}

/// Parses the names of a command, and returns each binary once, or why nothing is removed: because one of them cannot be, or
/// is not what all its names ask for.
pub(crate) fn resolve(
    session: &Session<'_>,
    names: &[String],
    catalog: &Catalog,
    force: bool,
) -> Result<Result<Vec<BinarySpec>, Refused>, EngineError> {
    let mut resolved = specs(session, names)?;
    let (mut seen, mut problems) = (HashSet::new(), Vec::new());
    for (index, spec) in resolved.iter().enumerate() {
        if !resolved[..index].contains(spec)
            && let Some(problem) = refusal(session, spec, &records(session, &spec.name)?, catalog, force)?
        {
            seen.insert(spec.name.clone());
            // Several names of a missing binary have the same one.
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    resolved.retain(|spec| seen.insert(spec.name.clone()));
    if problems.is_empty() {
        return Ok(Ok(resolved));
    }
    Ok(Err(Refused { problems, others: resolved.iter().map(|spec| spec.name.to_string()).collect() }))
}

/// Parses the names of a command. A recorded name is not split.
fn specs(session: &Session<'_>, names: &[String]) -> Result<Vec<BinarySpec>, EngineError> {
    let home = session.settings.home.as_deref();
    // An error of the store is reported when the binary is read.
    let is_known = |name: &BinaryName| session.store.has_binary(name.as_str()).unwrap_or_default();
    let parse = |name| {
        let spec = BinarySpec::parse(name, home, is_known).map_err(EngineError::invalid)?;
        spec.versions().map_err(EngineError::invalid)?;
        Ok(spec)
    };
    names.iter().map(|name| parse(name)).collect()
}

/// Returns the records of a binary, that of this machine first: the data dir may have come from another machine, which
/// recorded the same file. A record that cannot be read is an error: it is not missing.
fn records(session: &Session<'_>, name: &BinaryName) -> Result<Vec<Binary>, StoreError> {
    let mut binaries = session.store.binaries_named(name.as_str())?;
    sort_by_key(&mut binaries, |binary| binary.machine_id != session.machine.id);
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

/// Returns why a binary with these records is not uninstalled, or `None` if it can be: if there is no record, if rigup did
/// not install it, or if a plugin requires it.
fn refusal(
    session: &Session<'_>,
    spec: &BinarySpec,
    binaries: &[Binary],
    catalog: &Catalog,
    force: bool,
) -> Result<Option<String>, EngineError> {
    let name = &spec.name;
    let Some(binary) = binaries.first() else {
        return Ok(Some(format!("{name} is not installed; `rigup binary list` shows the binaries")));
    };
    let installed = binary.installed();
    let possible =
        installed.map_or(Providers::Any, |installed| Providers::Only(vec![installed.binprovider.clone()]));
    // The plugin that installed it may be gone.
    let is_installer =
        installed.is_some_and(|installed| spec.provider.as_ref() == Some(&installed.binprovider));
    if !is_installer && let Some(problem) = plan::unknown_provider(spec, &possible, &catalog.providers()) {
        return Ok(Some(format!("cannot uninstall {spec}: {problem}")));
    }
    if let Some(installed) = installed
        && let Some(mismatch) = spec.mismatch(installed).map_err(EngineError::invalid)?
    {
        return Ok(Some(format!("cannot uninstall {spec}: {mismatch}")));
    }
    if let Some(refusal) = package_command::refusal(binary, Change::Uninstall, catalog, &session.settings) {
        let record = format!("`rigup binary delete --yes {}`", shell::quote_text(name.as_str()));
        return Ok(Some(format!(
            "cannot uninstall {name}: {refusal}; {record} removes only its record and its link"
        )));
    }
    if installed.is_some()
        && !force
        && let Some(plugins) = required_by(name, catalog)
    {
        return Ok(Some(format!("cannot uninstall {name}: {plugins}; --force removes it all the same")));
    }
    Ok(None)
}

/// Uninstalls a binary: removes its link, its record, and the prefixes that no other binary uses. Returns why nothing is
/// removed if another rigup has changed the records since they were resolved.
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
    if let Some(problem) = refusal(session, spec, &binaries, catalog, force)? {
        return Ok(Err(problem));
    }
    let binary = binaries[0].clone();
    let abspath = |binary: &Binary| binary.installed().map(|installed| installed.abspath.clone());
    let file = abspath(&binary);
    binaries.retain(|other| other.id == binary.id || abspath(other) == file);
    // Nothing is removed if a record that may use the same files cannot be read.
    session.store.binary_files()?;
    let mut uninstalled = Uninstalled { binary: Some(binary.clone()), ..Uninstalled::default() };
    let lib_dir = &session.settings.lib_dir;
    let users = Users::new(&session.settings, &session.store, session.machine.id)?;
    let mut of_binary = users.prefixes_named_after(name);
    of_binary.extend(file.and_then(|path| Prefix::containing(&path, lib_dir)));
    sort(&mut of_binary);
    of_binary.dedup();
    if let Some(Installed { abspath, binprovider, .. }) = binary.installed()
        && !of_binary.iter().any(|prefix| abspath.starts_with(prefix.path(lib_dir)))
    {
        let kept = abspath.display();
        let reason = format!("{kept} is kept: {binprovider} found or installed it outside LIB_DIR");
        uninstalled.reasons.push(reason);
    }
    if !is_dry_run {
        if let Some(error) = unlink(session, name, &binary) {
            return Ok(Err(format!("{name} stays installed: {error}")));
        }
        unregister(session, name, &binaries)?;
    }
    for prefix in of_binary {
        uninstalled.add(users.remove_prefix(&prefix, Some(name.as_str()), is_dry_run));
    }
    uninstalled.keeps_link = !is_dry_run && session.linker().path(name).symlink_metadata().is_ok();
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

/// Removes the link of a binary, unless it leads to another file than that of its record. A queued binary has no file,
/// but can have a link: that of a file that was lost, or of an install that was killed. Returns why it cannot be removed.
fn unlink(session: &Session<'_>, name: &BinaryName, binary: &Binary) -> Option<RemovalError> {
    let (linker, file) = (session.linker(), binary.installed().map(|installed| &installed.abspath));
    let is_file = |target: &Path| file.is_none_or(|file| dir::is_same(target, file) == Some(true));
    match linker.unlink(&linker.path(name), name.as_str(), is_file, false) {
        Ok(_) => None,
        Err(error @ RemovalError::Used(..)) => {
            session.warn(error.to_string());
            None
        }
        Err(error) => Some(error),
    }
}

/// Removes the markers and then the records of a binary, whose lock is held and whose link is removed: if this rigup is
/// killed, the next uninstall does the rest. `binaries` are its records, which have the same file.
fn unregister(session: &Session<'_>, name: &BinaryName, binaries: &[Binary]) -> Result<(), EngineError> {
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
