//! The work of `rigup lock`: installs missing binaries, and writes the lines of the lock file or checks them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::engine::catalog::Catalog;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::event::{EngineEvent, OnEvent};
use crate::engine::install::{self, InstallPlan, InstallReport, InstallRequest};
use crate::engine::lockfile_on_disk::{self, LockfileOnDisk, hook_digests, lockfile_error};
use crate::engine::session::{self, Session};
use crate::engine::step_result::unresolved;
use crate::fs::lock::OwnLock;
use crate::fs::{atomic, dir, link};
use crate::install::plan::{self, Request, Step};
use crate::install::status::{FileCheck, InstallStatus, install_status, is_current};
use crate::install::{adopt, pins, relocatable, request_digest};
use crate::lockfile::{self, Lockfile, Pin};
use crate::model::{Binary, BinaryName, Installed, ProviderName};
use crate::process::lock::{self, FOLDER_PATIENCE};
use crate::process::signals::Interrupt;
use crate::settings::{self, Settings};

/// A request to write or check a lock file.
#[derive(Debug)]
pub(crate) struct LockRequest {
    /// The binaries.
    pub(crate) install: InstallRequest,
    /// The lock file.
    pub(crate) lockfile: PathBuf,
    /// Whether to only compare, without installing or writing anything.
    pub(crate) is_check: bool,
    /// Whether to remove the lines of this platform for binaries that are not required.
    pub(crate) is_prune: bool,
}

/// The result of `rigup lock`.
#[derive(Debug)]
pub(crate) struct LockReport {
    /// The plan of the binaries.
    pub(crate) plan: InstallPlan,
    /// Whether the file existed.
    pub(crate) has_file: bool,
    /// One row for each name.
    pub(crate) rows: Vec<LockRow>,
    /// Whether the file already has the contents that `rigup lock` writes.
    pub(crate) is_up_to_date: bool,
    /// The result of the install; `None` for a check.
    pub(crate) installed: Option<InstallReport>,
    /// The exit status, without the rows.
    pub(crate) status: ExitStatus,
}

/// A binary, and the change of its line.
#[derive(Debug)]
pub(crate) struct LockRow {
    /// The name of the binary.
    pub(crate) name: String,
    /// The change of the line.
    pub(crate) change: LockChange,
    /// The new line, or the removed one; `None` if there is no line.
    pub(crate) line: Option<Pin>,
    /// The row as a record.
    pub(crate) record: Value,
}

/// A change of a line of the lock file.
#[derive(Debug)]
pub(crate) enum LockChange {
    /// The line does not change.
    Unchanged,
    /// The line is new.
    Added,
    /// Some values differ; the text has the old and the new value of each.
    Changed(String),
    /// The request does not accept the line; the text has the reason and the next step.
    Outdated(String),
    /// The line is removed.
    Removed,
    /// There is no line to write; the reason is empty if the install or the whole file has it.
    Missing(String),
}

impl LockChange {
    /// Returns the word for records and tables.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Added => "added",
            Self::Changed(_) | Self::Outdated(_) => "changed",
            Self::Removed => "removed",
            Self::Missing(_) => "missing",
        }
    }

    /// Whether the change is a success. A check succeeds only if the line does not change.
    pub(crate) const fn is_ok(&self, is_check: bool) -> bool {
        match self {
            Self::Unchanged => true,
            Self::Added | Self::Changed(_) | Self::Removed => !is_check,
            Self::Outdated(_) | Self::Missing(_) => false,
        }
    }
}

impl LockReport {
    /// Returns what is wrong with the file of a check, or `None` if nothing but its lines may be.
    pub(crate) fn file_problem(&self, path: &Path, is_check: bool) -> Option<String> {
        (is_check && !self.has_file).then(|| does_not_exist(path))
    }

    /// Returns what is wrong with the line of a row, or `None` if nothing is or the install or the whole file has the reason.
    pub(crate) fn problem_of(&self, row: &LockRow, path: &Path, is_check: bool) -> Option<String> {
        let (LockRow { name, change, .. }, file) = (row, path.display());
        let command = |options: &[&str]| lockfile::command(path, options);
        match change {
            LockChange::Missing(reason) | LockChange::Outdated(reason) => {
                (!reason.is_empty()).then(|| format!("{name}: {reason}"))
            }
            LockChange::Changed(values) if is_check => {
                Some(format!("{file}: {name}: {values}; run `{}`", command(&[])))
            }
            LockChange::Added if is_check && self.has_file => {
                Some(format!("{name}: {}", pins::no_pin(path, &settings::platform(), name)))
            }
            LockChange::Removed if is_check => {
                let command = command(&["--prune"]);
                Some(format!("{file} pins {name}, which is not required; run `{command}`"))
            }
            _ => None,
        }
    }
}

