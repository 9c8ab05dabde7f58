//! The work of `rigup list`: the binaries of this machine, with their sizes and the plugins that require them.

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::session;
use crate::fs::lib_dir::Prefix;
use crate::install::status::{self, FileCheck};
use crate::install::{adopt, prefix};
use crate::model::{Binary, Installed, PluginName};
use crate::settings::Settings;
use crate::shell;
use crate::sorting::{sort, sort_by};
use crate::store::{Store, StoreError};

/// A binary of this machine.
#[derive(Debug)]
pub(crate) struct ListedBinary {
    /// Its record in the store.
    pub(crate) binary: Binary,
    /// The size of its prefix, or of its file if it has no prefix, in bytes; `None` if it is not installed.
    pub(crate) bytes: Option<u64>,
    /// The plugins that require it, sorted.
    pub(crate) required_by: Vec<PluginName>,
    /// Why it cannot be run although it is installed, and what to do; `None` if it can.
    pub(crate) link_error: Option<String>,
    /// That its file has changed since it was installed, and what to do; `None` if it has not.
    pub(crate) problem: Option<String>,
    record: Value,
}

impl ListedBinary {
    /// Returns its record, with the size and the plugins.
    pub(crate) fn to_record(&self) -> Value {
        let mut record = self.record.clone();
        record["bytes"] = json!(self.bytes);
        record["required_by"] = json!(self.required_by);
        if let Some(problem) = &self.problem {
            record["problem"] = problem.as_str().into();
        }
        record
    }
}

/// Returns the binaries of this machine, and those of other machines that count as installed on it, sorted by name. Reads
/// the sizes of files, and only those files whose fingerprints differ from the recorded ones or that another machine
/// recorded.
pub(crate) fn list(
    settings: &Settings,
    store: &Store,
    catalog: &Catalog,
) -> Result<Vec<ListedBinary>, EngineError> {
    let machine_id = session::machine_id(settings, store)?;
    let file_check = FileCheck { settings, configs: &catalog.configs };
    let mut binaries: Vec<Binary> = adopt::binaries(store, file_check, machine_id)?.into_values().collect();
    sort_by(&mut binaries, |one, other| one.name.cmp(&other.name));
    // A prefix may have thousands of files.
    let files: Vec<(Option<u64>, Option<String>)> = binaries
        .par_iter()
        .map(|binary| {
            let bytes = binary.installed().and_then(|installed| size(installed, settings));
            (bytes, problem(binary, file_check))
        })
        .collect();
    let listed = binaries.into_iter().zip(files).map(|(binary, (bytes, problem))| {
        Ok(ListedBinary {
            bytes,
            problem,
            required_by: required_by(&binary.name, catalog),
            link_error: link_error(&binary, settings),
            record: record(store, &binary, settings)?,
            binary,
        })
    });
    listed.collect()
}

/// Returns the record of a binary, with its attempts if it is queued, and with `link_error` if it cannot be run.
pub(crate) fn record(store: &Store, binary: &Binary, settings: &Settings) -> Result<Value, StoreError> {
    let attempts = if binary.installed().is_none() { store.attempts(binary.id)? } else { Vec::new() };
    let attempts: Vec<_> = attempts.into_iter().map(|(attempt, _)| attempt).collect();
    let mut record = binary.to_record(&attempts);
    if let Some(error) = link_error(binary, settings) {
        record["link_error"] = error.into();
    }
    Ok(record)
}

/// Returns why an installed binary cannot be run, and what to do, or `None` if it can or is not installed.
pub(crate) fn link_error(binary: &Binary, settings: &Settings) -> Option<String> {
    status::link_problem(&binary.name, &binary.name, binary.installed()?, settings)
}

/// Returns that the file of an installed binary has changed since it was installed, and what to do, or `None` if it has
/// not, is gone, or is not installed.
pub(crate) fn problem(binary: &Binary, file_check: FileCheck<'_>) -> Option<String> {
    let modification = file_check.modification(binary.installed()?)?;
    Some(format!("{modification}; run `rigup install {}`", shell::quote_text(&binary.name)))
}

/// Returns the size of the prefix of an installed binary, or of its file if it has none, or `None` if that is gone.
fn size(installed: &Installed, settings: &Settings) -> Option<u64> {
    let lib_dir = &settings.lib_dir;
    match Prefix::containing(&installed.abspath, lib_dir).filter(|prefix| prefix.has_evidence(lib_dir)) {
        Some(found) => Some(prefix::size(&found.path(lib_dir))),
        None => installed.abspath.metadata().ok().map(|metadata| metadata.len()),
    }
}

/// Returns the plugins that require a binary, sorted.
fn required_by(name: &str, catalog: &Catalog) -> Vec<PluginName> {
    let mut plugins: Vec<PluginName> =
        catalog.requirements_of(name).filter_map(|requirement| requirement.plugin.clone()).collect();
    sort(&mut plugins);
    plugins.dedup();
    plugins
}
