//! The work of `rigup doctor`: finds what keeps rigup, or the programs that it installed, from working. Changes nothing.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::event::{EngineEvent, OnEvent};
use crate::engine::install::InstallRequest;
use crate::engine::lockfile_update::{self, LockRequest};
use crate::engine::session;
use crate::install::adopt;
use crate::install::status::FileCheck;
use crate::lockfile;
use crate::plugin::config::enabled::PluginConfigs;
use crate::process::signals::Interrupt;
use crate::report::text;
use crate::settings::Settings;
use crate::sorting::sort_by_key;
use crate::store::{Store, StoreError};

mod finding;
mod folders;
mod links;
mod providers;

pub(crate) use finding::{Finding, Level};

/// The fix for a file, a line or a value that the message names.
const CORRECT: &str = "correct what the message names, or remove it";

/// The fix for a data dir or a store that cannot be used for the cause that the message names.
const OTHER_DATA_DIR: &str = "remove the cause, or set RIGUP_DATA_DIR to another folder";

/// Returns everything that was found, first the faults, then the warnings. `variable_error` is what is wrong with a variable
/// that only the command line reads.
pub(crate) fn examine(
    settings: &Settings,
    variable_error: Option<&str>,
    interrupt: &Interrupt,
) -> Vec<Finding> {
    let warnings = Mutex::new(Vec::new());
    let on_event = |event: &EngineEvent<'_>| {
        if let EngineEvent::Warning(text) = event {
            warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
        }
    };
    let mut findings = Vec::new();
    let errors = settings.file_errors.iter().map(String::as_str).chain(variable_error);
    let errors = errors.map(|text| (Level::Fault, text));
    let warned = settings.warnings.iter().map(|text| (Level::Warning, text.as_str()));
    for (level, text) in errors.chain(warned) {
        let check = if text.starts_with("TMPDIR=") { "temp" } else { "settings" };
        findings.push(Finding::from_text(check, level, text, CORRECT));
    }
    let catalog = Catalog::read(settings, &[], &|_event| {});
    // Without a catalog, the digest of a file decides whether it has changed.
    let no_configs = PluginConfigs::default();
    let configs = catalog.as_ref().map_or(&no_configs, |catalog| &catalog.configs);
    match session::check_data_dir(settings) {
        Err(error) => {
            findings.push(Finding::from_text("trust", Level::Fault, &error.to_string(), OTHER_DATA_DIR));
        }
        Ok(_) => examine_records(settings, configs, &mut findings, &on_event),
    }
    let warnings = warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
    findings.extend(
        warnings.iter().map(|text| Finding::from_text("store", Level::Warning, text, OTHER_DATA_DIR)),
    );
    findings.extend(folders::examine(settings));
    examine_plugins(catalog, settings, interrupt, &mut findings);
    findings.extend(lock_file(settings));
    sort_by_key(&mut findings, |finding| Level::ALL.iter().position(|level| *level == finding.level));
    findings
}

/// Checks the store, and the files and links of the binaries in it.
fn examine_records(
    settings: &Settings,
    configs: &PluginConfigs,
    findings: &mut Vec<Finding>,
    on_event: OnEvent<'_>,
) {
    let fault =
        |error: &dyn ToString| Finding::from_text("store", Level::Fault, &error.to_string(), OTHER_DATA_DIR);
    match Store::check(&settings.data_dir) {
        Ok(()) if session::is_store_lost(settings) => {
            findings.push(fault(&session::lost_store(settings)));
            return links::examine(settings, configs, None, findings);
        }
        Ok(()) => {}
        Err(error @ StoreError::Corrupt(..)) => {
            let fix =
                "run `rigup process gc`, which moves it aside and restores its records from the run dirs";
            findings.push(Finding::new("store", Level::Fault, error.to_string(), fix));
            return links::examine(settings, configs, None, findings);
        }
        Err(error) => {
            findings.push(fault(&error));
            return links::examine(settings, configs, None, findings);
        }
    }
    let opened = session::open_to_read(settings, on_event).and_then(|store| {
        let Some(store) = store else { return Ok(None) };
        let machine_id = session::machine_id(settings, &store)?;
        Ok(Some(adopt::binaries(&store, FileCheck { settings, configs }, machine_id)?))
    });
    match opened {
        Ok(binaries) => links::examine(settings, configs, binaries, findings),
        Err(error) => findings.push(fault(&error)),
    }
}

/// Checks the plugins and what each provider lacks.
fn examine_plugins(
    catalog: Result<Catalog, EngineError>,
    settings: &Settings,
    interrupt: &Interrupt,
    findings: &mut Vec<Finding>,
) {
    let catalog = match catalog {
        Ok(catalog) => catalog,
        Err(error) => {
            let check = if matches!(error, EngineError::Setting(_)) { "settings" } else { "plugins" };
            return findings.push(Finding::from_text(check, Level::Fault, &error.to_string(), CORRECT));
        }
    };
    for diagnostic in &catalog.discovery.diagnostics {
        let is_untrusted = settings.trust.check(&diagnostic.path).is_err();
        let check = if is_untrusted { "trust" } else { "plugins" };
        let file = diagnostic.path.display();
        let fix = match diagnostic.line {
            Some(line) => format!("correct line {line} of {file}"),
            None => format!("correct {file}"),
        };
        findings.push(Finding::from_text(check, Level::Fault, &diagnostic.to_string(), &fix));
    }
    let about_values: HashSet<&str> =
        catalog.plugin_warnings.iter().map(|(_, warning)| warning.as_str()).collect();
    for warning in catalog.warnings() {
        let check = if about_values.contains(warning) { "settings" } else { "plugins" };
        findings.push(Finding::from_text(check, Level::Warning, warning, CORRECT));
    }
    findings.extend(providers::examine(&catalog, settings, interrupt));
}

/// Checks the lock file in the current folder, if there is one.
fn lock_file(settings: &Settings) -> Option<Finding> {
    let path = Path::new(lockfile::FILE_NAME);
    if !path.exists() {
        return None;
    }
    let request = LockRequest {
        install: InstallRequest::default(),
        lockfile: path.to_owned(),
        is_check: true,
        is_prune: false,
    };
    let report = match lockfile_update::lock(&request, settings, &|_event| {}) {
        Ok(report) => report,
        Err(error) => {
            let fix = format!("correct {0}, or remove it and run `rigup lock`", path.display());
            return Some(Finding::from_text("lock", Level::Fault, &error.to_string(), &fix));
        }
    };
    let differ = report.rows.iter().filter(|row| !row.change.is_ok(true));
    let differ: Vec<&str> = differ.map(|row| row.name.as_str()).collect();
    if differ.is_empty() && report.is_up_to_date {
        return None;
    }
    let message = match &*differ {
        [] => format!("{} is not sorted and formatted as `rigup lock` writes it", path.display()),
        names => format!("{} is not up to date: {}", path.display(), text::list(names, text::MAX_LISTED)),
    };
    let fix = "run `rigup lock`; `rigup lock --check` shows the differences";
    Some(Finding::new("lock", Level::Warning, message, fix))
}