impl LockRow {
    fn new(line: Pin, change: LockChange) -> Self {
        let mut record = line.to_record();
        record["status"] = change.as_str().into();
        Self { name: line.name.clone(), change, line: Some(line), record }
    }

    fn missing(name: &BinaryName, reason: String) -> Self {
        let record = unresolved(name, &reason);
        Self { name: name.to_string(), change: LockChange::Missing(reason), line: None, record }
    }
}

/// Writes the lock file, or compares it with what is installed. An interrupted command writes no lock file.
pub(crate) fn lock(
    request: &LockRequest,
    settings: &Settings,
    on_event: OnEvent<'_>,
) -> Result<LockReport, EngineError> {
    let file = LockfileOnDisk::read(&request.lockfile, settings, on_event)?;
    if !request.is_check {
        atomic::check_for_user(&file.path).map_err(|error| write_error(&file, &error))?;
        session::make_store_readable(settings, on_event)?;
    }
    let plan = InstallPlan::new(&request.install, settings, on_event)?;
    let mut update = LockfileUpdate::new(file, &plan.catalog, settings);
    if let Some(store) = session::open_to_read(settings, on_event)? {
        let file_check = FileCheck { settings, configs: &plan.catalog.configs };
        let machine_id = session::machine_id(settings, &store)?;
        update.binaries = adopt::binaries(&store, file_check, machine_id)?;
        for binary in update.binaries.values_mut() {
            file_check.renew_fingerprint(binary);
        }
    }
    let installed = if request.is_check { None } else { Some(update.install_missing(&plan, on_event)?) };
    let status = match &installed {
        Some(report) => report.exit_status(),
        None if plan.catalog.discovery.diagnostics.is_empty() => ExitStatus::Success,
        None => ExitStatus::Incomplete,
    };
    if let ExitStatus::Interrupted(signal) = status {
        return Err(EngineError::Interrupted(signal));
    }
    let folder_lock = if request.is_check { None } else { Some(update.lock_and_read_again(on_event)?) };
    let mut rows = match &installed {
        Some(report) => update.update_lines(&plan.steps, report),
        None => update.compare_lines(&plan.steps),
    };
    // A plugin's file that cannot be read may require a binary, too.
    if request.is_prune && plan.catalog.discovery.diagnostics.is_empty() {
        rows.extend(update.prune(&plan.steps));
    }
    let is_up_to_date = update.is_up_to_date();
    if !request.is_check {
        update.write()?;
    }
    drop(folder_lock);
    let has_file = update.file.bytes.is_some();
    Ok(LockReport { plan, has_file, rows, is_up_to_date, installed, status })
}

/// Updates the lines that a lock file already has for these installed binaries. Returns a row for each of them.
pub(crate) fn update_existing_lines(
    path: &Path,
    installed: &[(&Request, &Installed)],
    catalog: &Catalog,
    settings: &Settings,
    on_event: OnEvent<'_>,
) -> Result<Vec<LockRow>, EngineError> {
    let file = lockfile_on_disk::read_existing(path, settings, on_event)?;
    let mut update = LockfileUpdate::new(file, catalog, settings);
    let _folder_lock = update.lock_and_read_again(on_event)?;
    let mut rows = Vec::new();
    for (request, installed) in installed {
        if update.line_of(&request.name).is_some() {
            rows.push(update.update_line(request, installed));
        }
    }
    update.write()?;
    Ok(rows)
}

/// Checks that a lock file exists and can be written.
pub(crate) fn check_writable(
    path: &Path,
    settings: &Settings,
    on_event: OnEvent<'_>,
) -> Result<(), EngineError> {
    let file = lockfile_on_disk::read_existing(path, settings, on_event)?;
    atomic::check_for_user(&file.path).map_err(|error| write_error(&file, &error))
}

/// Returns what is wrong with a lock file that does not exist, and the next step.
fn does_not_exist(path: &Path) -> String {
    format!("{} does not exist; run `{}` to create it", path.display(), lockfile::command(path, &[]))
}

fn write_error(file: &LockfileOnDisk, error: &io::Error) -> EngineError {
    lockfile_error(&file.path, format!("cannot write it: {error}; choose another with --lockfile"))
}

/// A lock file and its new contents.
struct LockfileUpdate<'a> {
    settings: &'a Settings,
    file: LockfileOnDisk,
    hooks: HashMap<ProviderName, String>,
    binaries: HashMap<String, Binary>,
    after: Lockfile,
}

impl<'a> LockfileUpdate<'a> {
    fn new(file: LockfileOnDisk, catalog: &Catalog, settings: &'a Settings) -> Self {
        let hooks = hook_digests(catalog, settings);
        Self { settings, after: file.lockfile.clone(), file, hooks, binaries: HashMap::new() }
    }

    /// Whether the file has the new contents. A lock file without lines is not created.
    fn is_up_to_date(&self) -> bool {
        match &self.file.bytes {
            Some(bytes) => *bytes == self.after.to_string().as_bytes(),
            None => self.after == Lockfile::default(),
        }
    }

    /// Writes the file, unless it is up to date.
    fn write(&self) -> Result<(), EngineError> {
        if self.is_up_to_date() {
            return Ok(());
        }
        atomic::write_for_user(&self.file.path, self.after.to_string().as_bytes())
            .map_err(|error| write_error(&self.file, &error))
    }

    /// Installs missing binaries, each in its pinned version if the requirement allows that.
    fn install_missing(
        &self,
        plan: &InstallPlan,
        on_event: OnEvent<'_>,
    ) -> Result<InstallReport, EngineError> {
        let pins = self.file.pins(&self.hooks, self.settings);
        let pinned = plan.steps.iter().map(|step| match step {
            Ok(request) if self.installed(request).is_none() => {
                pins.pin(Ok(request.clone())).or_else(|_| step.clone())
            }
            _ => step.clone(),
        });
        let steps: Vec<Step> = pinned.collect();
        let session = Session::open(self.settings.clone(), on_event)?;
        install::execute(&session, plan, &steps, None, |_results| {})
    }

    /// Locks the folder of the file until the returned lock is dropped, and reads the file again, because another
    /// command may have written it.
    fn lock_and_read_again(&mut self, on_event: OnEvent<'_>) -> Result<OwnLock, EngineError> {
        let interrupt = Interrupt::install().map_err(EngineError::Signals)?;
        let on_wait = || {
            let path = self.file.path.display();
            on_event(&EngineEvent::Waiting(format!("waiting for another rigup that writes {path}")));
        };
        let folder_lock = link::resolve(&self.file.path)
            .and_then(|file| lock::take_folder(dir::parent(&file), &interrupt, FOLDER_PATIENCE, on_wait));
        if let Some(signal) = interrupt.signal() {
            return Err(EngineError::Interrupted(signal));
        }
        let folder_lock = folder_lock.map_err(|error| write_error(&self.file, &error))?;
        // A warning about the file was already reported at the first read.
        self.file = LockfileOnDisk::read(&self.file.path, self.settings, &|_event| {})?;
        self.after = self.file.lockfile.clone();
        Ok(folder_lock)
    }

    /// Updates the lines of the installed binaries.
    fn update_lines(&mut self, steps: &[Step], report: &InstallReport) -> Vec<LockRow> {
        let results = steps.iter().zip(&report.results);
        let rows = results.map(|(step, result)| {
            if let (Ok(request), Some(installed)) = (step, result.installed()) {
                return self.update_line(request, installed);
            }
            let row = LockRow::missing(plan::name_of(step), String::new());
            LockRow { record: result.to_record(), ..row }
        });
        rows.collect()
    }

    /// Compares the installed binaries with their lines. The line of a missing binary has to be acceptable, because
    /// `rigup lock` would install its version.
    fn compare_lines(&mut self, steps: &[Step]) -> Vec<LockRow> {
        let rows = steps.iter().map(|step| match step {
            Err(refusal) => LockRow::missing(&refusal.name, refusal.reason.clone()),
            Ok(request) => match self.installed(request).or_else(|| self.with_other_policy(request)).cloned()
            {
                Some(installed) => self.update_line(request, &installed),
                None => match self.file.pins(&self.hooks, self.settings).find(request) {
                    Ok(before) => {
                        let provider = &before.binprovider;
                        let overrides_sha256 = request_digest::of_overrides(request, provider, self.settings);
                        let line = Pin { overrides_sha256, ..before.clone() };
                        let difference = pins::difference(before, &line);
                        let is_same = difference.is_empty();
                        LockRow::new(
                            line,
                            if is_same { LockChange::Unchanged } else { LockChange::Changed(difference) },
                        )
                    }
                    Err(_) if self.file.bytes.is_none() => {
                        let record = unresolved(&request.name, &does_not_exist(&self.file.path));
                        LockRow { record, ..LockRow::missing(&request.name, String::new()) }
                    }
                    Err(reason) => match self.line_of(&request.name) {
                        Some(line) => LockRow::new(line.clone(), LockChange::Outdated(reason)),
                        None => LockRow::missing(&request.name, reason),
                    },
                },
            },
        });
        rows.collect()
    }

    /// Returns the installed file of a request, regardless of its pin, or `None` if the binary is missing.
    fn installed(&self, request: &Request) -> Option<&Installed> {
        let binary = self.binaries.get(request.name.as_str())?;
        match install_status(binary, request, self.settings, false) {
            InstallStatus::Ready | InstallStatus::Unlinked(_) => binary.installed(),
            InstallStatus::Other(_)
            | InstallStatus::Changed(_)
            | InstallStatus::Broken(..)
            | InstallStatus::Gone(_)
            | InstallStatus::Modified(_)
            | InstallStatus::Missing => None,
        }
    }

    /// Returns the installed file of a binary that was installed for this request with another policy, or `None` if it was not.
    fn with_other_policy(&self, request: &Request) -> Option<&Installed> {
        let binary = self.binaries.get(request.name.as_str())?;
        binary.installed().filter(|_| is_current(binary, request, self.settings))
    }

    fn line_of(&self, name: &BinaryName) -> Option<&Pin> {
        self.file.lockfile.get(&settings::platform(), name.as_str())
    }

    fn update_line(&mut self, request: &Request, installed: &Installed) -> LockRow {
        let line = self.line(request, installed).and_then(|line| {
            self.after.insert(line.clone()).map_err(|error| error.to_string())?;
            Ok(line)
        });
        match (line, self.line_of(&request.name)) {
            (Ok(after), None) => LockRow::new(after, LockChange::Added),
            (Ok(after), Some(before)) if after == *before => LockRow::new(after, LockChange::Unchanged),
            (Ok(after), Some(before)) => {
                let difference = pins::difference(before, &after);
                LockRow::new(after, LockChange::Changed(difference))
            }
            (Err(reason), _) => LockRow::missing(&request.name, format!("cannot pin it: {reason}")),
        }
    }

    fn line(&self, request: &Request, installed: &Installed) -> Result<Pin, String> {
        let Installed { binprovider, abspath, version, package_version, url, url_sha256, .. } = installed;
        let hook_sha256 =
            self.hooks.get(binprovider).ok_or_else(|| format!("cannot find a hook of {binprovider}"))?;
        let sha256 =
            relocatable::sha256(abspath, &self.settings.lib_dir).map_err(|error| error.to_string())?;
        Ok(Pin {
            platform: settings::platform(),
            name: request.name.as_str().to_owned(),
            binprovider: binprovider.clone(),
            version: version.clone(),
            package_version: if package_version == version { String::new() } else { package_version.clone() },
            sha256,
            url: url.clone(),
            url_sha256: url_sha256.clone(),
            hook_sha256: hook_sha256.clone(),
            overrides_sha256: request_digest::of_overrides(request, binprovider, self.settings),
        })
    }

    /// Removes the lines for binaries that are not required.
    fn prune(&mut self, steps: &[Step]) -> Vec<LockRow> {
        let names: HashSet<&str> = steps.iter().map(|step| plan::name_of(step).as_str()).collect();
        let removed = self.after.prune(&settings::platform(), |name| names.contains(name));
        removed.into_iter().map(|line| LockRow::new(line, LockChange::Removed)).collect()
    }
}
